-- Callers that call each of the callees in turn, all at the same time. Settings: callers, callees, count (calls of
-- each caller).

local skynet = require "skynet"
local bench = require "bench"

local role = ...

if role == "callee" then
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, i)
			skynet.ret(skynet.pack(i))
		end)
	end)
	return
elseif role == "caller" then
	bench.service {
		run = function(callees, first, count)
			local call = skynet.call
			local at = first
			for i = 1, count do
				if call(callees[at], "lua", i) ~= i then
					error "a wrong answer"
				end
				at = at % #callees + 1
			end
			return count
		end
	}
	return
end

bench.main(function()
	local count = bench.setting "count"
	local callers, callees = {}, {}
	for i = 1, bench.setting "callees" do
		callees[i] = skynet.newservice("matrix", "callee")
	end
	for i = 1, bench.setting "callers" do
		callers[i] = skynet.newservice("matrix", "caller")
	end
	local self = coroutine.running()
	local left = #callers
	local start = bench.now()
	for i, caller in ipairs(callers) do
		skynet.fork(function()
			assert(skynet.call(caller, "lua", "run", callees, (i - 1) % #callees + 1, count) == count)
			left = left - 1
			if left == 0 then
				skynet.wakeup(self)
			end
		end)
	end
	skynet.wait(self)
	bench.result("rate", #callers * count / (bench.now() - start), "calls/s")
end)
