-- launcher and skynet.manager: lists, statistics, kills, names.

local skynet = require "skynet"

local mode = ...

-- The test says when by a key of the environment, which is never taken back. Nobody waits for ever.
local function told(key)
	return skynet.getenv("lib_launcher_" .. key) or skynet.now() > 25 * 100
end

local function tell(key)
	skynet.setenv("lib_launcher_" .. key, "yes")
end

if mode == "peer" then
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, what, ...)
			if what == "spin" then
				repeat until told "answer"
				return
			end
			skynet.retpack(what, ...)
		end)
	end)
	return
elseif mode == "slow" then
	skynet.start(function()
		repeat skynet.sleep(1) until told "start"
	end)
	return
elseif mode == "text" then
	-- reports by text, as a C service does
	skynet.register_protocol { name = "text", id = skynet.PTYPE_TEXT, pack = function(...) return ... end,
		unpack = skynet.tostring }
	require "skynet.core".callback(function() end)
	skynet.send(".launcher", "text", select(2, ...) or "")
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local function launcher(...)
	return skynet.call(".launcher", "lua", ...)
end

local function lists()
	case("LIST", function()
		local list = launcher "LIST"
		eq(list[":00000004"], "snlua cdummy")
		eq(list[":00000006"], "snlua datacenterd")
		eq(list[":00000007"], "snlua service_mgr")
		eq(list[":00000008"], "snlua lib_launcher")
		eq(list[":00000003"], nil)
		local peer = skynet.newservice("lib_launcher", "peer", 1, 2)
		eq(launcher "list"[skynet.address(peer)], "snlua lib_launcher peer 1 2")
		skynet.kill(peer)
		eq(launcher "LIST"[skynet.address(peer)], nil)
	end)
	case("STAT and MEM", function()
		local row = launcher "STAT"[":00000008"]
		eq(math.type(row.task), "integer")
		eq(math.type(row.mqlen), "integer")
		eq(math.type(row.message), "integer")
		assert(row.cpu >= 0)
		local memory = launcher "MEM"[":00000008"]
		assert(memory:find "^%d+%.%d%d Kb %(snlua lib_launcher%)$", memory)
		assert(launcher("GC", 300)[":00000008"]:find "^%d+%.%d%d Kb")
	end)
	case("services that do not answer in time", function()
		local peer = skynet.newservice("lib_launcher", "peer")
		skynet.send(peer, "lua", "spin")
		eq(launcher("STAT", 10)[skynet.address(peer)], "TIMEOUT")
		eq(launcher("MEM", 2)[skynet.address(peer)], "TIMEOUT (snlua lib_launcher peer)")
		tell "answer"
		eq(skynet.call(peer, "lua", "done"), "done")
		skynet.kill(peer)
	end)
	case("services that fail to answer", function()
		local peer = skynet.newservice("lib_launcher", "peer")
		skynet.send(peer, "debug", "RUN", "require 'skynet'._proto.debug.dispatch = function() error 'on purpose' end")
		skynet.sleep(2)
		eq(launcher "STAT"[skynet.address(peer)], "ERROR")
		eq(launcher "MEM"[skynet.address(peer)], "ERROR (snlua lib_launcher peer)")
		skynet.kill(peer)
	end)
	case("unknown command", function()
		eq(launcher "nosuch", { "Unknown command" })
	end)
end

local function launching()
	case("LAUNCH of a module that is not there", function()
		raises("call failed", launcher, "LAUNCH", "lib_launcher_no_such_module", "x")
	end)
	case("QUERY while it starts", function()
		local handle
		local thread = skynet.fork(function()
			handle = skynet.newservice("lib_launcher", "slow")
		end)
		skynet.yield()
		local session = skynet.task(thread)
		local found = launcher("QUERY", session)
		tell "start"
		check.wait(function() return handle end)
		eq(found, handle)
		eq(launcher("QUERY", session), nil)
		skynet.kill(handle)
	end)
	case("reports by text", function()
		local handle = skynet.newservice("lib_launcher", "text")
		eq(math.type(handle), "integer")
		skynet.kill(handle)
		raises("call failed", skynet.newservice, "lib_launcher", "text", "ERROR")
	end)
	case("LOGLAUNCH", function()
		local handle = launcher("LOGLAUNCH", "snlua", "lib_launcher", "peer")
		eq(skynet.call(handle, "lua", 1), 1)
		skynet.kill(handle)
	end)
	case("KILL", function()
		local peer = skynet.newservice("lib_launcher", "peer")
		eq(launcher("KILL", peer), { [skynet.address(peer)] = "snlua lib_launcher peer" })
		raises("call to invalid address", skynet.call, peer, "lua", 1)
		eq(launcher("KILL", peer), { [skynet.address(peer)] = "nil" })
		local second = skynet.newservice("lib_launcher", "peer")
		local text = string.format(":%x", second)
		eq(launcher("KILL", text), { [text] = "nil" })
		raises("call to invalid address", skynet.call, second, "lua", 1)
		eq(launcher "LIST"[skynet.address(second)], nil)
	end)
