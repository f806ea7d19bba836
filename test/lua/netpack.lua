-- skynet.netpack: framing in every fragmentation, the events of filter, packing.

local core = require "skynet.core"
local netpack = require "skynet.netpack"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"
local socketmsg = dofile "./test/lua/support/socketmsg.lua"

local eq, raises, bytes = check.eq, check.raises, check.bytes

local queue

--- Gives a message to filter, keeps the queue, returns the event.
local function filter(msg, sz)
	local result = table.pack(netpack.filter(queue, msg, sz))
	core.trash(msg, sz)
	queue = result[1]
	assert(queue == nil or type(queue) == "userdata")
	return table.unpack(result, 2, result.n)
end

local function frame(fd, ptr, size)
	return fd, netpack.tostring(ptr, size)
end

--- Feeds bytes to a socket, returns the event's name and the frames that are to be had now.
local function feed(fd, text)
	local event, id, ptr, size = filter(socketmsg.block(socketmsg.DATA, fd, text))
	if event == "data" then
		eq(id, fd, "fd of data")
		return event, { (netpack.tostring(ptr, size)) }
	elseif event == "more" then
		eq(id, nil, "result after more")
		local frames = {}
		for fd2, msg, sz in netpack.pop, queue do
			local from, payload = frame(fd2, msg, sz)
			eq(from, fd, "fd of a frame")
			table.insert(frames, payload)
		end
		return event, frames
	end
	eq(event, nil, "event")
	return nil, {}
end

--- Each step: bytes in hex, the event, the frames.
local function vector(name, ...)
	local steps = { ... }
	check.case("frames " .. name, function()
		for _, step in ipairs(steps) do
			local event, frames = feed(5, bytes(step[1]))
			eq(event, step[2], "event after " .. step[1])
			eq(frames, step[3] or {}, "frames after " .. step[1])
		end
	end)
end

local function vectors()
	check.case("no queue while none is needed", function()
		eq(queue, nil)
		eq({ feed(5, bytes "00 03 61 62 63") }, { "data", { "abc" } })
		eq(queue, nil)
	end)
	vector("whole", { "00 03 61 62 63", "data", { "abc" } })
	vector("body in two", { "00 03 61 62" }, { "63", "data", { "abc" } })
	vector("byte by byte", { "00" }, { "03" }, { "61" }, { "62 63", "data", { "abc" } })
	vector("two", { "00 01 61 00 02 62 63", "more", { "a", "bc" } })
	vector("one and a half", { "00 01 61 00 02 62", "more", { "a" } }, { "63", "data", { "bc" } })
	vector("one and a header's half", { "00 01 61 00", "more", { "a" } }, { "02 62 63", "data", { "bc" } })
	vector("empty", { "00 00", "data", { "" } })
	vector("two empty", { "00 00 00 00", "more", { "", "" } })
	vector("rest and two", { "00 03 61" }, { "62 63 00 01 7a 00 01 79", "more", { "abc", "z", "y" } })
	vector("empty in halves", { "00" }, { "00", "data", { "" } })
	vector("header in halves, then more", { "00" }, { "01 61 00 00", "more", { "a", "" } })
	vector("rest and a half header", { "00 03 61" }, { "62 63 00", "more", { "abc" } }, { "01" }, { "7a", "data", { "z" } })
	check.case("longest frame", function()
		local body = ("0123456789abcdef"):rep(4096):sub(1, 65535)
		eq({ feed(5, "\xff\xff" .. body) }, { "data", { body } })
		eq({ feed(5, "\xff\xff" .. body:sub(1, 1000)) }, { nil, {} })
		eq({ feed(5, body:sub(1001) .. "\0\1x") }, { "more", { body, "x" } })
	end)
	check.case("sockets are independent", function()
		eq({ feed(1, "\0\3a") }, { nil, {} })
		eq({ feed(4097, "\0") }, { nil, {} })
		eq({ feed(8193, "\0\2x") }, { nil, {} })
		eq({ feed(1, "bc") }, { "data", { "abc" } })
		eq({ feed(8193, "y") }, { "data", { "xy" } })
		eq({ feed(4097, "\1z") }, { "data", { "z" } })
	end)
end

local function events()
	check.case("events", function()
		local function event(kind, id, ud, text)
			return table.pack(filter(socketmsg.text(kind, id, ud, text)))
		end
		check.results(event(socketmsg.CONNECT, 3, 8080, "127.0.0.1"), "init", 3, "127.0.0.1", 8080)
		check.results(event(socketmsg.CONNECT, 3, 0, ""), "init", 3, "", 0)
		check.results(event(socketmsg.ACCEPT, 3, 12, "1.2.3.4:5"), "open", 12, "1.2.3.4:5")
		check.results(event(socketmsg.CLOSE, 12, 0), "close", 12)
		check.results(event(socketmsg.ERROR, 12, 0, "Connection refused"), "error", 12, "Connection refused")
		check.results(event(socketmsg.WARNING, 12, 1954), "warning", 12, 1954)
		check.results(event(socketmsg.UDP, 12, 0))
		check.results(event(99, 12, 0))
	end)
	check.case("an end forgets what is unfinished", function()
		for _, kind in ipairs { socketmsg.CLOSE, socketmsg.ERROR } do
			eq({ feed(7, "\0\5abc") }, { nil, {} })
			filter(socketmsg.text(kind, 7, 0, ""))
			eq({ feed(7, "\0\1x") }, { "data", { "x" } })
			eq({ feed(7, "\0") }, { nil, {} })
			filter(socketmsg.text(kind, 7, 0, ""))
			eq({ feed(7, "\0\1x") }, { "data", { "x" } })
		end
	end)
