-- skynet.core: sending, commands, the log, the message handler.
-- config: logservice = "snlua"
-- config: logger = "support/recorder"

local skynet = require "skynet"
local core = require "skynet.core"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results = check.eq, check.raises, check.results

local HEAD = skynet.getenv "api_level" == "head"
local ERROR = HEAD and "error: " or ""
local NULL = core.unpack("\3" .. ("\0"):rep(8))

local seen = {}

skynet.register_protocol {
	name = "probe",
	id = 20,
	pack = core.pack,
	unpack = core.unpack,
}

skynet.register_protocol {
	name = "seen",
	id = 22,
	unpack = core.unpack,
	dispatch = function(_, source, what)
		what.probe = source
		table.insert(seen, what)
	end,
}

local function new_probe(memlimit)
	local parameter = string.format("snlua support/probe %d %s", skynet.self(), memlimit or "")
	return assert(core.addresscommand("LAUNCH", parameter))
end

--- Runs a chunk in a probe and returns its results.
local function run(probe, code, ...)
	local result = table.pack(skynet.call(probe, "probe", code, ...))
	assert(result[1], result[2])
	return table.unpack(result, 2, result.n)
end

--- The next message that a probe has seen.
local function next_seen()
	check.wait(function() return seen[1] end, 5, "message")
	return table.remove(seen, 1)
end

--- What a service has logged since the last call.
local function logged(source)
	return skynet.call(".logger", "lua", "take", source or skynet.self())
end

