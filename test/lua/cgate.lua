-- The C service gate: parameter, text commands, reports, packets, outgoing data, limits.
-- config: logservice = "snlua"
-- config: logger = "support/recorder"
-- config: gate1 = $PORT1
-- config: gate2 = $PORT2
-- foreign: also
-- limit: 60

local skynet = require "skynet"
local core = require "skynet.core"
require "skynet.manager"

local mode, parent = ...

-- A service that passes everything on to the test: as watchdog, receiver or broker.
local TAG <const> = 77
if mode == "ear" then
	for _, kind in ipairs { { "text", skynet.PTYPE_TEXT }, { "client", skynet.PTYPE_CLIENT }, { "tagged", TAG } } do
		skynet.register_protocol {
			name = kind[1], id = kind[2], unpack = skynet.tostring,
			dispatch = function(session, source, text)
				skynet.ignoreret()
				skynet.send(tonumber(parent), "lua", kind[1], session, source, text)
			end,
		}
	end
	skynet.start(function() end)
	return
end

local socket = require "skynet.socket"
local driver = require "skynet.socketdriver"
local socketmsg = dofile "./test/lua/support/socketmsg.lua"
local check = dofile "./test/lua/support/check.lua"
local eq, results, case = check.eq, check.results, check.case

local HEAD = skynet.getenv "api_level" == "head"
local ports = { tonumber(skynet.getenv "gate1"), tonumber(skynet.getenv "gate2") }

local ear	-- its handle
local inbox = {}	-- { kind, session, source, text }

local function next_message()
	check.wait(function() return inbox[1] end, 10, "a message")
	return table.unpack(table.remove(inbox, 1), 1, 4)
end

local function expect(...)
	results(table.pack(next_message()), ...)
end

local function log(source)
	return skynet.call(".logger", "lua", "take", source)
end

--- Waits for a line of a service, passing over others.
local function logged(source, text)
	local seen = {}
	check.wait(function()
		for _, line in ipairs(log(source)) do
			if line == text then return true end
			table.insert(seen, line)
		end
	end, 10, string.format("line %q (seen: %s)", text, table.concat(seen, "; ")))
end

--- Messages to the gate are in order with those of ours: when it has said what it thinks of this, all before is done.
local settled = 0
local function settle(gate)
	settled = settled + 1
	core.send(gate, skynet.PTYPE_TEXT, 0, "?" .. settled)
	logged(gate, "[gate] Unknown command : ?" .. settled)
end

--- Nothing more has been reported than was expected.
local function quiet(gate)
	settle(gate)
	eq(inbox, {}, "reports")
end

local function command(gate, ...)
	core.send(gate, skynet.PTYPE_TEXT, 0, string.format(...))
end

local function short(text) return string.pack(">s2", text) end
local function long(text) return string.pack(">s4", text) end

local function launch(header, watchdog, port, tag, max)
	local gate = assert(skynet.launch("gate", header, watchdog, "127.0.0.1:" .. port, tag, max))
	log(gate)
	return gate
end

--- Connects and returns our end and the gate's id, which is in its report.
local function connect(gate, port)
	local id = assert(socket.open("127.0.0.1", port))
	local kind, session, source, text = next_message()
	eq({ kind, session, source }, { "text", 0, gate })
	local fd, again, peer = text:match "^(%d+) open (%d+) (127%.0%.0%.1:%d+):0$"
	assert(fd and fd == again, text)
	fd = tonumber(fd)
	logged(gate, string.format("socket open: %x", fd))
	return id, fd, peer
end

local function ended(id)
	eq(socket.read(id), false)
	socket.close(id)
end

