-- snax.gateserver and service gate.
-- config: gate = $PORT1

local skynet = require "skynet"

local mode, parent = ...

if mode == "server" then
	-- a gate of our own, which reports every event
	local gateserver = require "snax.gateserver"
	local netpack = require "skynet.netpack"
	local driver = require "skynet.socketdriver"
	local block = false
	local function report(...) skynet.send(tonumber(parent), "lua", ...) end
	local handler = {}
	function handler.open(source, conf) return source, conf.address, conf.port, conf.extra end
	function handler.connect(fd, address) report("connect", fd, address) end
	function handler.message(fd, msg, size)
		local text = netpack.tostring(msg, size)
		if text == "raise" then error "on purpose" end
		if text == "block" then block = true while block do skynet.sleep(1) end end
		report("message", fd, text)
	end
	function handler.disconnect(fd) report("disconnect", fd) end
	handler["error"] = function(fd) report("error", fd) end
	local command = {}
	function command.start(fd) gateserver.openclient(fd) end
	function command.stop(fd) gateserver.closeclient(fd) end
	function command.write(fd, text) return driver.send(fd, netpack.pack(text)) end
	function command.unblock() block = false end
	function command.echo(...) return ... end
	function handler.command(name, source, ...)
		assert(source == tonumber(parent))
		return command[name](...)
	end
	gateserver.start(handler)
	return
elseif mode == "embedded" then
	local gateserver = require "snax.gateserver"
	skynet.start(function()
		gateserver.start {
			embed = true,
			connect = function(fd) gateserver.openclient(fd) end,
			message = function(_, msg, size)
				skynet.send(tonumber(parent), "lua", "message", require "skynet.netpack".tostring(msg, size))
			end,
			command = function(name) return "embedded " .. name end,
			open = function(_, conf) return conf.port end,
		}
	end)
	return
end

local socket = require "skynet.socket"
local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local inbox = {}

-- The next event that the gate or the gate server reports.
local function next_event()
	check.wait(function() return inbox[1] end, 3, "an event")
	return table.unpack(table.remove(inbox, 1))
end

local function quiet()
	skynet.sleep(3)
	eq(inbox, {})
end

local function frame(text)
	return string.pack(">s2", text)
end

local function read_frame(id)
	local head = assert(socket.read(id, 2))
	local size = socket.header(head)
	return size == 0 and "" or assert(socket.read(id, size))
end

local function servers()
	local gate, port
	local function call(...) return skynet.call(gate, "lua", ...) end

	case("open", function()
		gate = skynet.newservice("lib_gate", "server", skynet.self())
		raises("call failed", call, "close")
		local source, address, real_port, extra = call("open", { address = "127.0.0.1", port = 0, extra = "extra",
			maxclient = 4, nodelay = true })
		eq(source, skynet.self())
		eq(address, "127.0.0.1")
		eq(extra, "extra")
		assert(real_port > 0)
		port = real_port
		raises("call failed", call, "open", { port = 0 })
		results(table.pack(call("echo", 1, nil, 2)), 1, nil, 2)
		raises("call failed", call, "no such command")
	end)

	local function connect()
		local id = assert(socket.open("127.0.0.1", port))
		local event, fd, address = next_event()
		eq(event, "connect")
		assert(address:find "^127%.0%.0%.1:%d+$")
		return id, fd
	end

	case("nothing is read before openclient", function()
		local id, fd = connect()
		socket.write(id, frame "early")
		quiet()
		call("start", fd)
		results(table.pack(next_event()), "message", fd, "early")
		call("stop", fd)
		results(table.pack(socket.read(id)), false, "")
		socket.close(id)
		eq(next_event(), "disconnect")
	end)
	case("frames", function()
		local id, fd = connect()
		call("start", fd)
		local large = string.rep("L", 65535)
		socket.write(id, frame "one" .. frame "" .. frame "three" .. frame(large))
		for _, want in ipairs { "one", "", "three", large } do
			local event, from, text = next_event()
			eq(event, "message")
			eq(from, fd)
			eq(text == want, true)
		end
		for byte in (frame "in pieces"):gmatch "." do
			socket.write(id, byte)
			skynet.yield()
		end
		results(table.pack(next_event()), "message", fd, "in pieces")
		eq(call("write", fd, "to the client"), true)
		eq(read_frame(id), "to the client")
		socket.close(id)
		results(table.pack(next_event()), "disconnect", fd)
		call("stop", fd)
	end)
	case("a handler that raises or blocks does not stop the frames behind", function()
		local id, fd = connect()
		call("start", fd)
		socket.write(id, frame "raise" .. frame "after the error" .. frame "block" .. frame "behind" .. frame "last")
		results(table.pack(next_event()), "message", fd, "after the error")
		results(table.pack(next_event()), "message", fd, "behind")
		results(table.pack(next_event()), "message", fd, "last")
		call("unblock")
		results(table.pack(next_event()), "message", fd, "block")
		socket.close(id)
		results(table.pack(next_event()), "disconnect", fd)
		call("stop", fd)
	end)
	case("half closed", function()
		local id, fd = connect()
		call("start", fd)
		socket.close(id)
		results(table.pack(next_event()), "disconnect", fd)
		eq(call("write", fd, "to nobody"), true)
		call("stop", fd)
		check.wait(function() return not call("write", fd, "to nobody") end)
		call("stop", fd)
		inbox = {}	-- a write to the dead peer may be reported as an error
	end)
	case("maxclient", function()
		local clients = {}
		for i = 1, 3 do clients[i] = table.pack(connect()) end
		local refused = assert(socket.open("127.0.0.1", port))
		eq(next_event(), "disconnect")
		results(table.pack(socket.read(refused)), false, "")
		socket.close(refused)
		for i = 1, 3 do
			socket.close(clients[i][1])
			call("start", clients[i][2])
			call("stop", clients[i][2])
		end
		for _ = 1, 3 do eq((next_event()), "disconnect") end
		local id, fd = connect()
		socket.close(id)
		call("stop", fd)
		results(table.pack(next_event()), "disconnect", fd)
	end)
	case("unknown fds", function()
		call("start", 0x7f0000)
		call("stop", 0x7f0000)
		quiet()
	end)
	case("close leaves the connections", function()
		local id, fd = connect()
		call("start", fd)
		call("close")
		skynet.sleep(20)	-- upstream's asks the core first
		raises("call failed", call, "close")
		eq((socket.open("127.0.0.1", port)), nil)
		socket.write(id, frame "still here")
		results(table.pack(next_event()), "message", fd, "still here")
		raises("call failed", call, "open", { port = 0 })
		socket.close(id)
		call("stop", fd)
		results(table.pack(next_event()), "disconnect", fd)
		skynet.kill(gate)
	end)
	case("embedded", function()
		local server = skynet.newservice("lib_gate", "embedded", skynet.self())
		eq(skynet.call(server, "lua", "hello"), "embedded hello")
		local own_port = skynet.call(server, "lua", "open", { address = "127.0.0.1", port = 0 })
		local id = assert(socket.open("127.0.0.1", own_port))
		socket.write(id, frame "text")
		results(table.pack(next_event()), "message", "text")
		socket.close(id)
		skynet.kill(server)
	end)
	case("handlers that must be there", function()
		local gateserver = require "snax.gateserver"
		assert(not pcall(gateserver.start, { connect = print }))
		assert(not pcall(gateserver.start, { message = print }))
	end)
