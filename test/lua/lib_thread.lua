-- Threads of a service: fork, timeout, sleep, wait, wakeup, killthread, their order, and what skynet.task says.

local skynet = require "skynet"
local core = require "skynet.core"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local function sleeping()
	case("sleep to the end", function()
		local before = skynet.now()
		results(table.pack(skynet.sleep(5)))
		local took = skynet.now() - before
		assert(took >= 5 and took < 2000, took)
		results(table.pack(skynet.sleep(0)))
		results(table.pack(skynet.sleep(-1)))
		results(table.pack(skynet.yield()))
	end)
	case("sleep and wakeup", function()
		local token, result = {}, nil
		skynet.fork(function() result = table.pack(skynet.sleep(3000, token)) end)
		skynet.sleep(1)
		results(table.pack(skynet.wakeup(token)), true)
		eq(result, nil, "wakeup does not run the thread at once")
		skynet.sleep(1)
		results(result, "BREAK")
		results(table.pack(skynet.wakeup(token)))
	end)
	case("the default token is the thread", function()
		local result
		local thread = skynet.fork(function() result = table.pack(skynet.sleep(3000)) end)
		local waited
		local waiter = skynet.fork(function() waited = table.pack(skynet.wait()) end)
		skynet.sleep(1)
		eq(skynet.wakeup(thread), true)
		eq(skynet.wakeup(waiter), true)
		skynet.sleep(1)
		results(result, "BREAK")
		results(waited)
	end)
	case("wakeup before the sleep is lost", function()
		local token = {}
		results(table.pack(skynet.wakeup(token)))
		results(table.pack(skynet.sleep(1, token)))
	end)
	case("a woken sleeper's timer does no harm", function()
		local token = {}
		skynet.fork(skynet.sleep, 3, token)
		skynet.sleep(1)
		skynet.wakeup(token)
		skynet.sleep(8)
	end)
end

local function timers()
	case("timeout", function()
		local log = {}
		local thread = skynet.timeout(3, function() table.insert(log, "expired") end)
		eq(type(thread), "thread")
		eq(log, {})
		skynet.sleep(10)
		eq(log, { "expired" })
	end)
	case("timeouts of 0 keep their order", function()
		local log = {}
		for i = 1, 20 do
			skynet.timeout(0, function() table.insert(log, i) end)
		end
		skynet.sleep(2)
		for i = 1, 20 do eq(log[i], i) end
	end)
end

local function order()
	case("wakeups, then forks, then the next message", function()
		local log = {}
		local function say(what) table.insert(log, what) end
		local a, b = {}, {}
		skynet.fork(function() skynet.wait(a) say "a" end)
		skynet.fork(function() skynet.wait(b) say "b" end)
		skynet.sleep(1)
		skynet.fork(function()
			skynet.wakeup(b)
			skynet.wakeup(a)
			skynet.fork(say, "f")
			skynet.timeout(0, function() say "message" end)
			say "now"
		end)
		skynet.sleep(5)
		eq(log, { "now", "b", "a", "f", "message" })
	end)
	case("forks of forks run in the same pass", function()
		local log = {}
		skynet.timeout(0, function() table.insert(log, "message") end)
		skynet.fork(function()
			skynet.fork(function()
				skynet.fork(function() table.insert(log, 3) end)
				table.insert(log, 2)
			end)
			table.insert(log, 1)
		end)
		skynet.sleep(2)
		eq(log, { 1, 2, 3, "message" })
	end)
	case("wakeups of a fork come before the next fork", function()
		local log, token = {}, {}
		skynet.fork(function() skynet.wait(token) table.insert(log, "woken") end)
		skynet.sleep(1)
		skynet.fork(function() skynet.wakeup(token) end)
		skynet.fork(function() table.insert(log, "second fork") end)
		skynet.sleep(1)
		eq(log, { "woken", "second fork" })
	end)
	case("arguments of fork", function()
		local got
		skynet.fork(function(...) got = table.pack(...) end, nil, 1, nil)
		skynet.sleep(1)
		results(got, nil, 1, nil)
	end)
	case("an error ends one thread only", function()
		local log, token = {}, {}
		skynet.fork(function() skynet.wait(token) table.insert(log, "woken") end)
		skynet.sleep(1)
		skynet.fork(error, "raised on purpose")
		skynet.fork(function() skynet.wakeup(token) error {} end)
		skynet.fork(function() table.insert(log, "last") end)
		skynet.sleep(1)
		table.sort(log)
		eq(log, { "last", "woken" })
	end)
	case("many threads at once, again and again", function()
		for _ = 1, 3 do
			local done = 0
			for _ = 1, 1000 do
				skynet.fork(function()
					skynet.sleep(1)
					done = done + 1
				end)
			end
			check.wait(function() return done == 1000 end)
		end
	end)
