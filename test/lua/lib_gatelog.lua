-- snax.gateserver and service gate: errors, warnings and what they write to the log.
-- config: logservice = "snlua"
-- config: logger = "support/recorder"

local skynet = require "skynet"
local core = require "skynet.core"
local socket = require "skynet.socket"
local socketmsg = dofile "./test/lua/support/socketmsg.lua"
local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local HEAD = skynet.getenv "api_level" == "head"
local UNKNOWN <const> = 0x7f000001

local inbox = {}

local function next_event()
	check.wait(function() return inbox[1] end, 10, "an event")
	return table.unpack(table.remove(inbox, 1))
end

local function logged(source, text)
	local seen = {}
	return check.wait(function()
		for _, line in ipairs(skynet.call(".logger", "lua", "take", source)) do
			if line == text then return true end
			table.insert(seen, line)
		end
	end, 10, string.format("line %q (seen: %s)", text, table.concat(seen, "; ")))
end

local function frame(text)
	return string.pack(">s2", text)
end

check.run(function()
	skynet.dispatch("lua", function(_, _, ...) table.insert(inbox, { ... }) end)
	local gate = skynet.newservice "gate"
	local listener, port

	local function call(...) return skynet.call(gate, "lua", ...) end
	-- An event as the core would send it.
	local function event(...) core.send(gate, skynet.PTYPE_SOCKET, 0, ...) end

	local function connect()
		local id = assert(socket.open("127.0.0.1", port))
		local what, name, fd = next_event()
		eq({ what, name }, { "socket", "open" })
		return id, fd
	end

	case("open", function()
		local address
		address, port = call("open", { address = "127.0.0.1", port = 0, maxclient = 3, nodelay = true, backlog = 7 })
		eq(address, "127.0.0.1")
		assert(port > 0)
		logged(gate, HEAD and "Listen on 127.0.0.1 0" or "Listen on 127.0.0.1:0")
		check.wait(function()
			for _, row in ipairs(socket.netstat()) do
				if row.type == "LISTEN" and row.address == gate then
					listener = row.id
					eq(row.sock, "127.0.0.1:" .. port)
					return true
				end
			end
		end, 10, "the listener")
		raises("call failed", call, "open", { port = 0 })
	end)
	case("a port that is taken", function()
		local other = skynet.newservice "gate"
		raises("call failed", skynet.call, other, "lua", "open", { address = "127.0.0.1", port = port })
		skynet.kill(other)
	end)
	case("a watchdog of its own", function()
		local other = skynet.newservice "gate"
		local _, other_port = skynet.call(other, "lua", "open", { address = "127.0.0.1", port = 0, watchdog = skynet.self() })
		local id = assert(socket.open("127.0.0.1", other_port))
		local what, name = next_event()
		eq({ what, name }, { "socket", "open" })
		skynet.kill(other)
		socket.close(id)
	end)
	case("warnings", function()
		local id, fd = connect()
		event(socketmsg.text(socketmsg.WARNING, fd, 1024))
		results(table.pack(next_event()), "socket", "warning", fd, 1024)
		event(socketmsg.text(socketmsg.WARNING, fd, 0))
		results(table.pack(next_event()), "socket", "warning", fd, 0)
		call("kick", fd)
		results(table.pack(next_event()), "socket", "close", fd)
		socket.close(id)
	end)
	case("errors", function()
		-- more than may be there at once, one after the other
		for _ = 1, 5 do
			local id, fd = connect()
			call("accept", fd)
			event(socketmsg.text(socketmsg.ERROR, fd, 0, "on purpose"))
			results(table.pack(next_event()), "socket", "error", fd, "on purpose")
			-- it has been shut down
			results(table.pack(next_event()), "socket", "close", fd)
			eq((socket.read(id)), false)
			socket.close(id)
			raises("call failed", call, "accept", fd)
			call("kick", fd)
		end
		eq(inbox, {})
	end)
	case("one too many", function()
		local held = {}
		for i = 1, 2 do held[i] = table.pack(connect()) end
		local refused = assert(socket.open("127.0.0.1", port))
		local what, name, fd = next_event()
		eq({ what, name }, { "socket", "close" })
		assert(fd ~= held[1][2] and fd ~= held[2][2])
		eq((socket.read(refused)), false)
		socket.close(refused)
		for i = 1, 2 do
			call("kick", held[i][2])
			results(table.pack(next_event()), "socket", "close", held[i][2])
			socket.close(held[i][1])
		end
	end)
	case("an accept error", function()
		event(socketmsg.text(socketmsg.ERROR, listener, 0, "Too many open files"))
		logged(gate, "gateserver accept error: Too many open files")
		local id, fd = connect()
		call("kick", fd)
		results(table.pack(next_event()), "socket", "close", fd)
		socket.close(id)
	end)
	case("frames of sockets that nobody knows", function()
		check.no_leak(20, function()
			event(socketmsg.block(socketmsg.DATA, UNKNOWN, frame(("d"):rep(100))))
			logged(gate, string.format("Drop message from fd (%d) : %s", UNKNOWN, ("d"):rep(100)))
			event(socketmsg.block(socketmsg.DATA, UNKNOWN, frame(("d"):rep(1000)):sub(1, 500)))
			event(socketmsg.text(socketmsg.CLOSE, UNKNOWN, 0))
		end, 500)
		event(socketmsg.block(socketmsg.DATA, UNKNOWN, frame "one" .. frame "two"))
		logged(gate, string.format("Drop message from fd (%d) : one", UNKNOWN))
		inbox = {}	-- their ends were reported
	end)
	case("frames behind a kick", function()
		local id, fd = connect()
		socket.write(id, frame "early")
		call("kick", fd)
		results(table.pack(next_event()), "socket", "close", fd)
		event(socketmsg.block(socketmsg.DATA, fd, frame "late"))
		logged(gate, string.format("Drop message from fd (%d) : late", fd))
		socket.close(id)
		eq(inbox, {})
	end)
	case("an address with its port", function()
		if HEAD then
			local other = skynet.newservice "gate"
			local address, other_port = skynet.call(other, "lua", "open", { address = "127.0.0.1:0" })
			eq(address, "127.0.0.1")
			assert(other_port > 0)
			logged(other, "Listen on 127.0.0.1:0 nil")
			skynet.kill(other)
		end
	end)
	case("close", function()
		local id, fd = connect()
		call("close")
		raises("call failed", call, "open", { port = 0 })
		call("accept", fd)
		socket.write(id, frame "")
		results(table.pack(next_event()), "socket", "data", fd, "")
		socket.write(id, frame "still here")
		results(table.pack(next_event()), "socket", "data", fd, "still here")
		socket.close(id)
		results(table.pack(next_event()), "socket", "close", fd)
	end)
end)
