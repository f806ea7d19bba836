-- Owns the gate and the list of players: one agent service for each connection.
local skynet = require "skynet"
require "skynet.manager"

local gate
local agents = {} -- connection -> agent service
local names = {} -- agent service -> player name

local on_socket = {}

function on_socket.open(fd, address)
	skynet.error(string.format("connection %d from %s", fd, address))
	agents[fd] = skynet.newservice "agent"
	skynet.call(agents[fd], "lua", "serve", fd, gate, skynet.self())
end

local function drop(fd)
	local agent = agents[fd]
	agents[fd] = nil
	if agent then
		names[agent] = nil
		skynet.send(agent, "lua", "leave")
	end
end

on_socket.close = drop

function on_socket.error(fd, reason)
	skynet.error(string.format("connection %d: %s", fd, reason))
	drop(fd)
end

function on_socket.warning(fd, kilobytes)
	skynet.error(string.format("connection %d has %d KB to send", fd, kilobytes))
end

local request = {}

function request.listen(address, port)
	return skynet.call(gate, "lua", "open", {
		address = address,
		port = port,
		maxclient = 64,
		nodelay = true,
	})
end

-- An agent asks for a name: false when another player has it.
function request.login(agent, name)
	for _, taken in pairs(names) do
		if taken == name then
			return false
		end
	end
	names[agent] = name
	return true
end

function request.who()
	local list = {}
	for _, name in pairs(names) do
		list[#list + 1] = name
	end
	table.sort(list)
	return list
end

-- A line for everybody who is logged in.
function request.tell_all(line)
	for agent in pairs(names) do
		skynet.send(agent, "lua", "tell", line)
	end
end

function request.hang_up(fd)
	skynet.call(gate, "lua", "kick", fd)
	drop(fd)
end

function request.stop()
	skynet.error "demo server stops"
	skynet.timeout(10, skynet.abort) -- the answer and this line go out first
end

skynet.start(function()
	skynet.dispatch("lua", function(session, _, name, ...)
		if name == "socket" then
			local event = ...
			return on_socket[event](select(2, ...))
		end
		local handler = request[name]
		if session == 0 then
			handler(...)
		else
			skynet.retpack(handler(...))
		end
	end)
	gate = skynet.newservice "gate"
end)