end

local function killing()
	local function closer(log, name)
		return setmetatable({}, { __close = function() table.insert(log, name) end })
	end

	case("kill a sleeper", function()
		local log = {}
		local thread = skynet.fork(function()
			local guard <close> = closer(log, "closed")
			skynet.wait()
			table.insert(log, "went on")
		end)
		skynet.sleep(1)
		eq(skynet.killthread(thread), thread)
		eq(log, { "closed" })
		eq(coroutine.status(thread), "dead")
		results(table.pack(skynet.wakeup(thread)))
		eq(skynet.killthread(thread), nil)
		skynet.sleep(1)
		eq(log, { "closed" })
	end)
	case("kill a fork before it starts", function()
		local started = false
		local thread = skynet.fork(function() started = true end)
		eq(skynet.killthread(thread), thread)
		skynet.sleep(1)
		eq(started, false)
	end)
	case("kill by name", function()
		local thread = skynet.fork(function() skynet.wait() end)
		skynet.sleep(1)
		eq(skynet.killthread(tostring(thread)), thread)
		eq(skynet.killthread "no such thread", nil)
	end)
	case("a killed handler's request fails", function()
		local thread
		skynet.dispatch("lua", function()
			thread = coroutine.running()
			skynet.wait()
		end)
		local result
		skynet.fork(function() result = table.pack(pcall(skynet.call, skynet.self(), "lua")) end)
		check.wait(function() return thread end)
		eq(skynet.killthread(thread), thread)
		skynet.sleep(1)
		eq(result[1], false)
	end)
	case("a killed caller's reply is dropped silently", function()
		local unknown = 0
		local old = skynet.dispatch_unknown_response(function() unknown = unknown + 1 end)
		skynet.dispatch("lua", function()
			skynet.sleep(3)
			skynet.ret()
		end)
		local thread = skynet.fork(skynet.call, skynet.self(), "lua")
		skynet.sleep(1)
		eq(skynet.killthread(thread), thread)
		skynet.sleep(6)
		eq(unknown, 0)
		skynet.dispatch_unknown_response(old)
	end)
	case("kill a thread that is about to wake", function()
		local log, token = {}, {}
		local thread = skynet.fork(function()
			skynet.wait(token)
			table.insert(log, "went on")
		end)
		skynet.sleep(1)
		skynet.wakeup(token)
		eq(skynet.killthread(thread), thread)
		skynet.sleep(1)
		eq(log, {})
	end)
	case("the pool survives kills", function()
		local done = 0
		for _ = 1, 50 do
			local thread = skynet.fork(skynet.wait)
			skynet.fork(function() done = done + 1 end)
			skynet.yield()
			skynet.killthread(thread)
		end
		eq(done, 50)
	end)
end