local function parameters()
	case("parameters that cannot be", function()
		local port = ports[1]
		for _, try in ipairs {
			{ "S ! " .. port, "Invalid gate parm S ! " .. port },
			{ "X ! 0 tag 1", "Invalid gate parm X ! 0 tag 1" },
			{ "S", "Invalid gate parm S" },
			{ "X .nobody 0 0", "Need max connection" },
			{ "X .nobody 0 0 0", "Need max connection" },
			{ "X .nobody 0 0 -3", "Need max connection" },
			{ "X .nobody 0 0 1", "Invalid data header style" },
			{ "s .nobody 0 0 1", "Invalid data header style" },
			{ "S .nobody 0 0 1", "Invalid watchdog .nobody" },
			{ "S :0 0 0 1", "Invalid watchdog :0" },
			{ "S ! 0 0 1", "Invalid gate address 0" },
			{ "S ! nowhere 0 1", "Invalid gate address nowhere" },
			{ "S ! nowhere: 0 1", "Invalid gate address nowhere:" },
			{ "L ! 127.0.0.1:0 0 1", "Invalid gate address 127.0.0.1:0" },
			{ "L ! 127.0.0.1:-5 0 1", "Invalid gate address 127.0.0.1:-5" },
		} do
			log()
			eq(skynet.launch("gate", try[1]), nil, try[1])
			local found = {}
			check.wait(function()
				for _, line in ipairs(log()) do
					if line == try[2] then return true end
					table.insert(found, line)
				end
			end, 10, try[2])
			for _, line in ipairs(found) do
				assert(not line:find "^Invalid" and not line:find "^Need", line)
			end
		end
	end)
	case("a port that is taken", function()
		local gate = launch("S", "!", ports[1], 0, 10)
		eq(skynet.launch("gate", "S", "!", "127.0.0.1:" .. ports[1], 0, 10), nil)
		skynet.kill(gate)
	end)
	case("a port alone, and an empty host", function()
		for _, bind in ipairs { ports[1], ":" .. ports[1] } do
			local gate
			-- the one before may not have let go yet
			check.wait(function() gate = skynet.launch("gate", "S", skynet.address(ear), bind, 0, 10) return gate end)
			local id = connect(gate, ports[1])
			skynet.kill(gate)
			ended(id)
		end
	end)
end

