-- Tokens go round a ring of services until they have made all hops. Settings: services, tokens, count (hops of all
-- tokens).

local skynet = require "skynet"
local bench = require "bench"

if ... == "link" then
	local send = skynet.send
	local following, home
	skynet.start(function()
		skynet.dispatch("lua", function(session, source, hops)
			if session ~= 0 then
				following, home = hops, source
				skynet.ret(skynet.pack())
			elseif hops > 0 then
				send(following, "lua", hops - 1)
			else
				send(home, "lua")
			end
		end)
	end)
	return
end

bench.main(function()
	local tokens = bench.setting "tokens"
	local hops = bench.setting "count" // tokens + 1
	local links = {}
	for i = 1, bench.setting "services" do
		links[i] = skynet.newservice("ring", "link")
	end
	for i, link in ipairs(links) do
		skynet.call(link, "lua", links[i % #links + 1])
	end
	local self = coroutine.running()
	local left = tokens
	skynet.dispatch("lua", function()
		left = left - 1
		if left == 0 then
			skynet.wakeup(self)
		end
	end)
	local start = bench.now()
	for i = 0, tokens - 1 do
		skynet.send(links[i * #links // tokens + 1], "lua", hops)
	end
	skynet.wait(self)
	bench.result("rate", tokens * hops / (bench.now() - start), "hops/s")
end)
