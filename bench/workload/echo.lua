-- Sends back what it gets, with one thread for each connection. Setting: port.

local skynet = require "skynet"
local socket = require "skynet.socket"
local bench = require "bench"

local function serve(id)
	socket.start(id)
	while true do
		local data = socket.read(id)
		if not data then
			break
		end
		socket.write(id, data)
	end
	socket.close(id)
end

skynet.start(function()
	local listener = socket.listen("127.0.0.1", bench.setting "port", 1024)
	socket.start(listener, function(id)
		skynet.fork(serve, id)
	end)
	print "READY"
end)
