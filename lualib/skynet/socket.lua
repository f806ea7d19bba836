-- skynet.socket: TCP and UDP for service threads, over the events of skynet.socketdriver.
-- One thread at a time reads a socket: it says in `want` what it waits for, and the data event wakes it when that is
-- there.  Everybody may write.

local skynet = require "skynet"
local driver = require "skynet.socketdriver"

local string = string
local assert, error, type = assert, error, type
local push, pop, readall, readline = driver.push, driver.pop, driver.readall, driver.readline

-- With more than this unread, the socket is paused until the next read that has to wait.
local BUFFER_LIMIT = 128 * 1024

-- What a thread can wait for besides a number of bytes (integer) and a separator (string).
local EVERYTHING <const> = true	-- readall
local CONNECTION <const> = false	-- open, start, listen

-- id -> record of every socket this service owns:
--   id, udp, listening
--   connected	from the CONNECT event until CLOSE, ERROR or abandon; opening: before that
--   failure	why it never got connected
--   address, port	of a listener
--   buffer, nodes	received bytes (driver objects); nil if it receives none
--   want, reader	what a thread waits for, and which thread it is
--   closers	threads that wait in close()
--   paused, limit, warn
--   callback	accept(id, address) or udp(data, from)
local sockets = setmetatable({}, { __gc = function(all)
	for id in pairs(all) do
		driver.close(id)
	end
end })

local close_hooks = {}	-- id -> function, see M.onclose

local M = {}

-- ---------------------------------------------------------------- waiting and waking

local function resume_reading(s)
	if s.paused then
		skynet.error(string.format("Resume socket (%d)", s.id))
		s.paused = false
		driver.start(s.id)
	end
end

local function pause(s, size)
	if s.paused then
		return
	end
	if size then
		skynet.error(string.format("Pause socket (%d) size : %d", s.id, size))
	else
		skynet.error(string.format("Pause socket (%d)", s.id))
	end
	driver.pause(s.id)
	s.paused = true
end

local function wake_closers(s)
	local threads = s.closers
	if threads then
		s.closers = nil
		for i = 1, #threads do
			skynet.wakeup(threads[i])
		end
	end
end

-- A reader that has been killed does not count.
local function has_reader(s)
	return s.reader ~= nil and coroutine.status(s.reader) ~= "dead"
end

-- The thread that waits for the socket has got what it wants, or never will.
local function wake(s)
	s.want = nil
	if not skynet.wakeup(s) and not s.connected and not has_reader(s) then
		wake_closers(s)
	end
end

-- The one who closes waits until the reader has had its last data.
local function reader_done(s)
	s.reader = nil
	if not s.connected then
		wake_closers(s)
	end
end

local function wait_for(s, want)
	s.want = want
	s.reader = coroutine.running()
	resume_reading(s)
	skynet.wait(s)
	reader_done(s)
end

-- ---------------------------------------------------------------- events

local event = {}

-- DATA
event[1] = function(id, size, data)
	local s = sockets[id]
	local buffer = s and s.buffer
	if not buffer then
		skynet.error("socket: drop package from " .. id)
		driver.drop(data, size)
		return
	end
	local total = push(buffer, s.nodes, data, size)
	local want = s.want
	local kind = math.type(want)
	if kind then
		if total >= want then
			if total > BUFFER_LIMIT then
				pause(s, total)
			end
			wake(s)
		end
		return
	end
	if s.limit and total > s.limit then
		skynet.error(string.format("socket buffer overflow: fd=%d size=%d", id, total))
		driver.close(id)
	elseif type(want) == "string" then
		if readline(buffer, nil, want) then
			if total > BUFFER_LIMIT then
				pause(s, total)
			end
			wake(s)
		end
	elseif want == nil and total > BUFFER_LIMIT then
		pause(s, total)
	end
end

-- CONNECT: connected, listening or started
event[2] = function(id, port, address)
	local s = sockets[id]
	if s and not s.connected then
		if s.listening then
			s.address, s.port = address, port
		end
		s.connected = true
		wake(s)
	end
end

