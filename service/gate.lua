-- gate: a TCP gate (snax.gateserver) that works for a watchdog.  What happens to connections is told to the watchdog;
-- frames go to it as well, or as proto `client` straight to the agent that a connection has been forwarded to.

local skynet = require "skynet"
local gateserver = require "snax.gateserver"
local netpack = require "skynet.netpack"

local watchdog

-- fd -> connection: fd, address; agent and client once it has been forwarded
local connections = {}

skynet.register_protocol {
	name = "client",
	id = skynet.PTYPE_CLIENT,
}

local function report(what, fd, ...)
	skynet.send(watchdog, "lua", "socket", what, fd, ...)
end

local handler = {}

function handler.open(source, conf)
	watchdog = conf.watchdog or source
	return conf.address, conf.port
end

function handler.connect(fd, address)
	connections[fd] = { fd = fd, address = address }
	report("open", fd, address)
end

function handler.message(fd, msg, size)
	local connection = connections[fd]
	local agent = connection and connection.agent
	if agent then
		skynet.redirect(agent, connection.client, "client", fd, msg, size)
	else
		report("data", fd, netpack.tostring(msg, size))
	end
end

-- Also of a connection that failed before, and of one too many, which was never opened.
function handler.disconnect(fd)
	connections[fd] = nil
	report("close", fd)
end

handler["error"] = function(fd, text)
	connections[fd] = nil
	report("error", fd, text)
end

function handler.warning(fd, kbytes)
	report("warning", fd, kbytes)
end

local command = {}

function command.forward(source, fd, client, agent)
	local connection = assert(connections[fd])
	connection.client = client or 0
	connection.agent = agent or source
	gateserver.openclient(fd)
end

function command.accept(_, fd)
	local connection = assert(connections[fd])
	connection.agent = nil
	gateserver.openclient(fd)
end

function command.kick(_, fd)
	gateserver.closeclient(fd)
end

function handler.command(name, source, ...)
	return assert(command[name])(source, ...)
end

gateserver.start(handler)