local function connections()
	local port = ports[2]
	local gate = launch("S", skynet.address(ear), port, 0, 3)

	case("open, start, data, close", function()
		local id, fd = connect(gate, port)
		socket.write(id, short "early")
		quiet(gate)
		command(gate, "start %d", fd)
		expect("text", fd, gate, fd .. " data early")
		socket.write(id, short "one" .. short "" .. short "three" .. short(("x"):rep(65535)))
		for _, text in ipairs { "one", "three", ("x"):rep(65535) } do
			expect("text", fd, gate, fd .. " data " .. text)
		end
		for byte in short("in\0pieces"):gmatch "." do
			socket.write(id, byte)
			skynet.yield()
		end
		expect("text", fd, gate, fd .. " data in\0pieces")
		socket.close(id)
		expect("text", 0, gate, fd .. " close")
		quiet(gate)
	end)
	case("closed in the middle of a packet", function()
		for cut = 1, 4 do
			local id, fd = connect(gate, port)
			command(gate, "start %d", fd)
			socket.write(id, short "whole" .. short("lost"):sub(1, cut))
			expect("text", fd, gate, fd .. " data whole")
			socket.close(id)
			expect("text", 0, gate, fd .. " close")
		end
		quiet(gate)
	end)
	case("one more than may be", function()
		local held = {}
		for i = 1, 3 do held[i] = table.pack(connect(gate, port)) end
		ended(assert(socket.open("127.0.0.1", port)))
		quiet(gate)
		command(gate, "start %d", held[2][2])
		socket.close(held[2][1])
		expect("text", 0, gate, held[2][2] .. " close")
		held[2] = table.pack(connect(gate, port))
		ended(assert(socket.open("127.0.0.1", port)))
		quiet(gate)
		for i = 1, 3 do
			command(gate, "kick %d", held[i][2])
			expect("text", 0, gate, held[i][2] .. " close")
			ended(held[i][1])
		end
	end)
	case("places are used again", function()
		for i = 1, 50 do
			local id, fd = connect(gate, port)
			command(gate, "start %d", fd)
			socket.write(id, short("client " .. i))
			expect("text", fd, gate, fd .. " data client " .. i)
			if i % 2 == 0 then
				command(gate, "kick %d", fd)
				ended(id)
			else
				socket.close(id)
			end
			expect("text", 0, gate, fd .. " close")
		end
	end)
	case("kick", function()
		local id, fd = connect(gate, port)
		command(gate, "kick %d", fd)
		expect("text", 0, gate, fd .. " close")
		ended(id)
		command(gate, "kick %d", fd)
		command(gate, "kick 0")
		command(gate, "kick -1")
		command(gate, "kick %d", 0x7f000000)
		command(gate, "kick")
		command(gate, "start %d", fd)
		command(gate, "start")
		quiet(gate)
	end)
	case("names may be cut short", function()
		local id, fd = connect(gate, port)
		command(gate, "s   %d", fd)
		socket.write(id, short "text")
		expect("text", fd, gate, fd .. " data text")
		command(gate, " %d", fd)
		expect("text", 0, gate, fd .. " close")
		ended(id)
		id, fd = connect(gate, port)
		command(gate, "k %d and more", fd)
		expect("text", 0, gate, fd .. " close")
		ended(id)
	end)
	case("unknown commands", function()
		core.send(gate, skynet.PTYPE_TEXT, 0, "")
		for _, text in ipairs { "kicks 1", "Kick 1", "x", "data", "broker2 x" } do
			command(gate, "%s", text)
			logged(gate, "[gate] Unknown command : " .. text)
		end
	end)
	case("data for clients", function()
		local id, fd = connect(gate, port)
		local function client(text)
			core.send(gate, skynet.PTYPE_CLIENT, 0, text)
		end
		local to = string.pack("<i4", fd)
		-- what is sent before the start goes nowhere
		client("too early" .. to)
		command(gate, "start %d", fd)
		settle(gate)
		socket.write(id, short "started")
		expect("text", fd, gate, fd .. " data started")
		client("as it is" .. to)
		eq(socket.read(id, 8), "as it is")
		local much = ("0123456789abcdef"):rep(1 << 16)
		client(much .. to)
		client("\0" .. to)
		eq(socket.read(id, #much) == much, true)
		eq(socket.read(id, 1), "\0")
		local self = skynet.self()
		for _, text in ipairs { "", "a", "abc", to } do
			client(text)
			logged(gate, string.format("Invalid client message from %x", self))
		end
		for _, unknown in ipairs { 0, -1, 0x7f000000, fd + 65536 } do
			client("x" .. string.pack("<i4", unknown))
			logged(gate, string.format("Invalid client id %d from %x", unknown, self))
		end
		client("the last" .. to)
		command(gate, "kick %d", fd)
		eq(socket.read(id, 8), "the last")
		expect("text", 0, gate, fd .. " close")
		ended(id)
		client("x" .. to)
		logged(gate, string.format("Invalid client id %d from %x", fd, self))
	end)
	case("data for many clients", function()
		check.no_leak(20, function()
			local id, fd = connect(gate, port)
			command(gate, "start %d", fd)
			settle(gate)
			for i = 1, 50 do core.send(gate, skynet.PTYPE_CLIENT, 0, ("y"):rep(i * 10) .. string.pack("<i4", fd)) end
			core.send(gate, skynet.PTYPE_CLIENT, 0, "y" .. string.pack("<i4", 0x7f000000))
			local got = assert(socket.read(id, 12750))
			eq(got, ("y"):rep(12750))
			socket.close(id)
			expect("text", 0, gate, fd .. " close")
		end, 5000)
	end)
	case("the listener is closed, connections stay", function()
		local id, fd = connect(gate, port)
		command(gate, "start %d", fd)
		command(gate, "close")
		settle(gate)
		check.wait(function()
			local late = socket.open("127.0.0.1", port)
			if late then socket.close(late) else return true end
		end, 10, "the end of the listener")
		command(gate, "close")
		command(gate, "c")
		socket.write(id, short "still here")
		-- those that came before the listener was gone
		local kind, session, source, text
		repeat kind, session, source, text = next_message() until text:find " data "
		eq({ kind, session, source, text }, { "text", fd, gate, fd .. " data still here" })
		skynet.kill(gate)
		ended(id)
		inbox = {}
	end)
end

local function events()
	local port = ports[1]
	local gate = launch("S", skynet.address(ear), port, 0, 10)
	-- Events as the core would send them.
	local function event(...)
		core.send(gate, skynet.PTYPE_SOCKET, 0, ...)
	end

	case("events of sockets that nobody knows", function()
		check.no_leak(20, function()
			event(socketmsg.block(socketmsg.DATA, 0x7f000001, ("d"):rep(1000)))
			logged(gate, "Drop unknown connection 2130706433 message")
		end, 500)
		event(socketmsg.text(socketmsg.CONNECT, 0x7f000001, 0, "start"))
		logged(gate, "Close unknown connection 2130706433")
		event(socketmsg.text(socketmsg.CLOSE, 0x7f000001, 0))
		event(socketmsg.text(socketmsg.ERROR, 0x7f000001, 0, "Connection reset by peer"))
		quiet(gate)
		event(socketmsg.text(socketmsg.WARNING, 0x7f000001, 1025))
		logged(gate, "fd (2130706433) send buffer (1025)K")
	end)
	case("an error ends a connection, once", function()
		local id, fd = connect(gate, port)
		event(socketmsg.text(socketmsg.ERROR, fd, 0, "Connection reset by peer"))
		expect("text", 0, gate, fd .. " close")
		event(socketmsg.text(socketmsg.CLOSE, fd, 0))
		quiet(gate)
		socket.close(id)
		if not HEAD then driver.close(fd) end
	end)
	case("a warning", function()
		local id, fd = connect(gate, port)
		event(socketmsg.text(socketmsg.WARNING, fd, 0))
		logged(gate, string.format("fd (%d) send buffer (0)K", fd))
		socket.close(id)
	end)
	skynet.kill(gate)
	skynet.sleep(0)
	inbox = {}
end

local function routes()
	local port = ports[2]
	local gate
	-- the one before may not have let go yet
	check.wait(function() gate = skynet.launch("gate", "L", skynet.address(ear), "127.0.0.1:" .. port, TAG, 4) return gate end)
	log(gate)
	local receiver = skynet.newservice("cgate", "ear", skynet.self())
	local function forward(fd, to, source)
		command(gate, "forward %d :%x :%x", fd, to, source)
	end

	case("to a receiver, in another's name", function()
		local id, fd = connect(gate, port)
		forward(fd, receiver, 0x1234)
		command(gate, "start %d", fd)
		socket.write(id, long "one" .. long "" .. long "two")
		expect("tagged", fd, 0x1234, "one")
		expect("tagged", fd, 0x1234, "two")
		settle(gate)
		forward(fd, receiver, 0)
		settle(gate)
		socket.write(id, long "in the gate's")
		expect("tagged", fd, gate, "in the gate's")
		-- what is not whole changes nothing
		for _, text in ipairs { "", " ", " %d", " %d :1", " 99", " 0 :1 :1" } do
			command(gate, "forward" .. text:gsub("%%d", fd))
		end
		settle(gate)
		socket.write(id, long "as before")
		expect("tagged", fd, gate, "as before")
		forward(fd, 0, 0)
		settle(gate)
		socket.write(id, long "to the watchdog")
		expect("text", fd, gate, fd .. " data to the watchdog")
		command(gate, "f %d ?%x :0xfF and more", fd, receiver)
		settle(gate)
		socket.write(id, long "once more")
		expect("tagged", fd, 0xff, "once more")
		socket.close(id)
		expect("text", 0, gate, fd .. " close")
	end)
	case("to nobody: the receiver has ended", function()
		local id, fd = connect(gate, port)
		forward(fd, 0x00ffffff, 0)
		command(gate, "start %d", fd)
		socket.write(id, long "lost")
		settle(gate)
		forward(fd, 0, 0)
		socket.write(id, "")
		-- either may come first: the packet, or the command
		socket.write(id, long "known")
		local text
		repeat
			local kind, session, source
			kind, session, source, text = next_message()
			eq({ kind, session, source }, { "text", fd, gate })
		until text == fd .. " data known"
		socket.close(id)
		expect("text", 0, gate, fd .. " close")
	end)
	case("long packets", function()
		local id, fd = connect(gate, port)
		forward(fd, receiver, 0)
		command(gate, "start %d", fd)
		for _, size in ipairs { 65536, 65537, 1 << 20, 0xffffff } do
			local text = string.pack("<i4", size) .. ("p"):rep(size - 4)
			socket.write(id, long(text))
			local kind, session, source, got = next_message()
			eq({ kind, session, source, got == text }, { "tagged", fd, gate, true })
		end
		socket.close(id)
		expect("text", 0, gate, fd .. " close")
	end)
	case("a packet that is too long", function()
		local id, fd = connect(gate, port)
		command(gate, "start %d", fd)
		socket.write(id, long "first")
		expect("text", fd, gate, fd .. " data first")
		-- upstream waits for all of it
		socket.write(id, string.pack(">I4", 1 << 24) .. ("p"):rep(1 << 24))
		expect("text", 0, gate, fd .. " close")
		logged(gate, "Recv socket message > 16M")
		eq(socket.read(id), false)
		socket.close(id)
		quiet(gate)
	end)
	case("a broker comes before all", function()
		local id, fd = connect(gate, port)
		forward(fd, receiver, 0x1234)
		command(gate, "start %d", fd)
		skynet.name(".cgate_broker", receiver)
		for _, name in ipairs { ".cgate_broker", skynet.address(receiver) } do
			command(gate, "broker %s", name)
			settle(gate)
			socket.write(id, long "to the broker")
			expect("tagged", fd, gate, "to the broker")
			command(gate, "b .nobody")
			settle(gate)
			socket.write(id, long "to the receiver")
			expect("tagged", fd, 0x1234, "to the receiver")
		end
		socket.close(id)
		expect("text", 0, gate, fd .. " close")
	end)
	skynet.kill(receiver)
	skynet.kill(gate)
end

local function watchdogs()
	local port = ports[1]
	case("the watchdog has ended", function()
		local dog = skynet.newservice("cgate", "ear", skynet.self())
		local gate
		check.wait(function()
			gate = skynet.launch("gate", "S", skynet.address(dog), "127.0.0.1:" .. port, TAG, 4)
			return gate
		end)
		log(gate)
		local first, fd = connect(gate, port)
		command(gate, "start %d", fd)
		settle(gate)
		skynet.kill(dog)
		socket.write(first, short "to nobody")
		local second = assert(socket.open("127.0.0.1", port))
		local line
		check.wait(function()
			for _, text in ipairs(log(gate)) do line = text:match "^socket open: (%x+)$" or line end
			return line
		end)
		command(gate, "broker %s", skynet.address(ear))
		command(gate, "start %d", tonumber(line, 16))
		socket.write(second, short "to the broker")
		local kind, session, source, text
		repeat kind, session, source, text = next_message() until text ~= "to nobody"
		eq({ kind, session, source, text }, { "tagged", tonumber(line, 16), gate, "to the broker" })
		socket.close(first)
		socket.close(second)
		quiet(gate)
		skynet.kill(gate)
	end)
	case("no watchdog", function()
		local gate
		check.wait(function()
			gate = skynet.launch("gate", "S", "!", "127.0.0.1:" .. ports[2], TAG, 4)
			return gate
		end)
		log(gate)
		command(gate, "broker %s", skynet.address(ear))
		local id = assert(socket.open("127.0.0.1", ports[2]))
		local line
		check.wait(function()
			for _, text in ipairs(log(gate)) do line = text:match "^socket open: (%x+)$" or line end
			return line
		end)
		command(gate, "start %d", tonumber(line, 16))
		socket.write(id, short "text")
		expect("tagged", tonumber(line, 16), gate, "text")
		skynet.kill(gate)
		ended(id)
	end)
end

check.run(function()
	skynet.dispatch("lua", function(_, _, ...) table.insert(inbox, table.pack(...)) end)
	ear = skynet.newservice("cgate", "ear", skynet.self())
	parameters()
	connections()
	events()
	routes()
	watchdogs()
end)
