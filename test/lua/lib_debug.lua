-- Proto debug, skynet.inject, skynet.injectcode, tracing by proto, memory limits.

local mode, argument = ...

local skynet = require "skynet"

local command = {}
local counter = 0

function command.echo(...) return ... end
function command.add(n) counter = counter + n return counter end
function command.tag() return skynet.tracetag() end
function command.next_tag(handle)
	if not handle then return skynet.tracetag() end
	return skynet.tracetag(), skynet.call(handle, "lua", "tag")
end

if mode == "peer" then
	skynet.info_func(function(...) return { n = select("#", ...), ... } end)
	local added = require "skynet.debug"
	added.reg_debugcmd("LIBDEBUG", function(...) skynet.retpack("mine", ...) end)
	added.reg_debugcmd("PING", function() skynet.retpack "never reached" end)
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, name, ...) skynet.retpack(command[name](...)) end)
		skynet.fork(skynet.wait, "parked")
	end)
	return
elseif mode == "plain" then
	skynet.start(function() end)
	return
elseif mode == "limited" then
	skynet.memlimit(2 * 1024 * 1024)
	local gone = skynet.memlimit == nil
	local cache = {}
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, what)
			if what == "gone" then
				skynet.retpack(gone)
			elseif what == "eat" then
				local ok, reason = pcall(string.rep, "x", 64 * 1024 * 1024)
				skynet.retpack(ok, reason)
			elseif what == "keep" then
				for i = #cache + 1, math.huge do cache[i] = { name = "n" .. i } end
			else
				skynet.retpack(#string.rep("y", 1000))
			end
		end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local function commands(peer, plain)
	local function ask(...) return skynet.call(peer, "debug", ...) end

	case("PING, MEM, STAT", function()
		results(table.pack(ask "PING"))
		eq(math.type(ask "MEM"), "float")
		local stat = ask "STAT"
		for _, name in ipairs { "task", "mqlen", "message" } do eq(math.type(stat[name]), "integer", name) end
		eq(math.type(stat.cpu), "float")
	end)
	case("GC", function()
		skynet.send(peer, "debug", "GC")
		eq(skynet.call(peer, "lua", "echo", 1), 1)
	end)
	case("INFO", function()
		eq(ask "INFO", { n = 0 })
		eq(ask("INFO", 1, "x"), { n = 2, 1, "x" })
		eq(skynet.call(plain, "debug", "INFO"), nil)
	end)
	case("TASK and UNIQTASK", function()
		local all = ask "TASK"
		local name, text = next(all)
		assert(name:find "^thread: 0x%x+ session: %d+$", name)
		assert(text:find "^stack traceback:", text)
		eq(next(all, name), nil)
		eq(ask("TASK", tonumber(name:match "%d+$")), text)
		eq(ask("TASK", 0x7ffffff0), "No session")
		local key, group = next(ask "UNIQTASK")
		assert(key:find "^1\tsessions:%[%d+%]\n$", key)
		eq(group, text)
	end)
	case("KILLTASK", function()
		eq(ask("KILLTASK", "no such thread"), "Not found")
		results(table.pack(ask("KILLTASK", "thread")))
		eq(ask "TASK", {})
	end)
	case("SUPPORT", function()
		eq(ask("SUPPORT", "lua"), true)
		eq(ask("SUPPORT", "debug"), true)
		eq(ask("SUPPORT", "socket"), false)
		eq(skynet.call(plain, "debug", "SUPPORT", "lua"), false)
	end)
	case("commands of its own", function()
		results(table.pack(ask("LIBDEBUG", 1, 2)), "mine", 1, 2)
		results(table.pack(ask "PING"))
	end)
	case("unknown", function()
		raises("call failed", ask, "NOSUCH")
		raises("call failed", ask)
	end)
	case("TERM", function()
		local blocked
		skynet.dispatch("lua", function() blocked = skynet.response() end)
		skynet.register ".lib_debug_mute"
		skynet.send(peer, "debug", "RUN", [[
			local skynet = require "skynet"
			skynet.fork(function()
				_G.lib_debug_result = table.pack(pcall(skynet.call, ".lib_debug_mute", "lua"))
			end)
		]])
		check.wait(function() return blocked end)
		local function outcome()
			local _, output = ask("RUN", "print(tostring(lib_debug_result and lib_debug_result[1]))")
			return output
		end
		eq(outcome(), "nil")
		skynet.send(peer, "debug", "TERM", ".lib_debug_mute")
		check.wait(function() return outcome() == "false" end)
		blocked(false)
	end)
end

local function injection(peer)
	local function run(source, ...) return skynet.call(peer, "debug", "RUN", source, ...) end

	case("RUN prints", function()
		results(table.pack(run [[print("a", 1, false) print() print "b"]]), true, "a\t1\tfalse\n\nb")
		results(table.pack(run("print(...)", nil, 1, "x", 3)), true, "1\tx\t3")
		results(table.pack(run "return 1"), true, "")
	end)
	case("RUN sees the service", function()
		results(table.pack(run "print(_P.lua.command.add(5), type(_P.lua.command.echo))"), true, "5\tfunction")
		eq(skynet.call(peer, "lua", "add", 1), 6)
		results(table.pack(run "print(type(_U), type(_P.nosuch))"), true, "table\tnil")
		run "_P.lua.command.added = function() return 'injected' end"
		eq(skynet.call(peer, "lua", "added"), "injected")
	end)
	case("RUN fails", function()
		local ok, output = run "print 'before' error 'on purpose'"
		eq(ok, false)
		assert(output:find "^before\n.*on purpose$", output)
		ok, output = run("this is not Lua", "name.lua")
		eq(ok, false)
		assert(output:find "name.lua:1:", output)
	end)
	case("inject", function()
		local inject = require "skynet.inject"
		local hidden = { value = 1 }
		local function inner() return hidden end
		local function outer() return inner end
		local ok, lines = inject(skynet, "print(_U.hidden.value, ...) hidden_value = _U.hidden", "f.lua",
			{ "x", n = 1 }, outer)
		eq(ok, true)
		eq(lines, { "1\tx" })
		ok, lines = inject(skynet, "error 'on purpose'", "f.lua", {}, outer)
		eq(ok, false)
		assert(lines[1]:find "^f.lua:1: on purpose$", lines[1])
	end)
	case("injectcode in this thread", function()
		local injectcode = require "skynet.injectcode"
		local upvalue = "up"
		local function f(...)
			local a, b = 1, 2
			eq(type(upvalue), "string")
			results(table.pack(injectcode("a = a + 10 upvalue = 'changed' return a, b, upvalue, extra, ...", nil, 0,
				{ extra = "ext" })), true, 11, 2, "changed", "ext", "v1", "v2")
			eq(a, 11)
			eq(b, 2)
			eq(upvalue, "changed")
			eq((injectcode "return"), true)
			local ok, reason = injectcode "error 'on purpose'"
			eq(ok, false)
			assert(reason:find "%(debug%).*on purpose$", reason)
			ok, reason = injectcode "not Lua"
			eq(ok, false)
			assert(reason:find "%(debug%)", reason)
		end
		f("v1", "v2")
	end)
	case("injectcode in another thread", function()
		local injectcode = require "skynet.injectcode"
		local upvalue = "up"
		local thread = coroutine.create(function(parameter)
			local x = 1
			coroutine.yield(upvalue)
			return parameter, x
		end)
		coroutine.resume(thread, "p")
		results(table.pack(injectcode("x = 5 parameter = parameter .. '!' return parameter, upvalue, x", thread, 1)),
			true, "p!", "up", 5)
		results(table.pack(coroutine.resume(thread)), true, "p!", 5)
	end)
end

local function tracing(peer)
	local second = skynet.newservice("lib_debug", "peer")
	local function in_trace(f)
		local done, ok, reason
		skynet.fork(function()
			skynet.trace "lib"
			ok, reason = xpcall(f, debug.traceback)
			done = true
		end)
		check.wait(function() return done end)
		assert(ok, reason)
	end

	case("no tag", function()
		eq(skynet.tracetag(), nil)
		eq(skynet.call(peer, "lua", "tag"), nil)
	end)
	case("a tag goes along with calls", function()
		in_trace(function()
			local tag = skynet.tracetag()
			assert(tag:find "^:00000008%-%d+$", tag)
			results(table.pack(skynet.call(peer, "lua", "next_tag", second)), tag, tag)
			eq(skynet.unpack(skynet.rawcall(peer, "lua", skynet.pack "tag")), tag)
			for _, answer in skynet.request { peer, "lua", "tag" }:select() do eq(answer[1], tag) end
			skynet.send(peer, "lua", "echo")
		end)
		eq(skynet.call(peer, "lua", "tag"), nil)
	end)
	case("a fork has none", function()
		in_trace(function()
			local seen = "unset"
			skynet.fork(function() seen = skynet.tracetag() end)
			skynet.yield()
			eq(seen, nil)
		end)
	end)
	case("traceproto", function()
		skynet.call(peer, "debug", "TRACELOG", true)
		assert(skynet.call(peer, "lua", "tag"):find(string.format("^:%08x%%-%%d+$", peer)))
		in_trace(function() eq(skynet.call(peer, "lua", "tag"), skynet.tracetag()) end)
		skynet.call(peer, "debug", "TRACELOG", "lua", false)
		eq(skynet.call(peer, "lua", "tag"), false)
		in_trace(function() eq(skynet.call(peer, "lua", "tag"), false) end)
		skynet.call(peer, "debug", "TRACELOG", "lua", nil)
		eq(skynet.call(peer, "lua", "tag"), nil)
		raises("call failed", skynet.call, peer, "debug", "TRACELOG", "no such proto", true)
		raises("assertion failed!", skynet.traceproto, "no such proto", true)
	end)
	case("tracecall", function()
		eq(skynet.unpack(skynet.tracecall("lib-tag", peer, "lua", skynet.pack "tag")), "lib-tag")
		eq(skynet.tracetag(), nil)
	end)
end

check.run(function()
	eq(mode, nil)
	eq(argument, nil)
	local peer = skynet.newservice("lib_debug", "peer")
	local plain = skynet.newservice("lib_debug", "plain")
	commands(peer, plain)
	injection(peer)
	tracing(peer)
	case("EXIT", function()
		skynet.send(plain, "debug", "EXIT")
		check.wait(function() return not pcall(skynet.call, plain, "debug", "PING") end)
		raises("call to invalid address", skynet.call, plain, "debug", "PING")
	end)
	case("memlimit", function()
		local limited = skynet.newservice("lib_debug", "limited")
		eq(skynet.call(limited, "lua", "gone"), true)
		local ok, reason = skynet.call(limited, "lua", "eat")
		eq(ok, false)
		eq(reason, "not enough memory")
		eq(skynet.call(limited, "lua", "live"), 1000)
	end)
	case("requests that die of memory are answered", function()
		for _ = 1, 5 do
			local limited = skynet.newservice("lib_debug", "limited")
			raises("call failed", skynet.call, limited, "lua", "keep")
			skynet.kill(limited)
		end
	end)
end)