end

local function watchdog()
	local gate, port
	local clients = {}
	skynet.register_protocol { name = "client", id = skynet.PTYPE_CLIENT, unpack = skynet.tostring,
		dispatch = function(fd, source, text)
			skynet.ignoreret()
			table.insert(clients, { fd, source, text })
		end }
	local function call(...) return skynet.call(gate, "lua", ...) end
	local function next_client()
		check.wait(function() return clients[1] end, 3, "a client message")
		return table.unpack(table.remove(clients, 1))
	end

	case("gate: open", function()
		gate = skynet.newservice "gate"
		local address, real_port = call("open", { address = "127.0.0.1", port = tonumber(skynet.getenv "gate") })
		eq(address, "127.0.0.1")
		eq(real_port, tonumber(skynet.getenv "gate"))
		port = real_port
	end)

	local function connect()
		local id = assert(socket.open("127.0.0.1", port))
		local what, event, fd, address = next_event()
		eq(what, "socket")
		eq(event, "open")
		assert(address:find "^127%.0%.0%.1:%d+$")
		return id, fd
	end

	case("gate: data to the watchdog, then to an agent", function()
		local id, fd = connect()
		socket.write(id, frame "early")
		quiet()
		results(table.pack(call("accept", fd)))
		results(table.pack(next_event()), "socket", "data", fd, "early")
		call("forward", fd)
		socket.write(id, frame "one" .. frame "two")
		results(table.pack(next_client()), fd, gate, "one")
		results(table.pack(next_client()), fd, gate, "two")
		call("forward", fd, 0x77)
		socket.write(id, frame "three")
		results(table.pack(next_client()), fd, 0x77, "three")
		call("accept", fd)
		socket.write(id, frame "four")
		results(table.pack(next_event()), "socket", "data", fd, "four")
		socket.close(id)
		results(table.pack(next_event()), "socket", "close", fd)
		call("kick", fd)
		raises("call failed", call, "accept", fd)
	end)
	case("gate: forward to another service", function()
		local id, fd = connect()
		skynet.call(gate, "lua", "forward", fd, 0, skynet.self())
		socket.write(id, frame "text")
		results(table.pack(next_client()), fd, gate, "text")
		socket.close(id)
		results(table.pack(next_event()), "socket", "close", fd)
		call("kick", fd)
	end)
	case("gate: kick", function()
		local id, fd = connect()
		call("accept", fd)
		call("kick", fd)
		results(table.pack(socket.read(id)), false, "")
		results(table.pack(next_event()), "socket", "close", fd)
		socket.close(id)
	end)
	case("gate: unknown fds and commands", function()
		raises("call failed", call, "forward", 0x7f0000)
		raises("call failed", call, "accept", 0x7f0000)
		call("kick", 0x7f0000)
		raises("call failed", call, "no such command")
	end)
	case("gate: many clients", function()
		local ids = {}
		for i = 1, 100 do ids[i] = assert(socket.open("127.0.0.1", port)) end
		local fds = {}
		for i = 1, 100 do
			local _, event, fd = next_event()
			eq(event, "open")
			fds[i] = fd
			call("accept", fd)
		end
		for i = 1, 100 do socket.write(ids[i], frame("client " .. i)) end
		local seen = {}
		for _ = 1, 100 do
			local _, event, _, text = next_event()
			eq(event, "data")
			seen[text] = true
		end
		for i = 1, 100 do
			assert(seen["client " .. i])
			socket.close(ids[i])
			call("kick", fds[i])
		end
	end)
end

check.run(function()
	skynet.dispatch("lua", function(_, _, ...) table.insert(inbox, { ... }) end)
	servers()
	watchdog()
end)
