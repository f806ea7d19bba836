-- skynet.socket: what it writes to the log, and the corners of its functions.
-- config: logservice = "snlua"
-- config: logger = "support/recorder"
-- config: udp1 = $PORT1

local skynet = require "skynet"
local core = require "skynet.core"
local socket = require "skynet.socket"
local driver = require "skynet.socketdriver"
local socketmsg = dofile "./test/lua/support/socketmsg.lua"
local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local HEAD = skynet.getenv "api_level" == "head"
local UNKNOWN <const> = 0x7f000001

local pairs_of = dofile "./test/lua/support/pair.lua"
local port	-- of the listener; what arrives there goes to `pairs_of.served`
local function pair(raw) return pairs_of.open(port, raw) end
local close_both <const> = pairs_of.close

local function log()
	return skynet.call(".logger", "lua", "take", skynet.self())
end

--- Waits for a line that is this, or that the pattern finds.
local function logged(text, pattern)
	local seen = {}
	return check.wait(function()
		for _, line in ipairs(log()) do
			if line == text or pattern and line:find(pattern) then return line end
			table.insert(seen, line)
		end
	end, 10, string.format("line %q (seen: %s)", text or pattern, table.concat(seen, "; ")))
end

--- An event as the core would send it.
local function event(...)
	core.send(skynet.self(), skynet.PTYPE_SOCKET, 0, ...)
	skynet.yield()
end

