-- One service sends to another without a pause; the time runs until all is handled. Setting: count.

local skynet = require "skynet"
local bench = require "bench"

if ... == "sink" then
	local seen = 0
	skynet.start(function()
		skynet.dispatch("lua", function(session, _, i)
			if session ~= 0 then
				skynet.ret(skynet.pack(seen))
			else
				seen = seen + 1
				assert(i == seen, "a message is lost or out of order")
			end
		end)
	end)
	return
end

bench.main(function()
	local count = bench.setting "count"
	local sink = skynet.newservice("send", "sink")
	local send = skynet.send
	local start = bench.now()
	for i = 1, count do
		send(sink, "lua", i)
	end
	assert(skynet.call(sink, "lua") == count, "messages are lost")
	bench.result("rate", count / (bench.now() - start), "msg/s")
end)
