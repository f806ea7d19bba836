-- service_mgr: unique services of the node and of the network, queries, remembered failures, LIST.

local skynet = require "skynet"

local mode = ...
local SELF <const> = "lib_unique"

-- A unique service is known by its name alone, so the roles are told apart by links made below.
local role = SERVICE_NAME:match "^lib_unique/(%w+)"
if mode == "slow" then
	skynet.start(function() skynet.sleep(20) end)
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
		eq(role, nil)
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
		skynet.fork(function() found[1] = skynet.queryservice "core" end)
		skynet.fork(function() found[2] = skynet.queryservice "core" end)
		skynet.sleep(2)
		eq(#found, 0)
		local list = manager "LIST"
		assert(list.core:find "^Querying:\n:00000008 stack traceback:", list.core)
		-- whatever becomes of it, the waiters are told
		pcall(skynet.uniqueservice, "lib_unique", "raise")
	end)
	case("LIST", function()
		local list = manager "LIST"
		eq(list[SELF], skynet.address(unique))
		assert(list["@" .. SELF]:find "^:%x+$")
		assert(list.lib_unique_no_such_service:find "^Error: .*call failed$")
	end)
	case("LIST while launching", function()
		skynet.fork(pcall, skynet.uniqueservice, "lib_unique_stuck")
		skynet.fork(pcall, skynet.queryservice, "lib_unique_waiting")
		skynet.sleep(2)
		local list = manager "LIST"
		assert(list.lib_unique_waiting:find "^Querying:\n:00000008 stack traceback:")
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
