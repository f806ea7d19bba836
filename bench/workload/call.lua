-- One service calls another, one call after the other. Setting: count.

local skynet = require "skynet"
local bench = require "bench"

if ... == "echo" then
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, ...)
			skynet.ret(skynet.pack(...))
		end)
	end)
	return
end

bench.main(function()
	local count = bench.setting "count"
	local echo = skynet.newservice("call", "echo")
	local call = skynet.call
	local start = bench.now()
	for i = 1, count do
		if call(echo, "lua", i) ~= i then
			error "a wrong answer"
		end
	end
	bench.result("rate", count / (bench.now() - start), "calls/s")
end)