local function run_hook(id)
	local hook = close_hooks[id]
	if hook then
		close_hooks[id] = nil
		hook(id)
	end
end

-- CLOSE
event[3] = function(id)
	local s = sockets[id]
	if s then
		s.connected = false
		wake(s)
	else
		driver.close(id)
	end
	run_hook(id)
end

-- ACCEPT
event[4] = function(id, new_id, address)
	local s = sockets[id]
	if s and s.callback then
		s.callback(new_id, address)
	else
		driver.close(new_id)
	end
end

-- ERROR
event[5] = function(id, _, text)
	local s = sockets[id]
	if not s then
		driver.shutdown(id)
		skynet.error("socket: error on unknown", id, text)
	elseif s.connected and s.callback then
		-- of a listener, or of a UDP socket: a destination that it cannot have; both go on
		skynet.error("socket: accept error:", text)
	else
		if s.connected then
			skynet.error("socket: error on", id, text)
		else
			s.failure = text
		end
		s.connected = false
		driver.shutdown(id)
		wake(s)
		run_hook(id)
	end
end

-- UDP
event[6] = function(id, size, data, address)
	local s = sockets[id]
	if not (s and s.udp and s.callback) then
		skynet.error("socket: drop udp package from " .. id)
		driver.drop(data, size)
		return
	end
	local datagram = skynet.tostring(data, size)
	driver.drop(data, size)
	s.callback(datagram, address)
end

-- WARNING
event[7] = function(id, kbytes)
	local s = sockets[id]
	if not s then
		return
	elseif s.warn then
		s.warn(id, kbytes)
	else
		skynet.error(string.format("WARNING: %d K bytes need to send out (fd = %d)", kbytes, id))
	end
end

skynet.register_protocol {
	name = "socket",
	id = skynet.PTYPE_SOCKET,
	unpack = driver.unpack,
	dispatch = function(_, _, kind, ...)
		event[kind](...)
	end,
}

-- ---------------------------------------------------------------- opening

local function forget(s)
	if sockets[s.id] == s then
		sockets[s.id] = nil
	end
	if s.buffer then
		driver.clear(s.buffer, s.nodes)
		s.buffer = nil
	end
end

-- Makes this service the owner of `id` and waits until the core confirms it.
local function adopt(id, accept)
	local old = sockets[id]
	if old and not old.listening then
		error "socket is not closed"
	end
	assert(not close_hooks[id], "socket has onclose callback")
	local s = { id = id, connected = false, opening = true, callback = accept, listening = old and true or nil }
	if not accept then
		s.buffer, s.nodes = driver.buffer(), {}
	end
	sockets[id] = s
	wait_for(s, CONNECTION)
	s.opening = false
	if not s.connected then
		forget(s)
		return nil, s.failure
	end
	return id
end

function M.open(host, port)
	local id = driver.connect(host, port)
	if id < 0 then
		return nil, "Invalid address " .. tostring(host)
	end
	return adopt(id)
end

function M.bind(os_fd)
	local id = driver.bind(os_fd)
	if id < 0 then
		return nil, "reach skynet socket number limit"
	end
	return adopt(id)
end

function M.stdin()
	return M.bind(0)
end

function M.start(id, accept)
	driver.start(id)
	return adopt(id, accept)
end

-- "host:port" or "[ipv6]:port"
local function split_address(text)
	local host, port = text:match "^%[([^%]]*)%][^:]*:(.*)$"
	if not host then
		host, port = text:match "^([^:%[]*):(.*)$"
	end
	if not host then
		error(string.format("Invalid address %s.", text))
	end
	local number = port:match "^%d+$" and math.tointeger(tonumber(port))
	if not number or number > 65535 then
		error(string.format("Invalid port in address %s.", text))
	end
	return host, number
end

function M.listen(host, port, backlog)
	if port == nil then
		host, port = split_address(host)
	end
	local id = driver.listen(host, port, backlog)
	local s = { id = id, connected = false, listening = true }
	sockets[id] = s
	wait_for(s, CONNECTION)
	if not s.connected then
		forget(s)
		error "Listen error"
	end
	return id, s.address, s.port
end

