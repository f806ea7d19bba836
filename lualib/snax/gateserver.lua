-- snax.gateserver: makes the calling service a TCP gate whose connections carry frames with a 2-byte length.
-- It takes the whole proto `socket`, so such a service cannot use skynet.socket.

local skynet = require "skynet"
local netpack = require "skynet.netpack"
local driver = require "skynet.socketdriver"

local M = {}

-- What a connection can be; nil once the owner has closed it.
local WAITING <const> = "waiting"	-- accepted, not reading yet
local OPEN <const> = "open"
local HALF_CLOSED <const> = "half closed"	-- the peer is gone

local state = {}	-- fd -> one of these
local connections = 0	-- accepted and not reported as closed

local listener	-- socket id; a gate that has opened does so once, so it stays set
local discarded = {}	-- listeners of an `open` that failed after it listened, until their end is reported
local bound	-- while `open` waits: { thread = }, then also address, port
local closed = false	-- the listener
local max_client, nodelay

-- Frames and fragments that netpack keeps for us.
local frames
local frames_guard = setmetatable({}, { __gc = function()
	netpack.clear(frames)
end })

function M.openclient(fd)
	local now = state[fd]
	if now and now ~= HALF_CLOSED then
		state[fd] = OPEN
		driver.start(fd)
	end
end

function M.closeclient(fd)
	if state[fd] then
		state[fd] = nil
		driver.close(fd)
	end
end

-- ---------------------------------------------------------------- commands

local function log_listen(address, port)
	if _VERSION == "Lua 5.4" then	-- the wording of API level 1.8
		skynet.error("Listen on " .. address .. (port and ":" .. port or ""))
	else
		skynet.error("Listen on", address, port)
	end
end

local function split_address(address)
	local host, port = address:match "^(.*):(%d+)$"
	assert(host, "need a port")
	return host:match "^%[(.*)%]$" or host, tonumber(port)
end

-- Settings of `open` that become options of the listener, and so of the connections it accepts.
local OPTIONS <const> = { "write_limit", "write_action", "idle" }

local function set_options(conf)
	for _, name in ipairs(OPTIONS) do
		local value = conf[name]
		if value ~= nil then
			assert(driver.option, "this core has no socket options")
			assert(driver.option(listener, name, value))
		end
	end
end

local function new_commands(handler)
	local command = {}

	-- Nothing is left set after a failure, so that an open with other settings, or later, can succeed.
	local function fail(address, port, reason)
		listener, bound = nil, nil
		error(string.format("cannot open %s:%s: %s", address, port, reason), 0)
	end

	function command.open(source, conf)
		assert(listener == nil, "a gate opens once")
		local address, port = conf.address or "0.0.0.0", conf.port
		log_listen(address, port)
		if port == nil then
			address, port = split_address(address)
		end
		max_client = conf.maxclient or 1024
		nodelay = conf.nodelay
		local listening, id = pcall(driver.listen, address, port, conf.backlog)
		if not listening then
			fail(address, port, id)
		end
		listener = id
		bound = { thread = coroutine.running() }
		skynet.wait(bound.thread)
		if not bound.address then
			fail(address, port, bound.failure)
		end
		local set, err = pcall(set_options, conf)
		if not set then
			discarded[listener] = true
			driver.close(listener)
			fail(address, port, err)
		end
		conf.address, conf.port = bound.address, bound.port
		bound = nil
		driver.start(listener)
		if handler.open then
			return handler.open(source, conf)
		end
	end

	function command.close()
		assert(listener and not closed)
		closed = true
		driver.close(listener)
	end

	return command
end

-- ---------------------------------------------------------------- events

local function new_events(handler)
	local event = {}

	local function deliver(fd, msg, size)
		if state[fd] == OPEN then
			handler.message(fd, msg, size)
		else
			skynet.error(string.format("Drop message from fd (%d) : %s", fd, netpack.tostring(msg, size)))
		end
	end

	-- One forked thread stands by while frames are delivered: it goes on with the rest if a handler blocks.
	local standing_by = false
	local drain

	local function stand_by()
		standing_by = false
		drain()
	end

	function drain()
		local fd, msg, size = netpack.pop(frames)
		while fd do
			if not standing_by then
				standing_by = true
				skynet.fork(stand_by)
			end
			deliver(fd, msg, size)
			fd, msg, size = netpack.pop(frames)
		end
	end

	local function gone(fd)
		if state[fd] then
			state[fd] = HALF_CLOSED
		end
	end

	event.data = deliver
	event.more = drain

	function event.init(id, address, port)
		if id == listener and bound then
			bound.address, bound.port = address, port
			skynet.wakeup(bound.thread)
		end
	end

	function event.open(fd, address)
		connections = connections + 1
		if connections >= max_client then
			driver.shutdown(fd)
			return
		end
		if nodelay then
			driver.nodelay(fd)
		end
		state[fd] = WAITING
		handler.connect(fd, address)
	end

	function event.close(fd)
		if fd == listener then
			return
		end
		if discarded[fd] then
			discarded[fd] = nil
			return
		end
		connections = connections - 1
		gone(fd)
		if handler.disconnect then
			handler.disconnect(fd)
		end
	end

	event["error"] = function(fd, text)
		if fd ~= listener then
			gone(fd)
			driver.shutdown(fd)
			if handler.error then
				handler.error(fd, text)
			end
		elseif bound then
			bound.failure = text
			skynet.wakeup(bound.thread)
		else
			skynet.error("gateserver accept error: " .. text)
		end
	end

	function event.warning(fd, kbytes)
		if handler.warning then
			handler.warning(fd, kbytes)
		end
	end

	return event
end

-- ---------------------------------------------------------------- start

function M.start(handler)
	assert(handler.message)
	assert(handler.connect)
	local command, event = new_commands(handler), new_events(handler)

	skynet.register_protocol {
		name = "socket",
		id = skynet.PTYPE_SOCKET,
		unpack = function(msg, size)
			return netpack.filter(frames, msg, size)
		end,
		dispatch = function(_, _, queue, kind, ...)
			frames = queue
			if kind then
				event[kind](...)
			end
		end,
	}

	local function install()
		skynet.dispatch("lua", function(_, source, name, ...)
			local f = command[name]
			if f then
				skynet.retpack(f(source, ...))
			else
				skynet.retpack(handler.command(name, source, ...))
			end
		end)
	end

	if handler.embed then
		install()
	else
		skynet.start(install)
	end
end

return M
