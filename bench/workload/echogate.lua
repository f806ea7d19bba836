-- The gate service in front of one agent that sends packets back. Setting: port.

local skynet = require "skynet"
local socket = require "skynet.socket"
local bench = require "bench"

if ... == "agent" then
	skynet.register_protocol {
		name = "client",
		id = skynet.PTYPE_CLIENT,
		unpack = skynet.tostring,
		-- The gate puts the connection into the session.
		dispatch = function(id, _, packet)
			skynet.ignoreret()
			socket.write(id, string.pack(">s2", packet))
		end,
	}
	skynet.start(function() end)
	return
end

skynet.start(function()
	local agent = skynet.newservice("echogate", "agent")
	local gate = skynet.newservice "gate"
	skynet.dispatch("lua", function(_, _, command, event, id)
		if command == "socket" and event == "open" then
			skynet.call(gate, "lua", "forward", id, 0, agent)
		end
	end)
	skynet.call(gate, "lua", "open", {
		address = "127.0.0.1",
		port = bench.setting "port",
		maxclient = 2000,
		nodelay = true,
		watchdog = skynet.self(),
	})
	print "READY"
end)
