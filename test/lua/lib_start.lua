-- How services start: the loader, skynet.init and skynet.start, require inside threads, forward_type and filter,
-- newservice and what it returns.
-- config: lib_start_key = "from the config"

local mode, argument = ...
local arguments = table.pack(...)

local skynet = require "skynet"

if mode == "arguments" then
	skynet.start(function()
		skynet.dispatch("lua", function()
			skynet.retpack(SERVICE_NAME, SERVICE_PATH, arguments, LUA_PATH, LUA_CPATH, LUA_SERVICE, LUA_PRELOAD)
		end)
	end)
	return
elseif mode == "order" then
	local log = {}
	skynet.init(function() table.insert(log, "init 1") skynet.sleep(1) table.insert(log, "init 1 end") end)
	skynet.init(function() table.insert(log, "init 2") end)
	local ok = pcall(skynet.init, "no function")
	skynet.start(function()
		table.insert(log, "start")
		skynet.dispatch("lua", function() skynet.retpack(log, ok, pcall(skynet.init, print)) end)
		skynet.sleep(1)
		table.insert(log, "start end")
	end)
	return
elseif mode == "raise_in_chunk" then
	error "on purpose"
elseif mode == "raise_in_start" then
	skynet.start(function() error "on purpose" end)
	return
elseif mode == "raise_in_init" then
	skynet.init(function() error "on purpose" end)
	skynet.start(function() end)
	return
elseif mode == "exit_in_start" then
	skynet.start(function() skynet.exit() end)
	return
elseif mode == "stuck" then
	skynet.start(function()
		skynet.name = nil
		skynet.dispatch("lua", function() skynet.retpack "while it starts" end)
		skynet.send(tonumber(argument), "lua", skynet.self())
		skynet.wait()
	end)
	return
elseif mode == "forward" then
	require "skynet.manager"
	local texts = {}
	skynet.register_protocol { name = "text", id = skynet.PTYPE_TEXT, unpack = function(...) return ... end,
		dispatch = function(_, source, msg, size)
			table.insert(texts, skynet.tostring(msg, size))
			skynet.redirect(tonumber(argument), source, "client", 0, msg, size)	-- the handler owns it
		end }
	skynet.register_protocol { name = "client", id = skynet.PTYPE_CLIENT, pack = skynet.pack }
	skynet.forward_type({ [skynet.PTYPE_CLIENT] = skynet.PTYPE_TEXT }, function()
		skynet.dispatch("lua", function(_, _, what)
			if what == "raise" then error "on purpose" end
			skynet.retpack(texts)
		end)
	end)
	return
elseif mode == "filter" then
	require "skynet.manager"
	skynet.filter(function(kind, msg, size, session, source)
		if kind == skynet.PTYPE_CLIENT then
			return skynet.PTYPE_LUA, msg, size, session, 0xabc
		end
		return kind, msg, size, session, source
	end, function()
		local seen = {}
		skynet.dispatch("lua", function(session, source, ...)
			table.insert(seen, { source, ... })
			if session > 0 then skynet.retpack(seen) end
		end)
	end)
	return
elseif mode == "require" then
	-- the modules that it requires are made here, as files
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, ...)
			skynet.retpack(pcall(require, ...))
		end)
		skynet.register_protocol { name = "text", id = skynet.PTYPE_TEXT, unpack = skynet.tostring,
			dispatch = function(_, _, path) package.path = path end }
	end)
	return
