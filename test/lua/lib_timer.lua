-- Timers in milliseconds, taking them back, and what is left of timers that nobody wants any more.
-- upstream: no these are additions, and there a timer cannot be taken back

local mode = ...
local core = require "skynet.core"
if mode == "fallback" then
	-- as on another core
	core.timeout_ms, core.timeout_cancel = nil, nil
end
local skynet = require "skynet"

-- Checks of both; returns the number of unknown responses.
local function run(case, eq)
	local unknown = 0
	skynet.dispatch_unknown_response(function() unknown = unknown + 1 end)
	local exact = core.timeout_ms ~= nil

	case("sleep_ms", function()
		for _, ms in ipairs { 1, 3, 7, 10, 25 } do
			local start = skynet.hpc()
			eq(skynet.sleep_ms(ms), nil)
			local passed = (skynet.hpc() - start) / 1e6
			-- a tick may be nearly over
			assert(passed >= (exact and ms or ms - 10), passed)
		end
		eq(skynet.sleep_ms(0), nil)
	end)
	case("order", function()
		local seen = {}
		for i = 5, 1, -1 do
			skynet.timeout_ms(20 * i, function()
				seen[#seen + 1] = i
				if i == 5 then skynet.wakeup(seen) end
			end)
		end
		skynet.wait(seen)
		eq(table.concat(seen), "12345")
		-- each ended well, and its thread is there for the next
		local before, thread = coroutine.running(), nil
		skynet.timeout_ms(1, function() thread = coroutine.running() skynet.wakeup(before) end)
		skynet.wait(before)
		skynet.sleep(1)
		local again
		skynet.timeout_ms(1, function() again = coroutine.running() skynet.wakeup(before) end)
		skynet.wait(before)
		eq(again, thread)
	end)
	case("cancel", function()
		local ran = 0
		local function count() ran = ran + 1 end
		local before = skynet.task()
		local a, b = skynet.timeout_ms(20, count), skynet.timeout_ms(20, count)
		eq(skynet.cancel(a), true)
		eq(skynet.cancel(a), false)
		eq(skynet.cancel(-1), false)
		if exact then
			eq(skynet.task(), before + 1)
		end
		skynet.sleep_ms(60)
		eq(ran, 1)
		eq(skynet.cancel(b), false)
		local own
		own = skynet.timeout_ms(1, function() own = skynet.cancel(own) skynet.wakeup(count) end)
		skynet.wait(count)
		eq(own, false)
		eq(skynet.task(), before)
	end)
	case("cancel what is in the queue already", function()
		local ran = false
		local token = skynet.timeout_ms(0, function() ran = true end)
		eq(skynet.cancel(token), true)
		skynet.sleep(2)
		eq(ran, false)
		local before = skynet.task()
		-- due, but handled only after this message
		token = skynet.timeout_ms(1, function() ran = true end)
		local start = skynet.hpc()
		repeat until skynet.hpc() - start > 30e6
		eq(skynet.cancel(token), true)
		skynet.sleep(2)
		eq(ran, false)
		eq(skynet.task(), before)
	end)
	case("cancel only timers", function()
		local thread = skynet.fork(skynet.sleep, 3)
		skynet.yield()
		local session = skynet.task(thread)
		eq(skynet.cancel(session), false)
		skynet.sleep(6)
		eq(skynet.task(thread), nil)
	end)
	case("a woken sleep_ms", function()
		local how
		local thread = skynet.fork(function() how = skynet.sleep_ms(3000000) end)
		skynet.yield()
		eq(skynet.wakeup(thread), true)
		skynet.yield()
		eq(how, "BREAK")
	end)
	skynet.sleep(5)
	case("no unknown responses", function() eq(unknown, 0) end)
end

if mode == "fallback" then
	skynet.start(function()
		skynet.dispatch("lua", function()
			local failure
			run(function(name, f)
				local ok, text = xpcall(f, debug.traceback)
				if not ok then
					failure = (failure or "") .. name .. ": " .. text .. "\n"
				end
			end, function(a, b)
				if a ~= b then
					error(string.format("%s, not %s", a, b), 2)
				end
			end)
			skynet.ret(skynet.pack(failure))
		end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, case = check.eq, check.case

check.run(function()
	run(case, eq)
	case("without the addition", function()
		local service = skynet.newservice("lib_timer", "fallback")
		eq(skynet.call(service, "lua"), nil)
		skynet.kill(service)
	end)
	case("nothing is left of timers that are not wanted", function()
		local before = skynet.task()
		for _ = 1, 100 do
			local threads = {}
			for i = 1, 100 do
				threads[i] = skynet.fork(skynet.sleep, 1000000)
			end
			skynet.yield()
			eq(skynet.task(), before + 100)
			for i = 1, 50 do
				skynet.wakeup(threads[i])
				skynet.killthread(threads[50 + i])
				skynet.cancel(skynet.timeout_ms(1000000, error))
				skynet.killthread(skynet.timeout(1000000, error))
			end
			skynet.yield()
		end
		eq(skynet.task(), before)
		local request <close> = skynet.request()
		request:add { skynet.self(), "debug", "PING" }
		for _ in request:select(1000000) do
			break
		end
		request:close()
		eq(skynet.task(), before)
	end)
	case("in the list of tasks", function()
		local token = skynet.timeout_ms(1000000, error)
		eq(skynet.task(token), "TIMER")
		local all = {}
		skynet.task(all)
		eq(all["timer session: " .. token], "TIMER")
		skynet.cancel(token)
		skynet.trace_timeout(true)
		token = skynet.timeout_ms(1000000, error)
		skynet.trace_timeout(false)
		assert(skynet.task(token):find "^TIMER %d+%+1000000 ms : .*lib_timer")
		skynet.cancel(token)
		eq(skynet.task(token), "No session")
	end)
	case("a tick is not a duration", function()
		-- Ten milliseconds after half of them were spent would be more.
		local least = math.huge
		for _ = 1, 100 do
			local start = skynet.hpc()
			repeat until skynet.hpc() - start > 5e6
			local slept = skynet.hpc()
			skynet.sleep(1)
			least = math.min(least, skynet.hpc() - slept)
		end
		assert(least < 9e6, least)
	end)
end)