-- ---------------------------------------------------------------- reading

local function rest(s)
	return readall(s.buffer, s.nodes)
end

local function readable(id)
	local s = assert(sockets[id])
	assert(not has_reader(s))
	return s
end

local function read_some(s)
	local data = rest(s)
	if data == "" and s.connected then
		wait_for(s, 0)
		data = rest(s)
	end
	if data == "" then
		return false, data
	end
	return data
end

function M.read(id, n)
	local s = readable(id)
	if n == nil then
		return read_some(s)
	end
	local data = pop(s.buffer, s.nodes, n)
	if not data and s.connected then
		wait_for(s, n)
		data = pop(s.buffer, s.nodes, n)
	end
	if data then
		return data
	end
	return false, rest(s)
end

function M.readline(id, sep)
	sep = sep or "\n"
	local s = readable(id)
	local line = readline(s.buffer, s.nodes, sep)
	if not line and s.connected then
		wait_for(s, sep)
		line = readline(s.buffer, s.nodes, sep)
	end
	if line then
		return line
	end
	return false, rest(s)
end

function M.readall(id)
	local s = readable(id)
	if s.connected then
		wait_for(s, EVERYTHING)
		return rest(s)
	end
	local data = rest(s)
	return data ~= "" and data
end

function M.block(id)
	local s = sockets[id]
	if not s or not s.connected then
		return false
	end
	assert(not has_reader(s))
	wait_for(s, 0)
	return s.connected
end

function M.pause(id)
	local s = sockets[id]
	if s then
		pause(s)
	end
end

function M.limit(id, bytes)
	local s = assert(sockets[id])
	s.limit = bytes
end

M.header = driver.header

-- ---------------------------------------------------------------- writing

M.write = driver.send
M.lwrite = driver.lsend

function M.warning(id, callback)
	local s = assert(sockets[id])
	s.warn = callback
end

-- ---------------------------------------------------------------- closing

function M.close(id)
	local s = sockets[id]
	if not s then
		return
	end
	driver.close(id)
	if s.connected or has_reader(s) then
		s.paused = false	-- the core goes on reading by itself while it closes
		local thread = coroutine.running()
		local closers = s.closers or {}
		s.closers = closers
		closers[#closers + 1] = thread
		skynet.wait(thread)
	end
	forget(s)
end

function M.shutdown(id)
	if sockets[id] then
		driver.shutdown(id)	-- CLOSE will come, and then it is still to be closed
	end
end

function M.close_fd(id)
	assert(sockets[id] == nil, "Use socket.close instead")
	driver.close(id)
end

function M.abandon(id)
	local s = sockets[id]
	if s then
		s.connected = false
		sockets[id] = nil
		wake(s)
	end
end

function M.invalid(id)
	return sockets[id] == nil
end

function M.disconnected(id)
	local s = sockets[id]
	if s then
		return not (s.connected or s.opening)
	end
end

function M.onclose(id, callback)
	close_hooks[id] = callback
end

-- ---------------------------------------------------------------- UDP and the rest

local function adopt_udp(id, callback)
	local s = sockets[id]
	if s then
		assert(s.udp)
		s.callback = callback or s.callback
	else
		sockets[id] = { id = id, udp = true, connected = true, callback = callback }
	end
	return id
end

function M.udp(callback, host, port)
	return adopt_udp(driver.udp(host, port), callback)
end

function M.udp_connect(id, host, port, callback)
	assert(sockets[id] == nil or sockets[id].udp)
	driver.udp_connect(id, host, port)
	adopt_udp(id, callback)
end

function M.udp_listen(host, port, callback)
	return adopt_udp(driver.udp_listen(host, port), callback)
end

function M.udp_dial(host, port, callback)
	return adopt_udp(driver.udp_dial(host, port), callback)
end

M.sendto = driver.udp_send
M.udp_address = driver.udp_address
M.netstat = driver.info
M.resolve = driver.resolve

-- option(id, name, value): true, or false and a reason.  Id 0: for sockets made from now on.  docs/config.md has the names.
M.option = driver.option or function()
	return false, "this core has no socket options"
end

return M