local function lines()
	case("pause and resume", function()
		local a, b = pair()
		log()
		socket.pause(b)
		logged(string.format("Pause socket (%d)", b))
		check.wait(function()
			for _, row in ipairs(socket.netstat()) do
				if row.id == b then return not row.reading end
			end
		end, 10, "the pause")
		socket.write(a, "x")
		eq(socket.read(b), "x")
		logged(string.format("Resume socket (%d)", b))
		socket.write(a, ("y"):rep(1 << 22))
		local line = logged(nil, string.format("^Pause socket %%(%d%%) size : %%d+$", b))
		assert(tonumber(line:match "%d+$") > 128 * 1024, line)
		-- all of it may have come before the pause took hold: then nothing is resumed
		eq(#socket.read(b, 1 << 22), 1 << 22)
		close_both(a, b)
	end)
	case("over the limit", function()
		local a, b = pair()
		log()
		socket.limit(b, 1000)
		socket.write(a, ("y"):rep(5000))
		local line = logged(nil, string.format("^socket buffer overflow: fd=%d size=%%d+$", b))
		assert(tonumber(line:match "%d+$") > 1000, line)
		close_both(a, b)
	end)
	case("a warning that nobody takes", function()
		local a, b = pair()
		log()
		event(socketmsg.text(socketmsg.WARNING, a, 2048))
		logged(string.format("WARNING: 2048 K bytes need to send out (fd = %d)", a))
		event(socketmsg.text(socketmsg.WARNING, UNKNOWN, 2048))
		local got = {}
		socket.warning(a, function(id, size) table.insert(got, { id, size }) end)
		event(socketmsg.text(socketmsg.WARNING, a, 1024))
		event(socketmsg.text(socketmsg.WARNING, a, 0))
		check.wait(function() return #got == 2 end)
		eq(got, { { a, 1024 }, { a, 0 } })
		raises("assertion failed!", socket.warning, UNKNOWN, print)
		close_both(a, b)
	end)
	case("a reset", function()
		local a, b = pair()
		log()
		-- what is unread when it closes makes the peer reset the connection
		socket.pause(a)
		local function row_of(id)
			for _, row in ipairs(socket.netstat()) do
				if row.id == id then return row end
			end
		end
		check.wait(function() return not row_of(a).reading end, 10, "the pause")
		socket.write(b, ("z"):rep(1000))
		check.wait(function() return row_of(b).write == 1000 end, 10, "the data")
		local closed
		socket.onclose(b, function(id) closed = id end)
		socket.shutdown(a)
		eq((socket.read(b)), false)
		eq(socket.disconnected(b), true)
		check.wait(function()
			if closed then return true end
			for _, line in ipairs(log()) do
				if line == string.format("socket: error on %d Connection reset by peer", b) then return true end
			end
		end, 10, "the end of it")
		close_both(a, b)
	end)
	case("an error while connected", function()
		local a, b = pair()
		log()
		event(socketmsg.text(socketmsg.ERROR, b, 0, "on purpose"))
		logged(string.format("socket: error on %d on purpose", b))
		eq(socket.disconnected(b), true)
		results(table.pack(socket.read(b)), false, "")
		close_both(a, b)
	end)
	case("sockets that nobody knows", function()
		log()
		check.no_leak(20, function()
			event(socketmsg.block(socketmsg.DATA, UNKNOWN, ("d"):rep(1000)))
			logged("socket: drop package from " .. UNKNOWN)
			event(socketmsg.block(socketmsg.UDP, UNKNOWN, ("d"):rep(1000) .. "\1\0\1\127\0\0\1", 1000))
			logged("socket: drop udp package from " .. UNKNOWN)
		end, 500)
		event(socketmsg.text(socketmsg.ERROR, UNKNOWN, 0, "on purpose"))
		logged(string.format("socket: error on unknown %d on purpose", UNKNOWN))
		event(socketmsg.text(socketmsg.CONNECT, UNKNOWN, 0, "start"))
		event(socketmsg.text(socketmsg.CLOSE, UNKNOWN, 0))
		event(socketmsg.text(socketmsg.ACCEPT, UNKNOWN, UNKNOWN, "1.2.3.4:5"))
	end)
	case("an accept error", function()
		log()
		local id, _, own_port = socket.listen("127.0.0.1", 0)
		socket.start(id, function(new_id) socket.close_fd(new_id) end)
		event(socketmsg.text(socketmsg.ERROR, id, 0, "Too many open files"))
		logged "socket: accept error: Too many open files"
		-- it goes on
		local a = assert(socket.open("127.0.0.1", own_port))
		eq((socket.read(a)), false)
		socket.close(a)
		socket.close(id)
	end)
end

local function corners()
	case("read of no bytes", function()
		local a, b = pair()
		socket.write(a, "some")
		results(table.pack(socket.read(b, 0)), false, "some")
		close_both(a, b)
	end)
	case("what can be written", function()
		local a, b = pair()
		eq(socket.write(a, core.pack("packed")), true)
		eq(socket.read(b, 7), core.packstring "packed")
		eq(socket.write(a, { "a", "b" }), true)
		eq(socket.lwrite(a, "c"), true)
		eq(socket.write(a, 12), true)
		eq(socket.read(b, 5), "abc12")
		raises("string expected", socket.write, a, { "a", true })
		raises("string expected", socket.write, a, nil)
		raises("string expected", socket.write, a, true)
		close_both(a, b)
	end)
	case("addresses", function()
		raises("Invalid address 127.0.0.1.", socket.open, "127.0.0.1")
		raises("Invalid address [::1.", socket.open, "[::1")
		raises("Invalid port", socket.open, "127.0.0.1", 0)
		raises("Invalid port", socket.open, "127.0.0.1:0")
		if HEAD then
			raises("Invalid port in address 127.0.0.1:80x.", socket.open, "127.0.0.1:80x")
			raises("Invalid port in address 127.0.0.1:65536.", socket.open, "127.0.0.1:65536")
			raises("Invalid port in address 127.0.0.1:.", socket.open, "127.0.0.1:")
		end
		local id, reason = socket.open("256.256.256.256", 80)
		eq(id, nil)
		assert(#reason > 5, reason)
	end)
	case("IPv6", function()
		local listener, address, own_port = socket.listen("::1", 0)
		eq(address, "::1")
		local accepted, peer
		socket.start(listener, function(id, from) accepted, peer = id, from end)
		for _, to in ipairs { { "::1", own_port }, { string.format("[::1]:%d", own_port) } } do
			accepted = nil
			local id = assert(socket.open(table.unpack(to)))
			check.wait(function() return accepted end)
			assert(peer:find "^::1:%d+$", peer)
			assert(socket.start(accepted))
			socket.write(id, "six")
			eq(socket.read(accepted, 3), "six")
			close_both(id, accepted)
		end
		eq(socket.resolve("::1")[1], "::1")
		socket.close(listener)
	end)
	case("descriptors of the system", function()
		local id, reason = socket.bind(9999)
		eq(id, nil)
		eq(reason, "reach skynet socket number limit")
	end)
	case("a listener is closed and its port is free", function()
		local listener, _, own_port = socket.listen("127.0.0.1", 0, 5)
		socket.start(listener, print)
		eq(socket.invalid(listener), false)
		eq(socket.disconnected(listener), false)
		socket.close(listener)
		eq(socket.invalid(listener), true)
		local again = socket.listen("127.0.0.1", own_port)
		socket.close(again)
	end)
	case("onclose must be used before the id is", function()
		local a, b = pair(true)
		socket.onclose(b, print)
		raises("socket has onclose callback", socket.start, b)
		socket.onclose(b, nil)
		socket.close(a)
		driver.close(b)
	end)
	case("a destination of the other family", function()
		local got
		local server = socket.udp(function(data) got = data end, "127.0.0.1", tonumber(skynet.getenv "udp1"))
		local id = socket.udp(function() end)
		log()
		socket.udp_connect(id, "::1", 1)
		logged "socket: accept error: protocol mismatch"
		-- it can still be used
		socket.udp_connect(id, "127.0.0.1", tonumber(skynet.getenv "udp1"))
		eq(socket.write(id, "text"), true)
		check.wait(function() return got end)
		eq(got, "text")
		socket.close(id)
		socket.close(server)
	end)
	case("datagrams", function()
		local got
		raises("udp connect failed", socket.udp_connect, UNKNOWN, "127.0.0.1", port)
		raises("udp dial host failed", socket.udp_dial, "256.256.256.256", 1, print)
		raises("udp listen host failed", socket.udp_listen, "127.0.0.1", 0, print)
		local id = socket.udp(function(data) got = data end)
		raises("udp connect failed", socket.udp_connect, id, "256.256.256.256", 1)
		eq(socket.sendto(id, "\3\0\1\127\0\0\1", "x"), false)
		local a, b = pair()
		raises("assertion failed!", socket.udp_connect, a, "127.0.0.1", 1)
		close_both(a, b)
		socket.close(id)
		eq(socket.sendto(id, "\1\0\1\127\0\0\1", "x"), false)
		eq(got, nil)
	end)
end

check.run(function()
	local listener
	listener, _, port = socket.listen("127.0.0.1", 0)
	socket.start(listener, function(id) pairs_of.served(id) end)
	lines()
	corners()
end)