local function last_logged(source)
	local lines
	check.wait(function()
		lines = logged(source)
		return lines[1]
	end, 5, "log line")
	return lines[#lines]
end

--- Waits for a line of a service that `accept` says yes to. Lines about memory may come in between.
local function logs_line(source, accept, what)
	local all = {}
	for _ = 1, 500 do
		for _, line in ipairs(logged(source)) do
			if accept(line) then return line end
			table.insert(all, line)
		end
		skynet.sleep(1)
	end
	error(string.format("no line %s in:\n%s", what, table.concat(all, "\n")), 2)
end

local function fields()
	check.case("fields", function()
		local names = {}
		local additions = { timeout_ms = true, timeout_cancel = true }	-- of our core
		for name, f in pairs(core) do
			eq(type(f), "function", name)
			if not additions[name] then
				table.insert(names, name)
			end
		end
		table.sort(names)
		eq(table.concat(names, " "), "addresscommand callback command error genid harbor hpc intcommand now pack "
			.. "packstring redirect send tostring trace trash unpack")
	end)
end

local function sending(probe)
	check.case("send a string", function()
		results(table.pack(core.send(probe, 30, 77, "text\0more")), 77)
		local got = next_seen()
		eq(got, { kind = 30, size = 9, session = 77, source = skynet.self(), null = false, bytes = "text\0more", probe = probe })
	end)
	check.case("an empty string is (NULL, 0)", function()
		results(table.pack(core.send(probe, 30, 5, "")), 5)
		local got = next_seen()
		eq(got.size, 0)
		eq(got.null, true)
	end)
	check.case("send a block", function()
		results(table.pack(core.send(probe, 31, 6, driver.str2p("block"))), 6)
		eq(next_seen().bytes, "block")
		results(table.pack(core.send(probe, 31, 6, NULL, 0)), 6)
		eq(next_seen().null, true)
	end)
	check.case("sessions", function()
		local a = core.send(probe, 30, nil, "a")
		local b = core.genid()
		local c = core.send(probe, 30, nil, "c")
		eq(math.type(a), "integer")
		eq({ b, c }, { a + 1, a + 2 })
		eq(next_seen().session, a)
		eq(next_seen().session, c)
		results(table.pack(core.send(probe, 30, "12", "x")), 12)
		next_seen()
		raises("(number expected, got no value)", core.send, probe, 30)
		raises("(number expected, got table)", core.send, probe, 30, {}, "x")
	end)
	check.case("destinations", function()
		results(table.pack(core.send(tostring(probe), 30, 1, "decimal")), 1)
		eq(next_seen().bytes, "decimal")
		results(table.pack(core.send(string.format("0x%x", probe), 30, 1, "hexadecimal")), 1)
		eq(next_seen().bytes, "hexadecimal")
		results(table.pack(core.send(probe + 0.0, 30, 1, "float")), 1)
		eq(next_seen().bytes, "float")
		results(table.pack(core.send(string.format(":%x", probe), 30, 1, ":hex")), 1)
		eq(next_seen().bytes, ":hex")
		results(table.pack(core.send(string.format(":%08X", probe), 30, 1, ":HEX")), 1)
		eq(next_seen().bytes, ":HEX")
		eq(core.command("NAME", string.format(".probe :%x", probe)), "probe")
		results(table.pack(core.send(".probe", 30, 1, "name")), 1)
		eq(next_seen().bytes, "name")
		results(table.pack(core.send("." .. probe .. "e0", 30, 1, "no such name")))
	end)
	check.case("destinations that are none", function()
		raises("Invalid service address 0", core.send, 0, 30, 0, "x")
		raises("Invalid service address 0", core.send, 1.5, 30, 0, "x")
		raises("Invalid service address 0", core.send, 1 << 32, 30, 0, "x")
		raises("dest address type (nil) must be a string or number.", core.send, nil, 30, 0, "x")
		raises("dest address type (table) must be a string or number.", core.send, {}, 30, 0, "x")
		raises("dest address type (boolean) must be a string or number.", core.send, true, 30, 0, "x")
	end)
	check.case("nobody there", function()
		local before = core.genid()
		results(table.pack(core.send(0xffffff, 30, nil, "x")))
		results(table.pack(core.send(0xffffff, 30, 3, "x")))
		results(table.pack(core.send(0xffffff, 30, 3, driver.str2p("x"))))
		results(table.pack(core.send(":ffffff", 30, 3, "x")))
		eq(core.genid(), before + 2, "the session is used up")
		results(table.pack(core.send(".nobody", 30, nil, "x")))
		results(table.pack(core.send(".nobody", 30, nil, driver.str2p("x"))))
		eq(core.genid(), before + 3, "no session for an unknown name")
	end)
	check.case("address 0 by name", function()
		logged()
		results(table.pack(core.send(":0", 30, 3, "x")))
		eq(last_logged(), ERROR .. "Destination address can't be 0")
		results(table.pack(core.send(":0", 30, 4, "")), 4)
	end)
	check.case("too large", function()
		logged()
		results(table.pack(core.send(probe, 30, 3, driver.str2p("x"), -1)), false)
		eq(last_logged(), string.format("%sThe message to %x is too large", ERROR, probe))
	end)
	check.case("wrong messages", function()
		raises("invalid param nil", core.send, probe, 30, 0, nil)
		raises("invalid param no value", core.send, probe, 30, 0)
		raises("invalid param number", core.send, probe, 30, 0, 12)
		raises("invalid param table", core.send, probe, 30, 0, {})
		raises("invalid param userdata", core.send, probe, 30, 0, io.stdout)
		raises("(number expected, got no value)", core.send, probe, 30, 0, NULL)
		raises("(number expected, got string)", core.send, probe, "x", 0, "x")
	end)
	check.case("redirect", function()
		results(table.pack(core.redirect(probe, 0x1234, 32, 9, "moved")), 9)
		eq(next_seen(), { kind = 32, size = 5, session = 9, source = 0x1234, null = false, bytes = "moved", probe = probe })
		results(table.pack(core.redirect(string.format(":%x", probe), 0, 32, 9, driver.str2p("mine"))), 9)
		local got = next_seen()
		eq({ got.source, got.bytes }, { skynet.self(), "mine" })
		local session = core.redirect(probe, 7, 32, nil, "x")
		eq(math.type(session), "integer")
		eq(next_seen().session, session)
		raises("invalid param nil", core.redirect, probe, 1, 32, 0, nil)
		raises("(number expected, got nil)", core.redirect, probe, nil, 32, 0, "x")
	end)
end

local function commands(probe)
	check.case("genid counts from 1", function()
		local first = skynet.getenv "sk_debug_wrap" and 0x7fffffff - 49 or 1
		eq({ run(probe, "return core.genid(), core.genid(), core.genid()") }, { first, first + 1, first + 2 })
	end)
	check.case("REG, QUERY and NAME", function()
		local self = string.format(":%x", skynet.self())
		results(table.pack(core.command("REG")), self)
		results(table.pack(core.command("REG", "")), self)
		results(table.pack(core.addresscommand("REG")), skynet.self())
		results(table.pack(core.command("REG", ".coretest")), "coretest")
		results(table.pack(core.command("REG", ".coretest")))
		results(table.pack(core.command("QUERY", ".coretest")), self)
		results(table.pack(core.addresscommand("QUERY", ".coretest")), skynet.self())
		results(table.pack(core.command("QUERY", ".nobody")))
		results(table.pack(core.addresscommand("QUERY", ".nobody")))
		results(table.pack(core.command("NAME", ".coretest2 " .. self)), "coretest2")
		results(table.pack(core.command("NAME", ".coretest2 " .. self)))
		results(table.pack(core.command("NAME", ".coretest3 nonsense")))
		logged()
		results(table.pack(core.command("REG", "global")))
		eq(last_logged(), ERROR .. "Can't register global name global in C")
		results(table.pack(core.command("NAME", "global " .. self)))
		eq(last_logged(), ERROR .. "Can't set global name global in C")
		-- A name is no address in hexadecimal.
		results(table.pack(core.addresscommand("REG", ".coretest4")))
	end)
	check.case("the parameter counts with two arguments only", function()
		local self = string.format(":%x", skynet.self())
		results(table.pack(core.command("REG", ".three", 3)), self)
		results(table.pack(core.command("QUERY", ".coretest")), self)
		raises("(string expected, got nil)", core.command, "REG", nil)
		raises("(string expected, got no value)", core.command)
		raises("(string expected, got table)", core.command, "REG", {})
		raises("(string expected, got nil)", core.addresscommand, "REG", nil)
		raises("(string expected, got nil)", core.intcommand, "REG", nil)
	end)
	check.case("environment", function()
		results(table.pack(core.command("SETENV", "coretest_key some value ")))
		results(table.pack(core.command("GETENV", "coretest_key")), "some value ")
		results(table.pack(core.command("GETENV", "coretest_none")))
		for i, value in ipairs { "12", "-7", "0x1f", "017", "", "1.5", "1e3", "nan" } do
			core.command("SETENV", "coretest_int" .. i .. " " .. value)
		end
		results(table.pack(core.intcommand("GETENV", "coretest_int1")), 12)
		results(table.pack(core.intcommand("GETENV", "coretest_int2")), -7)
		results(table.pack(core.intcommand("GETENV", "coretest_int3")), 31)
		results(table.pack(core.intcommand("GETENV", "coretest_int4")), 15)
		results(table.pack(core.intcommand("GETENV", "coretest_int5")), 0)
		results(table.pack(core.intcommand("GETENV", "coretest_int6")), 1.5)
		results(table.pack(core.intcommand("GETENV", "coretest_int7")), 1000.0)
		core.command("SETENV", "coretest_text some text")
		raises("Invalid result some text", core.intcommand, "GETENV", "coretest_text")
		results(table.pack(core.intcommand("GETENV", "coretest_none")))
		core.command("SETENV", "coretest_hex :00Ff")
		results(table.pack(core.addresscommand("GETENV", "coretest_hex")), 255)
		core.command("SETENV", "coretest_bad :00fg")
		results(table.pack(core.addresscommand("GETENV", "coretest_bad")))
		core.command("SETENV", "coretest_nocolon ff")
		results(table.pack(core.addresscommand("GETENV", "coretest_nocolon")))
	end)
	check.case("intcommand's parameter", function()
		core.command("SETENV", "42 forty-two")
		core.command("SETENV", "-42 1")
		core.command("SETENV", "0 2")
		core.command("SETENV", "-2147483648 3")
		raises("Invalid result forty-two", core.intcommand, "GETENV", 42)
		raises("Invalid result forty-two", core.intcommand, "GETENV", 42.0)
		raises("Invalid result forty-two", core.intcommand, "GETENV", "42")
		results(table.pack(core.intcommand("GETENV", -42)), 1)
		results(table.pack(core.intcommand("GETENV", 0)), 2)
		results(table.pack(core.intcommand("GETENV", -2147483648)), 3)
		raises("number has no integer representation", core.intcommand, "GETENV", 1.5)
		raises("(string expected, got boolean)", core.intcommand, "GETENV", true)
	end)
	check.case("TIMEOUT", function()
		local session = run(probe, "return core.intcommand('TIMEOUT', 0)")
		eq(next_seen(), { kind = 1, size = 0, session = session, source = 0, null = true, bytes = "", probe = probe })
		local text = run(probe, "return core.command('TIMEOUT', '1')")
		eq(next_seen().session, tonumber(text))
	end)
	check.case("STARTTIME and STAT", function()
		local start = core.intcommand("STARTTIME")
		assert(math.abs(start - os.time()) < 300, start)
		results(table.pack(core.command("STARTTIME")), tostring(start))
		eq(math.type(core.intcommand("STAT", "mqlen")), "integer")
		eq(math.type(core.intcommand("STAT", "message")), "integer")
		eq(core.command("STAT", "endless"), "0")
		results(table.pack(core.command("STAT", "nonsense")), "")
		results(table.pack(core.intcommand("STAT", "nonsense")), 0)
		assert(core.intcommand("STAT", "cpu") >= 0)
		assert(core.intcommand("STAT", "time") >= 0)
		assert(core.command("STAT", "cpu"):match("^%d+%.%d%d%d%d%d%d$") or core.command("STAT", "cpu") == "0")
	end)
	check.case("LAUNCH and KILL", function()
		local text = core.command("LAUNCH", "snlua support/probe " .. skynet.self())
		assert(text:match("^:%x%x%x%x%x%x%x%x$"), text)
		assert(text == text:upper())
		local handle = tonumber(text:sub(2), 16)
		results(table.pack(core.send(handle, 30, 1, "alive")), 1)
		eq(next_seen().bytes, "alive")
		results(table.pack(core.command("KILL", string.format(":%x", handle))))
		results(table.pack(core.send(handle, 30, 1, "dead")))
		results(table.pack(core.command("LAUNCH", "nosuchmodule")))
		results(table.pack(core.addresscommand("LAUNCH", "nosuchmodule")))
		logged()
		results(table.pack(core.command("KILL", "nonsense")))
		eq(last_logged(), ERROR .. "Can't convert nonsense to handle")
	end)
	check.case("EXIT", function()
		local mortal = new_probe()
		core.send(mortal, 20, 0, core.packstring("core.command 'EXIT'"))
		check.wait(function() return core.send(mortal, 30, 0, "") == nil end)
		assert(table.concat(logged(mortal), "\n"):find("KILL self", 1, true))
		seen = {}
	end)
	check.case("unknown commands", function()
		results(table.pack(core.command("NOSUCHCOMMAND")))
		results(table.pack(core.command("reg")))
		results(table.pack(core.intcommand("NOSUCHCOMMAND", 1)))
		results(table.pack(core.addresscommand("NOSUCHCOMMAND", "x")))
	end)
end

local function small_functions()
	check.case("tostring", function()
		results(table.pack(core.tostring()))
		results(table.pack(core.tostring(nil)))
		results(table.pack(core.tostring(nil, 5)))
		results(table.pack(core.tostring(NULL, 0)), "")
		local ptr, size = driver.str2p("a\0b")
		results(table.pack(core.tostring(ptr, size)), "a\0b")
		results(table.pack(core.tostring(ptr, 1)), "a")
		results(table.pack(core.tostring(ptr, 0)), "")
		raises("(number expected, got no value)", core.tostring, ptr)
		core.trash(ptr, size)
	end)
	check.case("trash", function()
		results(table.pack(core.trash("text")))
		results(table.pack(core.trash(driver.str2p("text"))))
		results(table.pack(core.trash(NULL, 0)))
		local ptr = driver.str2p("x")
		raises("(number expected, got no value)", core.trash, ptr)
		results(table.pack(core.trash(ptr, 0)))
		raises("skynet.trash invalid param table", core.trash, {})
		raises("skynet.trash invalid param nil", core.trash, nil)
		raises("skynet.trash invalid param no value", core.trash)
	end)
	check.case("harbor", function()
		results(table.pack(core.harbor(skynet.self())), 0, false)
		results(table.pack(core.harbor(0x0000ffff)), 0, false)
		results(table.pack(core.harbor(0x12345678)), 0x12, true)
		results(table.pack(core.harbor(0xff000001)), 0xff, true)
		raises("(number expected, got nil)", core.harbor, nil)
	end)
	check.case("clocks", function()
		local now, hpc = core.now(), core.hpc()
		eq({ math.type(now), math.type(hpc) }, { "integer", "integer" })
		skynet.sleep(10)
		local ticks, nanoseconds = core.now() - now, core.hpc() - hpc
		assert(ticks >= 9 and ticks < 2000, ticks)
		assert(nanoseconds > 80000000 and nanoseconds < 20000000000, nanoseconds)
	end)
	check.case("plain functions work from anywhere", function()
		local names = { "tostring", "pack", "unpack", "packstring", "trash", "now", "hpc" }
		local copy = {}
		for _, name in ipairs(names) do copy[name] = core[name] end
		eq(copy.unpack(copy.packstring({ 1 }, 2)), { 1 })
		copy.trash(copy.pack(1))
		eq(coroutine.wrap(function() return copy.packstring("x") end)(), "\12x")
	end)
end

local function logging()
	check.case("error", function()
		local function logs(want, ...)
			logged()
			results(table.pack(core.error(...)))
			eq(last_logged(), want)
		end
		logs("hello", "hello")
		logs("nil")
		logs("nil", nil)
		logs("12", 12)
		logs("1 2.5 true nil x", 1, 2.5, true, nil, "x")
		logs("100% %s %d", "100% %s %d")
		logs("", "")
		logs(" ", "", "")
		logs(("long "):rep(2000), ("long "):rep(2000))
		logs(("long "):rep(2000) .. " end", ("long "):rep(2000), "end")
		local object = setmetatable({}, { __tostring = function() return "object" end })
		logs("object", object)
		logs("an object", "an", object)
		logs(HEAD and "a\0b" or "a", "a\0b")
		raises("'__tostring' must return a string", core.error, 1, setmetatable({}, { __tostring = function() end }))
	end)
	check.case("trace", function()
		local function logs(pattern, ...)
			logged()
			results(table.pack(core.trace(...)))
			local line = last_logged()
			assert(line:find("^" .. pattern .. "$"), line)
		end
		logs("<TRACE tag> %d+ user", "tag", "user")
		logs("<TRACE tag> %d+ user", "tag", "user", nil)
		logs("<TRACE tag> %d+ user : @[%w/.]+core.lua:%d+ @[%w/.]+core.lua:%d+ @[%w/.]+check.lua:%d+", "tag", "user", 1)
		logs("<TRACE 1> %d+ 2 : @%S+core.lua:%d+ @%S+core.lua:%d+ @%S+check.lua:%d+", 1, 2, 0)
		logs("<TRACE tag> %d+ user", "tag", "user", 100)
		logs("<TRACE tag> %d+ user : @%S+:%d+ @%S+:%d+ @%S+:%d+", "tag", "user", (coroutine.running()))
		logs("<TRACE tag> %d+ user : @%S+:%d+ @%S+:%d+ @%S+:%d+", "tag", "user", (coroutine.running()), 2)
		local co = coroutine.create(function() coroutine.yield() end)
		logs("<TRACE tag> %d+ user", "tag", "user", co)
		coroutine.resume(co)
		logs("<TRACE tag> %d+ user : @%S+:%d+", "tag", "user", co)
		logs("<TRACE tag> %d+ user : @%S+:%d+", "tag", "user", co, 0)
		logs("<TRACE tag> %d+ user", "tag", "user", co, 2)
		local two = coroutine.create(function()
			local function inner() coroutine.yield() return 1 end
			return 1 + inner()
		end)
		coroutine.resume(two)
		logs("<TRACE tag> %d+ user : @%S+:%d+ @%S+:%d+", "tag", "user", two)
		local named = coroutine.create(load("coroutine.yield()", "=name", "t"))
		coroutine.resume(named)
		logs("<TRACE tag> %d+ user : =name:1", "tag", "user", named)
		-- C functions have no line and do not count.
		local mixed = coroutine.create(load("pcall(pcall, function()\n coroutine.yield() end)", "=mixed", "t"))
		coroutine.resume(mixed)
		logs("<TRACE tag> %d+ user : =mixed:2 =mixed:1", "tag", "user", mixed)
		raises("(string expected, got nil)", core.trace, "tag", nil)
		raises("(string expected, got no value)", core.trace)
		raises("(number expected, got table)", core.trace, "tag", "user", {})
	end)
end

local function handlers()
	check.case("arguments of the handler", function()
		local probe = new_probe()
		core.send(probe, 40, 8, "x")
		local got = next_seen()
		eq({ got.kind, got.size, got.session, got.source, got.bytes }, { 40, 1, 8, skynet.self(), "x" })
		eq({ run(probe, [[
			local co = coroutine.running()
			return type(co), coroutine.isyieldable()
		]]) }, { "thread", false })
		eq(run(probe, [[
			core.callback(function(...)
				core.callback(handle)
				core.send(REPORT, 22, 0, core.packstring { n = select("#", ...) })
				return "results", "are", "ignored"
			end)
			return true
		]]), true)
		core.send(probe, 40, 0, "x")
		eq(next_seen().n, 5)
	end)
	check.case("callback wants a function", function()
		raises("(function expected, got nil)", core.callback, nil)
		raises("(function expected, got no value)", core.callback)
		raises("(function expected, got table)", core.callback, {})
	end)
	check.case("errors in the handler", function()
		local probe = new_probe()
		run(probe, [[core.callback(function(kind, msg, size, session, source)
			if kind == 41 then error "oops" end
			if kind == 42 then error({}) end
			if kind == 43 then error(12) end
			if kind == 44 then error() end
			if kind == 45 then coroutine.yield() end
			return handle(kind, msg, size, session, source)
		end)]])
		local prefix = string.format("lua call [%x to :%x : 7 msgsz = 3] error : \27[31m", skynet.self(), probe)
		local function logs(kind, text, traceback)
			logged(probe)
			core.send(probe, kind, 7, "abc")
			local line = last_logged(probe)
			eq(line:sub(1, #prefix), prefix)
			eq(line:sub(-4), "\27[0m")
			local body = line:sub(#prefix + 1, -5)
			eq(body:sub(1, #text), text)
			if traceback then
				assert(body:find("stack traceback:\n", 1, true), body)
			else
				eq(body, text)
			end
		end
		logs(41, "probe:2: oops\nstack traceback:", true)
		logs(42, "(no error message)")
		logs(43, "12\nstack traceback:", true)
		logs(44, "(no error message)")
		logs(45, "attempt to yield", true)
		-- And it still answers.
		core.send(probe, 40, 0, "alive")
		eq(next_seen().bytes, "alive")
	end)
	check.case("error while handling an error", function()
		local probe = new_probe()
		run(probe, [[core.callback(function(kind, ...)
			if kind ~= 41 then return handle(kind, ...) end
			-- Levels of C are few, so this overflow is quick.
			local function deep() return (string.gsub("x", "x", deep)) end
			local ok, err = pcall(deep)
			assert(not ok)
			deep()
		end)]])
		logged(probe)
		core.send(probe, 41, 7, "abc")
		-- A stack overflow leaves the handler more or less room.
		logs_line(probe, function(line)
			return line:find("stack overflow", 1, true)
				or line == string.format("lua error in error : [%x to :%x : 7]", skynet.self(), probe)
		end, "of the overflow")
		core.send(probe, 40, 0, "alive")
		eq(next_seen().bytes, "alive")
	end)
	check.case("memory error", function()
		local probe = new_probe(8 << 20)
		run(probe, [[core.callback(function(kind, ...)
			if kind ~= 41 then return handle(kind, ...) end
			string.rep("x", 1 << 30)
		end)]])
		logged(probe)
		core.send(probe, 41, 7, "abc")
		local want = string.format("lua memory error : [%x to :%x : 7]", skynet.self(), probe)
		logs_line(probe, function(line) return line == want end, want)
		core.send(probe, 40, 0, "alive")
		eq(next_seen().bytes, "alive")
	end)
	check.case("forward mode keeps the messages", function()
		local probe = new_probe()
		run(probe, [[
			kept = {}
			core.callback(function(kind, msg, size, session, source)
				if kind == 50 then
					table.insert(kept, { msg, size })
					error "the message is still mine"
				elseif kind == 51 then
					for _, m in ipairs(kept) do
						core.redirect(REPORT, 0, 22, 0, m[1], m[2])
					end
				elseif kind == 52 then
					core.callback(handle)
				end
				core.trash(msg, size)
			end, true)
		]])
		for i = 1, 100 do
			core.send(probe, 50, 0, core.packstring({ i = i, text = ("x"):rep(i) }))
		end
		core.send(probe, 51, 0, "now")
		for i = 1, 100 do
			local got = next_seen()
			eq({ got.i, got.text }, { i, ("x"):rep(i) })
		end
		-- The last registration was without forward: the next message is the core's again.
		core.send(probe, 52, 0, "")
		for i = 1, 100 do core.send(probe, 40, i, "y") end
		for i = 1, 100 do eq(next_seen().session, i) end
	end)
	check.case("registration from inside the handler", function()
		local probe = new_probe()
		run(probe, [[
			local function use_stack(n) return n == 0 and 0 or 1 + use_stack(n - 1) end
			round = 0
			function rounds(kind, msg, size, session, source)
				round = round + 1
				local mine = round
				-- Several at once: only the last counts, and this thread must survive the collector.
				for _ = 1, 5 do core.callback(function() error "never called" end, true) end
				core.callback(round < 50 and function(...) return rounds(...) end or handle, false)
				collectgarbage()
				local garbage = {}
				for i = 1, 200 do garbage[i] = { ("g"):rep(i) } end
				collectgarbage()
				use_stack(500)
				assert(mine == round)
				describe(kind, msg, size, session, source)
			end
			core.callback(rounds)
			collectgarbage()
			return use_stack(1000)
		]])
		for i = 1, 60 do core.send(probe, 40, i, "r" .. i) end
		for i = 1, 60 do
			local got = next_seen()
			eq({ got.session, got.bytes }, { i, "r" .. i })
		end
		eq(run(probe, "return round"), 50)
	end)
	check.case("old handlers are collected", function()
		local probe = new_probe()
		eq(run(probe, [[
			gone = setmetatable({}, { __mode = "v" })
			local function register(n)
				local big = { n }
				gone[n] = big
				core.callback(function(...) return handle(..., big and select(2, ...)) end)
			end
			core.callback(function(kind, ...)
				for i = 1, 20 do register(i) end
				core.callback(handle)
			end)
			return true
		]]), true)
		core.send(probe, 40, 0, "go")
		eq(run(probe, "return true"), true)
		eq(run(probe, [[
			collectgarbage() collectgarbage()
			local n = 0
			for _ in pairs(gone) do n = n + 1 end
			return n
		]]), 0)
	end)
end

check.run(function()
	local probe = new_probe()
	fields()
	sending(probe)
	commands(probe)
	small_functions()
	logging()
	handlers()
end)
