-- What a node does in which somebody else's start file runs the threads: timers, calls, sockets, the end.

local skynet = require "skynet"
local socket = require "skynet.socket"
require "skynet.manager"

local mode = ...

if mode == "echo" then
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, ...)
			skynet.retpack(...)
		end)
	end)
	return
end

local function timers()
	local last = 0
	for i = 1, 20 do
		skynet.timeout(i, function()
			assert(i == last + 1, "out of order")
			last = i
		end)
	end
	local begin = skynet.now()
	skynet.sleep(30)
	assert(last == 20)
	assert(skynet.now() - begin >= 29)
end

local function calls()
	local echo = skynet.newservice(SERVICE_NAME, "echo")
	for i = 1, 200 do
		assert(skynet.call(echo, "lua", i) == i)
	end
end

local function sockets()
	local port = tonumber(skynet.getenv "port")
	local listener = socket.listen("127.0.0.1", port)
	socket.start(listener, function(id)
		skynet.fork(function()
			socket.start(id)
			for _ = 1, 50 do
				socket.write(id, socket.readline(id) .. "!\n")
			end
			socket.close(id)
		end)
	end)
	local id = assert(socket.open("localhost", port))
	for i = 1, 50 do
		socket.write(id, i .. "\n")
		assert(socket.readline(id) == i .. "!")
	end
	socket.close(id)
	socket.close(listener)
end

skynet.start(function()
	for name, case in pairs { timers = timers, calls = calls, sockets = sockets } do
		case()
		skynet.error("passed " .. name)
	end
	skynet.sleep(10)
	skynet.abort()
end)