end

local function manager()
	case("launch and kill", function()
		local peer = skynet.launch("snlua", "lib_launcher peer")
		eq(math.type(peer), "integer")
		-- Nobody tells when it is ready; until then it refuses.
		check.wait(function() return pcall(skynet.call, peer, "lua", 1) end)
		eq(launcher "LIST"[skynet.address(peer)], nil)
		skynet.kill(peer)
		results(table.pack(skynet.kill(peer)))
		eq(skynet.launch("lib_launcher_no_such_module"), nil)
	end)
	case("kill by text and by name", function()
		local peer = skynet.newservice("lib_launcher", "peer")
		skynet.kill(string.format(":%08x", peer))
		raises("call to invalid address", skynet.call, peer, "lua", 1)
		eq(launcher "LIST"[skynet.address(peer)], nil)
		local named = skynet.newservice("lib_launcher", "peer")
		skynet.name(".lib_launcher_victim", named)
		skynet.kill ".lib_launcher_victim"
		raises("call to invalid address", skynet.call, named, "lua", 1)
		skynet.kill ".lib_launcher_nobody"
	end)
	case("names", function()
		local peer = skynet.newservice("lib_launcher", "peer")
		skynet.register ".lib_launcher"
		eq(skynet.localname ".lib_launcher", skynet.self())
		skynet.name(".lib_launcher", peer)
		eq(skynet.localname ".lib_launcher", skynet.self(), "the first wins")
		skynet.name(".lib_launcher2", skynet.address(peer))
		eq(skynet.localname ".lib_launcher2", peer)
		skynet.name("LIB_LAUNCHER", peer)
		eq(skynet.call("LIB_LAUNCHER", "lua", 1), 1)
		raises("assertion failed!", skynet.name, ":8", peer)
		raises("assertion failed!", skynet.name, "a_name_of_sixteen", peer)
		raises("assertion failed!", skynet.name, "123", peer)
		raises("assertion failed!", skynet.register, ":8")
		skynet.kill(peer)
		check.wait(function() return skynet.localname ".lib_launcher2" == nil end)
	end)
	case("monitor", function()
		local reports = {}
		skynet.register_protocol { name = "client", id = skynet.PTYPE_CLIENT, unpack = skynet.tostring,
			dispatch = function(session, source, text) table.insert(reports, { session, source, text }) end }
		require "skynet.core".command("MONITOR", skynet.address(skynet.self()))
		local peer = skynet.newservice("lib_launcher", "peer")
		skynet.kill(peer)
		check.wait(function() return reports[1] end)
		eq(reports[1], { 0, peer, "" })
	end)
	case("harbor functions of a node that runs alone", function()
		local harbor = require "skynet.harbor"
		harbor.globalname "LIB_SELF"
		eq(harbor.queryname "LIB_SELF", skynet.self())
		harbor.globalname("LIB_OTHER", 0x99)
		eq(harbor.queryname "LIB_OTHER", 0x99)
		eq(harbor.queryname ".launcher", 3)
		eq(harbor.queryname ".nobody", nil)
		harbor.link(3)
		raises("call failed", harbor.linkmaster)
		local found, connected
		skynet.fork(function() found = harbor.queryname "LIB_LATER" end)
		skynet.fork(function() harbor.connect(3) connected = true end)
		skynet.sleep(2)
		eq(found, nil)
		eq(connected, nil)
		harbor.globalname("LIB_LATER", 0x77)
		check.wait(function() return found end)
		eq(found, 0x77)
	end)
end

check.run(function()
	lists()
	launching()
	manager()
end)
