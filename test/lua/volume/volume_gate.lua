-- Watchdog and agents of a gate with many clients; every client has an agent that sends its frames
-- back. Started by test/volume.rs, which plays the clients and reads the counts from the log.
local skynet = require "skynet"
local socket = require "skynet.socket"

local role = ...

if role == "agent" then
	local frames, fd = 0, nil
	skynet.register_protocol {
		name = "client",
		id = skynet.PTYPE_CLIENT,
		unpack = skynet.tostring,
		dispatch = function(session, _, frame)
			assert(session == fd)
			skynet.ignoreret()
			frames = frames + 1
			socket.write(fd, string.pack(">s2", frame))
		end,
	}
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, cmd, ...)
			if cmd == "serve" then
				local gate
				gate, fd = ...
				skynet.call(gate, "lua", "forward", fd)
				skynet.retpack(true)
			else
				skynet.retpack(frames)
				skynet.exit()
			end
		end)
	end)
	return
end

skynet.start(function()
	local gate = skynet.newservice "gate"
	local agents = {}
	local opened, closed, failed, frames = 0, 0, 0, 0

	local event = {}
	function event.open(fd)
		opened = opened + 1
		local agent = skynet.newservice("volume_gate", "agent")
		agents[fd] = agent
		skynet.call(agent, "lua", "serve", gate, fd)
	end
	function event.close(fd)
		local agent = agents[fd]
		agents[fd] = nil
		skynet.call(gate, "lua", "kick", fd)
		-- Other events come in during the call.
		local served = skynet.call(agent, "lua", "leave")
		frames = frames + served
		closed = closed + 1
		skynet.error("count", opened, closed, failed, frames)
	end
	function event.error(fd, text)
		failed = failed + 1
		skynet.error("socket error", fd, text)
	end
	function event.warning() end

	skynet.dispatch("lua", function(_, _, cmd, what, ...)
		assert(cmd == "socket")
		event[what](...)
	end)

	local port = math.tointeger(skynet.getenv "port")
	skynet.call(gate, "lua", "open", { address = "127.0.0.1", port = port, maxclient = 1024, nodelay = true })
	skynet.error "open for clients"
end)
