-- Rounds of jobs for different services, called at once: how long a round is, compared with one job that runs alone.
-- Two cores need at least half as long as there are jobs. Settings: jobs, count (rounds).

local skynet = require "skynet"
local bench = require "bench"

local JOB = 0.3e-3	-- seconds

local function work(loops)
	local x = 1
	for i = 1, loops do
		x = (x * 1664525 + i) & 0xffffffff
	end
	return x
end

if ... == "worker" then
	bench.service {
		-- How often to go round for one job: the best of some tries, which nothing disturbed.
		calibrate = function()
			local loops, best = 10000, math.huge
			for _ = 1, 50 do
				local start = bench.now()
				work(loops)
				best = math.min(best, bench.now() - start)
			end
			return math.ceil(loops * JOB / best)
		end,
		-- Seconds that the job took here.
		job = function(loops)
			local start = bench.now()
			work(loops)
			return bench.now() - start
		end,
	}
	return
end

bench.main(function()
	local workers = {}
	for i = 1, bench.setting "jobs" do
		workers[i] = skynet.newservice("forkjoin", "worker")
	end
	local loops = skynet.call(workers[1], "lua", "calibrate")
	local self = coroutine.running()
	local rounds, alone = {}, {}
	for i = 1, bench.setting "count" do
		alone[i] = skynet.call(workers[i % #workers + 1], "lua", "job", loops)
		local left = #workers
		local start = bench.now()
		for _, worker in ipairs(workers) do
			skynet.fork(function()
				skynet.call(worker, "lua", "job", loops)
				left = left - 1
				if left == 0 then
					skynet.wakeup(self)
				end
			end)
		end
		skynet.wait(self)
		rounds[i] = bench.now() - start
	end
	bench.result("round", bench.median(rounds) / bench.median(alone), "jobs")
end)
