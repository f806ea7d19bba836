-- Pairs of connected sockets. Load it with dofile; each load is for one listener.

local socket = require "skynet.socket"
local check = dofile "./test/lua/support/check.lua"

local pair = {}

-- What becomes of the next connection that the listener accepts: to be called by the listener's handler.
pair.served = nil

--- Ours, and the accepted one (started unless `raw`), over the listener at this port.
function pair.open(port, raw)
	local accepted
	pair.served = function(id) accepted = id end
	local ours = assert(socket.open("127.0.0.1", port))
	check.wait(function() return accepted end)
	if not raw then
		assert(socket.start(accepted))
	end
	return ours, accepted
end

function pair.close(a, b)
	socket.close(a)
	socket.close(b)
end

return pair
