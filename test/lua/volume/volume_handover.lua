-- Connections that change hands the way nodes of a network hand theirs to the harbor service: one
-- service reads a first byte and lets go, another takes over and answers at once, without waiting for
-- the confirmation. What the client sends after that answer belongs to the new owner. Started by
-- test/volume.rs, which plays the clients.
local skynet = require "skynet"

local role = ...

if role == "taker" then
	local driver = require "skynet.socketdriver"
	local DATA <const>, CLOSE <const>, ERROR <const> = 1, 3, 5
	skynet.register_protocol {
		name = "socket",
		id = skynet.PTYPE_SOCKET,
		unpack = driver.unpack,
		dispatch = function(_, _, event, id, size, data)
			if event == DATA then
				local text = skynet.tostring(data, size)
				driver.drop(data, size)
				driver.send(id, text)
			elseif event == CLOSE or event == ERROR then
				driver.close(id)
			end
		end,
	}
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, id)
			driver.start(id)
			driver.send(id, "go")
		end)
	end)
	return
end

skynet.start(function()
	local socket = require "skynet.socket"
	local taker = skynet.newservice("volume_handover", "taker")
	local port = math.tointeger(skynet.getenv "port")
	local listener = socket.listen("127.0.0.1", port)
	socket.start(listener, function(id)
		skynet.fork(function()
			socket.start(id)
			if socket.read(id, 1) then
				socket.abandon(id)
				skynet.send(taker, "lua", id)
			else
				socket.close(id)
			end
		end)
	end)
	skynet.error "open for clients"
end)
