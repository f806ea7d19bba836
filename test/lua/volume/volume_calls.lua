-- Many calls between two services, one after the other and from many coroutines at once. Started by
-- test/volume.rs, which reads the counts from the log.
local skynet = require "skynet"

local CALLS <const> = 10000
local WORKERS <const> = 50

local role = ...

if role == "adder" then
	skynet.start(function()
		local served = 0
		skynet.dispatch("lua", function(_, _, cmd, n, text)
			if cmd == "add" then
				served = served + 1
				skynet.retpack(n + 1, text)
			else
				skynet.retpack(served)
			end
		end)
	end)
	return
end

local function right(adder, n)
	local text = string.rep("x", n % 100)
	local sum, echoed = skynet.call(adder, "lua", "add", n, text)
	return sum == n + 1 and echoed == text
end

skynet.start(function()
	local adder = skynet.newservice("volume_calls", "adder")

	local answered = 0
	for n = 1, CALLS do
		if right(adder, n) then
			answered = answered + 1
		end
	end
	skynet.error("in turn", answered)

	answered = 0
	local running = WORKERS
	local done = {}
	for worker = 1, WORKERS do
		skynet.fork(function()
			for n = worker, CALLS, WORKERS do
				if right(adder, n) then
					answered = answered + 1
				end
			end
			running = running - 1
			if running == 0 then
				skynet.wakeup(done)
			end
		end)
	end
	skynet.wait(done)
	skynet.error("at once", answered)
	skynet.error("served", skynet.call(adder, "lua", "served"))
	skynet.error("waiting", skynet.task())
end)
