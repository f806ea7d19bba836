-- service_mgr: unique services of the node and of the network, queries, remembered failures, LIST.

local skynet = require "skynet"

local mode = ...
local SELF <const> = "lib_unique"

-- A unique service is known by its name alone; "./" in front makes more names for this one script.
local SLOW <const>, RAISE <const>, LATE <const> = "./lib_unique", "././lib_unique", "./././lib_unique"

if mode == "slow" then
	skynet.start(function() skynet.sleep(20) end)
	return
elseif mode == "held" then
	-- It starts when the test says so, by a key that is never taken back, and does not wait for ever.
	skynet.start(function()
		skynet.setenv("lib_unique_held", "yes")
		repeat skynet.sleep(1) until skynet.getenv "lib_unique_go" or skynet.now() > 25 * 100
	end)
	return
elseif mode == "raise" then
	skynet.start(function() error "on purpose" end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, case = check.eq, check.raises, check.case

local function manager(...)
	return skynet.call(".service", "lua", ...)
end

check.run(function()
	local unique
	case("launched once", function()
		local seen = {}
		for i = 1, 5 do
			skynet.fork(function() seen[i] = skynet.uniqueservice(SELF, "slow") end)
		end
		check.wait(function() return #seen == 5 end)
		unique = seen[1]
		for i = 1, 5 do eq(seen[i], unique) end
		eq(skynet.uniqueservice(SELF, "other arguments"), unique)
		eq(skynet.queryservice(SELF), unique)
	end)
	case("one for the network beside the one of the node", function()
		local shared = skynet.uniqueservice(true, SELF, "slow")
		assert(shared ~= unique)
		eq(skynet.uniqueservice(true, SELF), shared)
		eq(skynet.queryservice(true, SELF), shared)
		eq(skynet.queryservice(SELF), unique)
	end)
	case("a failure is remembered", function()
		raises("call failed", skynet.uniqueservice, "lib_unique_no_such_service")
		raises("call failed", skynet.uniqueservice, "lib_unique_no_such_service")
		raises("call failed", skynet.queryservice, "lib_unique_no_such_service")
		raises("call failed", skynet.uniqueservice, true, "lib_unique_no_such_service")
	end)
	case("query waits", function()
		local found = {}
		for i = 1, 2 do
			skynet.fork(function() found[i] = skynet.queryservice(LATE) end)
		end
		skynet.sleep(2)
		eq(#found, 0)
		local text = manager "LIST"[LATE]
		assert(text:find "^Querying:\n:00000008 stack traceback:\n.*\n:00000008 stack traceback:\n", text)
		local handle = skynet.uniqueservice(LATE, "slow")
		check.wait(function() return #found == 2 end)
		eq(found, { handle, handle })
	end)
	case("a failure reaches those who wait", function()
		local outcome = {}
		for i, f in ipairs { skynet.queryservice, skynet.uniqueservice, skynet.queryservice } do
			skynet.fork(function() outcome[i] = table.pack(pcall(f, RAISE, "raise")) end)
		end
		check.wait(function() return #outcome == 3 end)
		for i = 1, 3 do
			eq(outcome[i][1], false)
			assert(outcome[i][2]:find "call failed$", outcome[i][2])
		end
	end)
	case("LIST", function()
		local list = manager "LIST"
		eq(list[SELF], skynet.address(unique))
		assert(list["@" .. SELF]:find "^:%x+$")
		assert(list.lib_unique_no_such_service:find "^Error: .*call failed$")
	end)
	case("LIST while launching", function()
		skynet.fork(skynet.uniqueservice, SLOW, "held")
		check.wait(function() return skynet.getenv "lib_unique_held" end)
		skynet.fork(skynet.queryservice, SLOW)
		skynet.sleep(2)
		local text = manager "LIST"[SLOW]
		assert(text:find("^Init as :%x+\nstack traceback:\n.*\nLaunching from :00000008\nstack traceback:\n.*"
			.. "\nQuerying:\n:00000008 stack traceback:\n"), text)
		skynet.setenv("lib_unique_go", "yes")
		local handle = skynet.uniqueservice(SLOW)
		eq(manager "LIST"[SLOW], skynet.address(handle))
	end)
	case("unknown command", function()
		local handle, reason = manager "NOSUCH"
		eq(handle, nil)
		eq(reason, "Invalid command NOSUCH")
	end)
	case("a second manager leaves", function()
		local before = skynet.localname ".service"
		skynet.newservice "service_mgr"
		eq(skynet.localname ".service", before)
	end)
end)
