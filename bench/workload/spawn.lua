-- Starts services one after the other; each ends as soon as it is told. The time runs until the launcher has seen the
-- last of them go. Setting: count.

local skynet = require "skynet"
local bench = require "bench"

if ... == "child" then
	skynet.start(function()
		skynet.dispatch("lua", function()
			skynet.exit()
		end)
	end)
	return
end

bench.main(function()
	local count = bench.setting "count"
	local function children()
		local found = 0
		for _, what in pairs(skynet.call(".launcher", "lua", "LIST")) do
			if what:find("spawn child", 1, true) then
				found = found + 1
			end
		end
		return found
	end
	local start = bench.now()
	for _ = 1, count do
		skynet.send(skynet.newservice("spawn", "child"), "lua", "end")
	end
	while children() > 0 do
		skynet.yield()
	end
	bench.result("rate", count / (bench.now() - start), "services/s")
end)