end

local function queues()
	check.case("pop and clear", function()
		check.results(table.pack(netpack.pop(nil)))
		check.results(table.pack(netpack.pop()))
		check.results(table.pack(netpack.clear(nil)))
		check.results(table.pack(netpack.clear()))
		filter(socketmsg.block(socketmsg.DATA, 1, "\0\1a\0\1b\0\1c\0\5par"))
		filter(socketmsg.block(socketmsg.DATA, 2, "\0\1d\0\1e\0"))
		local order = {}
		for _ = 1, 3 do
			table.insert(order, { frame(netpack.pop(queue)) })
		end
		eq(order, { { 1, "a" }, { 1, "b" }, { 1, "c" } })
		check.results(table.pack(netpack.clear(queue)))
		check.results(table.pack(netpack.pop(queue)))
		netpack.clear(queue)
		eq({ feed(1, "\0\1x") }, { "data", { "x" } })
		eq({ feed(2, "\0\1y") }, { "data", { "y" } })
	end)
	check.case("thousands of frames wait", function()
		local parts = {}
		for i = 1, 5000 do parts[i] = string.pack(">s2", "frame " .. i) end
		eq((filter(socketmsg.block(socketmsg.DATA, 9, table.concat(parts)))), "more")
		for i = 1, 5000 do
			local fd, payload = frame(netpack.pop(queue))
			assert(fd == 9 and payload == "frame " .. i)
		end
		check.results(table.pack(netpack.pop(queue)))
	end)
	check.case("nothing is lost", function()
		check.no_leak(500, function()
			queue = nil
			feed(1, "\0\9abc")
			feed(1, "defghi")
			feed(1, "\0\9abc")
			feed(3, "\0\9abc")
			feed(3, "\0")
			filter(socketmsg.text(socketmsg.CLOSE, 3, 0, ""))
			filter(socketmsg.block(socketmsg.DATA, 2, "\0\1d\0\1e\0"))
			netpack.clear(queue)
		end)
		queue = nil
	end)
end

local function random_fragments()
	check.case("random fragments of random frames", function()
		math.randomseed(11)
		local streams, want, got = {}, {}, {}
		for fd = 1, 20 do
			want[fd], got[fd] = {}, {}
			for i = 1, math.random(30) do
				local size = math.random(10) == 1 and math.random(0, 3000) or math.random(0, 20)
				want[fd][i] = string.char(math.random(97, 122)):rep(size)
			end
			local parts = {}
			for i, payload in ipairs(want[fd]) do parts[i] = string.pack(">s2", payload) end
			streams[fd] = table.concat(parts)
		end
		while next(streams) do
			for fd, stream in pairs(streams) do
				local n = math.random(1, math.random(2) == 1 and 4 or 400)
				local _, frames = feed(fd, stream:sub(1, n))
				table.move(frames, 1, #frames, #got[fd] + 1, got[fd])
				streams[fd] = #stream > n and stream:sub(n + 1) or nil
			end
		end
		eq(got, want)
	end)
end

local function packing()
	check.case("pack", function()
		local function packed(...)
			local ptr, size = netpack.pack(...)
			eq(type(ptr), "userdata")
			return netpack.tostring(ptr, size)
		end
		eq(packed("hello"), "\0\5hello")
		eq(packed(""), "\0\0")
		eq(packed(12), "\0\00212")
		eq(packed(("x"):rep(65535)), "\xff\xff" .. ("x"):rep(65535))
		local ptr, size = driver.str2p("block")
		eq(packed(ptr, size), "\0\5block")
		eq(packed(ptr, 2), "\0\2bl")
		eq(core.tostring(ptr, size), "block", "the block is still ours")
		raises("Invalid size (too long) of data : 65536", netpack.pack, ptr, 65536)
		core.trash(ptr, size)
		raises("Invalid size (too long) of data : 65536", netpack.pack, ("x"):rep(65536))
		raises("(string expected, got nil)", netpack.pack, nil)
		raises("(string expected, got no value)", netpack.pack)
	end)
	check.case("tostring", function()
		local ptr, size = driver.str2p("gone")
		eq(netpack.tostring(ptr, size), "gone")
		eq(netpack.tostring(core.unpack("\3" .. ("\0"):rep(8)), 0), "")
		eq(netpack.tostring(driver.str2p("")), "")
	end)
end

check.run(function()
	vectors()
	events()
	queues()
	random_fragments()
	packing()
end)