elseif mode == "main_chunk" then
	-- an initialiser that a module registers while it is required in the main chunk
	local log = {}
	package.preload.lib_start_module = function() skynet.init(function() table.insert(log, "module") end) return 1 end
	skynet.init(function() table.insert(log, "before") end)
	require "lib_start_module"
	skynet.init(function() table.insert(log, "after") end)
	skynet.start(function()
		skynet.dispatch("lua", function() skynet.retpack(log) end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local function loader()
	case("names, arguments, globals", function()
		local peer = skynet.newservice("lib_start", "arguments", 12, "x=y")
		local result = table.pack(skynet.call(peer, "lua"))
		eq(result[1], "lib_start")
		eq(result[2], "./test/lua/")
		eq(result[3], { "arguments", "12", "x=y", n = 3 })
		eq(result.n, 7)
		for i = 4, 7 do eq(result[i], nil, "global") end
		skynet.kill(peer)
	end)
	case("require of the loader", function()
		eq(require, require "skynet.require".require)
	end)
	case("config", function()
		eq(skynet.getenv "lib_start_key", "from the config")
		assert(package.path ~= nil and package.cpath ~= nil)
	end)
end

local function starting()
	case("init before start, in order", function()
		local peer = skynet.newservice("lib_start", "order")
		local log, ok, late = skynet.call(peer, "lua")
		eq(log, { "init 1", "init 1 end", "init 2", "start", "start end" })
		eq(ok, false, "init of something else")
		eq(late, false, "init in a handler")
		skynet.kill(peer)
	end)
	case("init of a module in the main chunk", function()
		local peer = skynet.newservice("lib_start", "main_chunk")
		eq(skynet.call(peer, "lua"), { "before", "module", "after" })
		skynet.kill(peer)
	end)
	case("services that do not start", function()
		raises("call failed", skynet.newservice, "lib_start", "raise_in_chunk")
		raises("call failed", skynet.newservice, "lib_start", "raise_in_start")
		raises("call failed", skynet.newservice, "lib_start", "raise_in_init")
		raises("call failed", skynet.newservice, "lib_start_no_such_script")
	end)
	case("a service that exits while it starts", function()
		results(table.pack(skynet.newservice("lib_start", "exit_in_start")))
	end)
	case("a service that is killed while it starts", function()
		local handle, result
		skynet.dispatch("lua", function(_, _, h) handle = h end)
		skynet.fork(function() result = table.pack(pcall(skynet.newservice, "lib_start", "stuck", skynet.self())) end)
		check.wait(function() return handle end)
		eq(skynet.call(handle, "lua"), "while it starts")
		local trace = skynet.call(handle, "debug", "TASK", "init")
		assert(trace:find "^stack traceback:", trace)
		eq(result, nil)
		skynet.kill(handle)
		check.wait(function() return result end)
		eq(result[1], false)
		assert(result[2]:find "call failed$", result[2])
	end)
	case("no start trace when started", function()
		local peer = skynet.newservice("lib_start", "arguments")
		eq(skynet.call(peer, "debug", "TASK", "init"), nil)
		skynet.kill(peer)
	end)
end

local function other_starts()
	case("forward_type", function()
		local got
		skynet.register_protocol { name = "client", id = skynet.PTYPE_CLIENT, pack = skynet.pack,
			unpack = skynet.tostring, dispatch = function(_, source, text) got = { source, text } end }
		local peer = skynet.newservice("lib_start", "forward", skynet.self())
		skynet.rawsend(peer, "client", "forwarded")
		check.wait(function() return got end)
		eq(got, { skynet.self(), "forwarded" })
		for _ = 1, 3 do
			raises("call failed", skynet.call, peer, "lua", "raise")
			eq(skynet.call(peer, "lua"), { "forwarded" })
		end
		skynet.kill(peer)
	end)
	case("filter", function()
		local peer = skynet.newservice("lib_start", "filter")
		skynet.send(peer, "client", "as client")
		eq(skynet.call(peer, "lua", "as lua"), { { 0xabc, "as client" }, { skynet.self(), "as lua" } })
		skynet.kill(peer)
	end)
end

local function requiring()
	local folder = os.tmpname()
	os.remove(folder)
	assert(os.execute(string.format("mkdir -p %q", folder)))
	local function write(name, text)
		local file <close> = assert(io.open(folder .. "/" .. name .. ".lua", "w"))
		file:write(text)
	end
	local function new_peer()
		local peer = skynet.newservice("lib_start", "require")
		skynet.rawsend(peer, "text", folder .. "/?.lua;" .. package.path)
		return peer
	end
	skynet.register_protocol { name = "text", id = skynet.PTYPE_TEXT, pack = function(...) return ... end }

	write("rq_value", [[ local name, file = ... return name .. " " .. file:match "[^/]*$" ]])
	write("rq_nil", [[ rq_nil_loaded = (rq_nil_loaded or 0) + 1 return nil ]])
	write("rq_slow", [[
		local skynet = require "skynet"
		rq_slow_loaded = (rq_slow_loaded or 0) + 1
		skynet.init(function() skynet.sleep(2) rq_log = (rq_log or "") .. "slow " end)
		skynet.sleep(3)
		return { loaded = rq_slow_loaded }
	]])
	write("rq_nested", [[
		local skynet = require "skynet"
		skynet.init(function() rq_log = rq_log .. "nested" end)
		require "rq_slow"
		rq_log = rq_log .. "between "
		return function() return rq_log end
	]])
	write("rq_log", [[ return { require "rq_nested" () } ]])
	write("rq_raise", [[ require "skynet".sleep(2) error "on purpose" ]])
	write("rq_syntax", [[ this is not Lua ]])
	write("rq_circle1", [[ return require "rq_circle2" ]])
	write("rq_circle2", [[ return require "rq_circle1" ]])
	write("rq_init_raise", [[ require "skynet".init(function() error "in the initialiser" end) ]])

	case("require in a thread", function()
		local peer = new_peer()
		results(table.pack(skynet.call(peer, "lua", "rq_value")), true, "rq_value rq_value.lua")
		results(table.pack(skynet.call(peer, "lua", "rq_nil")), true, true)
		results(table.pack(skynet.call(peer, "lua", "rq_nil")), true, true)
		skynet.kill(peer)
	end)
	case("initialisers run before require returns", function()
		local peer = new_peer()
		local ok, log = skynet.call(peer, "lua", "rq_log")
		eq(ok, true)
		eq(log, { "slow between nested" })
		skynet.kill(peer)
	end)
	case("concurrent requires", function()
		local peer = new_peer()
		local seen = {}
		for i = 1, 5 do
			skynet.fork(function() seen[i] = table.pack(skynet.call(peer, "lua", "rq_slow")) end)
		end
		check.wait(function() return #seen == 5 end)
		for i = 1, 5 do results(seen[i], true, { loaded = 1 }) end
		skynet.kill(peer)
	end)
	case("concurrent requires of a module that fails", function()
		local peer = new_peer()
		local seen = {}
		for i = 1, 3 do
			skynet.fork(function() seen[i] = table.pack(skynet.call(peer, "lua", "rq_raise")) end)
		end
		check.wait(function() return #seen == 3 end)
		local failed = 0
		for i = 1, 3 do
			eq(seen[i][1], false)
			if seen[i][2]:find "require rq_raise failed" then failed = failed + 1 end
		end
		eq(failed, 2)
		local ok, reason = skynet.call(peer, "lua", "rq_raise")
		eq(ok, false)
		assert(reason:find "on purpose" and reason:find "stack traceback", reason)
		skynet.kill(peer)
	end)
	case("errors", function()
		local peer = new_peer()
		local function fails(name, text)
			local ok, reason = skynet.call(peer, "lua", name)
			eq(ok, false)
			assert(reason:find(text, 1, true), reason)
		end
		fails("rq_syntax", "rq_syntax.lua:1:")
		fails("rq_circle1", "circular dependency")
		fails("rq_init_raise", "in the initialiser")
		fails("rq_no_such_module", "module 'rq_no_such_module' not found:")
		skynet.kill(peer)
	end)
	os.execute(string.format("rm -r %q", folder))
end

check.run(function()
	loader()
	starting()
	other_starts()
	requiring()
end)