local function tasks()
	local function shared_wait(token)
		skynet.wait(token)
	end

	case("task counts, lists and finds", function()
		local count = skynet.task()
		local tokens, threads = {}, {}
		for i = 1, 3 do
			tokens[i] = {}
			threads[i] = skynet.fork(shared_wait, tokens[i])
		end
		skynet.sleep(1)
		eq(skynet.task(), count + 3)
		local session = skynet.task(threads[2])
		eq(math.type(session), "integer")
		local all = {}
		results(table.pack(skynet.task(all)))
		local text = all[string.format("%s session: %d", threads[2], session)]
		assert(text:find "^stack traceback:" and text:find "shared_wait" or text:find "lib_thread.lua", text)
		eq(skynet.task(session), text)
		eq(skynet.task(0x7ffffff0), "No session")
		eq(skynet.task(coroutine.running()), nil)
		local group
		for key, trace in pairs(skynet.uniqtask()) do
			if trace == text then group = key end
		end
		local one, two, three = group:match "^3\tsessions:%[(%d+),(%d+),(%d+)%]\n$"
		assert(three, group)
		for i = 1, 3 do skynet.wakeup(tokens[i]) end
		skynet.sleep(1)
		eq(skynet.task(threads[2]), nil)
	end)
	case("cancelled sleeps", function()
		local function cancelled()
			local all, found = {}, 0
			skynet.task(all)
			for _, text in pairs(all) do
				if text == "BREAK" then found = found + 1 end
			end
			return found
		end
		local token, before = {}, cancelled()
		skynet.fork(skynet.sleep, 1000, token)
		skynet.sleep(1)
		skynet.wakeup(token)
		skynet.sleep(1)
		-- Where timers can be taken back, nothing is left of it.
		local taken_back = require "skynet.core".timeout_cancel ~= nil
		eq(cancelled() - before, taken_back and 0 or 1)
	end)
	case("many sessions in uniqtask", function()
		local tokens = {}
		for i = 1, 12 do
			tokens[i] = {}
			skynet.fork(shared_wait, tokens[i])
		end
		skynet.sleep(1)
		local found
		for key in pairs(skynet.uniqtask()) do
			if key:find "^12\tsessions:" then found = key end
		end
		assert(found:match "^12\tsessions:%[%d+,%d+,%d+,%d+,%d+,%d+,%d+,%d+,%d+%.%.%.%]\n$", found)
		for i = 1, 12 do skynet.wakeup(tokens[i]) end
		skynet.sleep(1)
	end)
	case("trace_timeout", function()
		skynet.trace_timeout(true)
		local thread = skynet.timeout(3, function() end)
		local text = skynet.task(skynet.task(thread))
		assert(text:find "^TIMER %d+%+3 : \nstack traceback:", text)
		skynet.sleep(5)
		skynet.trace_timeout(false)
	end)
end

-- Last, because upstream keeps a phantom of each failed attempt among its tasks.
local function duplicates()
	case("a token for two", function()
		local token = {}
		skynet.fork(skynet.wait, token)
		skynet.sleep(1)
		raises("token duplicative", skynet.wait, token)
		eq(skynet.wakeup(token), true)
		skynet.sleep(1)
	end)
	case("until it runs, a woken sleeper still holds its token", function()
		local token, ok, reason = {}, nil, nil
		skynet.fork(skynet.sleep, 3000, token)
		skynet.sleep(1)
		eq(skynet.wakeup(token), true)
		eq(skynet.wakeup(token), true)
		ok, reason = pcall(skynet.wait, token)
		eq(ok, false)
		assert(reason:find "token duplicative$", reason)
		skynet.sleep(1)
		eq(skynet.wakeup(token), nil)
	end)
end

check.run(function()
	sleeping()
	timers()
	order()
	killing()
	tasks()
	case("a yield by hand stops one thread only", function()
		local thread = skynet.fork(coroutine.yield)
		skynet.sleep(1)
		eq(coroutine.status(thread), "suspended")
	end)
	case("sessions differ", function()
		local a, b = skynet.genid(), skynet.genid()
		assert(a > 0 and b > 0 and a ~= b)
		assert(core.genid() ~= b)
	end)
	duplicates()
end)
