-- skynet.service: singletons made from functions.

local skynet = require "skynet"
local service = require "skynet.service"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local function echo(...)
	local skynet = require "skynet"
	local arguments = table.pack(...)
	local started = false
	skynet.start(function() started = true end)
	skynet.dispatch("lua", function(_, _, what, ...)
		if what == "arguments" then
			skynet.retpack(arguments, started)
		else
			skynet.retpack(what, ...)
		end
	end)
end

local function slow()
	local skynet = require "skynet"
	skynet.sleep(10)
end

-- Longer than anybody waits for it.
local function boots()
	require "skynet".sleep(3000)
end

local function fails()
	error "on purpose"
end

check.run(function()
	case("new and query", function()
		local handle = service.new("lib_echo", echo, 1, nil, { x = 2 })
		eq(service.new("lib_echo", nil), handle)
		eq(service.query "lib_echo", handle)
		local arguments, started = skynet.call(handle, "lua", "arguments")
		eq(arguments, { 1, nil, { x = 2 }, n = 3 })
		eq(started, true)
		results(table.pack(skynet.call(handle, "lua", 1, 2)), 1, 2)
	end)
	case("concurrent", function()
		local found = {}
		for i = 1, 4 do
			skynet.fork(function() found[i] = service.new("lib_slow", slow) end)
		end
		skynet.fork(function() found[5] = service.query "lib_slow" end)
		check.wait(function() return #found == 5 end)
		for i = 2, 5 do eq(found[i], found[1]) end
		raises("call failed", skynet.call, found[1], "lua", "No dispatch function")
	end)
	case("query waits", function()
		local found
		skynet.fork(function() found = service.query "lib_late" end)
		skynet.sleep(2)
		eq(found, nil)
		local handle = service.new("lib_late", echo)
		check.wait(function() return found end)
		eq(found, handle)
	end)
	case("a failure is remembered until it is closed", function()
		raises("call failed", service.new, "lib_fails", fails)
		raises("call failed", service.new, "lib_fails", echo)
		raises("call failed", service.query, "lib_fails")
		eq(service.close "lib_fails", false)
		eq(math.type(service.new("lib_fails", echo)), "integer")
	end)
	case("functions that cannot travel", function()
		local upvalue = 1
		raises("assertion failed!", service.new, "lib_upvalue", function() return upvalue, print end)
		raises("assertion failed!", service.new, "lib_no_globals", function() end)
		assert(not pcall(service.new, "lib_no_function", "text"))
	end)
	case("close", function()
		local handle = service.new("lib_close", echo)
		eq(service.close "lib_close", true)
		raises("call to invalid address", skynet.call, handle, "lua", 1)
		eq(service.close "lib_close", false)
		eq(service.close "lib_unknown", false)
		assert(service.new("lib_close", echo) ~= handle)
	end)
	case("the provider's own commands", function()
		local provider = skynet.uniqueservice "service_provider"
		eq(skynet.call(provider, "lua", "test", "lib_echo"), service.query "lib_echo")
		eq((skynet.call(provider, "lua", "test", "lib_nobody")), nil)
		skynet.fork(service.new, "lib_booting", boots)
		local answer
		for _ = 1, 250 do	-- until the provider has heard of it
			answer = table.pack(skynet.call(provider, "lua", "test", "lib_booting"))
			if answer[2] then
				break
			end
			skynet.sleep(1)
		end
		results(answer, nil, true)
	end)
end)
