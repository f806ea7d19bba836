-- Timeouts with a function that are taken back before they are due, as those of requests that are answered in time; a
-- few are always pending. An addition of our skynet.lua. Settings: count, pending.

local skynet = require "skynet"
local bench = require "bench"

local LONG = 600000	-- milliseconds; longer than the workload runs

bench.main(function()
	if not (skynet.timeout_ms and skynet.cancel) then
		return bench.skip "timeouts cannot be taken back"
	end
	local count, pending = bench.setting "count", bench.setting "pending"
	local set, cancel = skynet.timeout_ms, skynet.cancel
	local function fired()
		error "a timeout fired that was to be taken back"
	end
	local tokens = {}
	local start = bench.now()
	for i = 1, count + pending do
		local at = i % pending
		if i > pending and not cancel(tokens[at]) then
			error "a timeout cannot be taken back"
		end
		if i <= count then
			tokens[at] = set(LONG, fired)
		end
	end
	bench.result("rate", count / (bench.now() - start), "pairs/s")
end)
