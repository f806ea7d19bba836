-- Services that do nothing; the driver looks at the process from outside and then kills it. Settings: services,
-- count (seconds of the observation).

local skynet = require "skynet"
local bench = require "bench"

if ... == "sitter" then
	bench.service {}
	return
end

skynet.start(function()
	for _ = 1, bench.setting "services" do
		skynet.newservice("idle", "sitter")
	end
	-- Should the driver be gone.
	skynet.timeout((bench.setting "count" + 60) * 100, skynet.abort)
	print "READY"
end)
