-- skynet.cluster.core: the frames between nodes, byte for byte and in both directions.

local core = require "skynet.core"
local cluster = require "skynet.cluster.core"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results, hex, bytes = check.eq, check.raises, check.results, check.hex, check.bytes

local NULL = core.unpack("\3" .. ("\0"):rep(8))
local HELLO = bytes "2c 68 65 6c 6c 6f"
local P = 0x8000

local function payload(n)
	return ("0123456789abcdef"):rep(n // 16 + 1):sub(1, n)
end

--- Packs a string with packrequest or packpush.
local function pack(f, addr, session, text)
	return f(addr, session, driver.str2p(text))
end

--- Makes strings of the blocks among the results of unpackrequest, and releases them.
local function unpack(...)
	local result = table.pack(cluster.unpackrequest(...))
	for i = 1, result.n do
		if type(result[i]) == "userdata" then
			local ptr = result[i]
			result[i] = core.tostring(ptr, result[i + 1])
			core.trash(ptr, result[i + 1])
		end
	end
	return result
end

local function requests()
	local function frame(name, want, next_session, ...)
		local args = table.pack(...)
		check.case(name, function()
			results(table.pack(pack(table.unpack(args))), bytes(want), next_session)
		end)
	end
	frame("request", "00 0f 00 78 56 34 12 05 00 00 00 2c 68 65 6c 6c 6f", 6, cluster.packrequest, 0x12345678, 5, HELLO)
	frame("push", "00 0f 00 78 56 34 12 00 00 00 00 2c 68 65 6c 6c 6f", 6, cluster.packpush, 0x12345678, 5, HELLO)
	frame("named request", "00 10 80 04 40 73 76 63 05 00 00 00 2c 68 65 6c 6c 6f", 6, cluster.packrequest, "@svc", 5, HELLO)
	frame("named push", "00 10 80 04 40 73 76 63 00 00 00 00 2c 68 65 6c 6c 6f", 6, cluster.packpush, "@svc", 5, HELLO)
	frame("query", "00 0d 00 00 00 00 00 01 00 00 00 1c 73 76 63", 2, cluster.packrequest, 0, 1, core.packstring "svc")
	frame("numeric string is a name", "00 0a 80 02 31 32 01 00 00 00 ff 01", 2, cluster.packrequest, "12", 1, "\xff\1")
	frame("empty message", "00 09 00 01 00 00 00 01 00 00 00", 2, cluster.packrequest, 1, 1, "")
	frame("session wraps", "00 09 00 01 00 00 00 ff ff ff 7f", 1, cluster.packrequest, 1, 0x7fffffff, "")

	local function large(name, head, next_session, parts, ...)
		local args = table.pack(...)
		check.case(name, function()
			local frame, session, list = pack(table.unpack(args))
			eq(hex(frame), hex(bytes(head)))
			eq(session, next_session)
			local body = args[4]
			eq(#list, #parts)
			for i, start in ipairs(parts) do
				start = bytes(start)
				eq(hex(list[i]:sub(1, #start)), hex(start), "head of part " .. i)
				eq(list[i]:sub(#start + 1), body:sub((i - 1) * P + 1, i * P), "part " .. i)
				eq(string.unpack(">s2", list[i]), list[i]:sub(3))
			end
		end)
	end
	check.case("largest single frame", function()
		local text = payload(P - 1)
		results(table.pack(pack(cluster.packrequest, 1, 1, text)), bytes "80 08 00 01 00 00 00 01 00 00 00" .. text, 2)
		local name = ("n"):rep(255)
		results(table.pack(pack(cluster.packpush, name, 1, text)),
			string.pack(">I2", 1 + 1 + 255 + 4 + P - 1) .. "\x80\xff" .. name .. "\0\0\0\0" .. text, 2)
	end)
	large("exactly one part", "00 0d 01 01 00 00 00 01 00 00 00 00 80 00 00", 2,
		{ "80 05 03 01 00 00 00" }, cluster.packrequest, 1, 1, payload(P))
	large("a part and a byte", "00 0d 01 01 00 00 00 ff ff ff 7f 01 80 00 00", 1,
		{ "80 05 02 ff ff ff 7f", "00 06 03 ff ff ff 7f" }, cluster.packrequest, 1, 0x7fffffff, payload(P + 1))
	large("large push", "00 0d 41 01 00 00 00 07 00 00 00 01 80 00 00", 8,
		{ "80 05 02 07 00 00 00", "00 06 03 07 00 00 00" }, cluster.packpush, 1, 7, payload(P + 1))
	large("large named request", "00 0d 81 03 61 62 63 07 00 00 00 01 80 00 00", 8,
		{ "80 05 02 07 00 00 00", "00 06 03 07 00 00 00" }, cluster.packrequest, "abc", 7, payload(P + 1))
	large("large named push", "00 0d c1 03 61 62 63 07 00 00 00 00 80 01 00", 8,
		{ "80 05 02 07 00 00 00", "80 05 02 07 00 00 00", "80 05 03 07 00 00 00" },
		cluster.packpush, "abc", 7, payload(3 * P))
	check.case("longest name", function()
		local frame = pack(cluster.packrequest, ("n"):rep(255), 7, "x")
		eq(#frame, 264)
		eq(hex(frame:sub(1, 4)), "01 06 80 ff")
	end)
	check.case("errors", function()
		raises("Invalid request message", cluster.packrequest, 1, 1, nil, 5)
		raises("Invalid request message", cluster.packrequest, 1, 1, NULL, 5)
		raises("Invalid request message", cluster.packpush, 1, 1, "text", 5)
		raises("Invalid request session 0", pack, cluster.packrequest, 1, 0, "x")
		raises("Invalid request session -1", pack, cluster.packpush, "@x", -1, "x")
		raises("name is not a string, it's a nil", pack, cluster.packrequest, nil, 1, "x")
		raises("name is not a string, it's a table", pack, cluster.packrequest, {}, 1, "x")
		raises("name length is invalid, must be between 1 and 255 characters: ", pack, cluster.packrequest, "", 1, "x")
		raises("name length is invalid, must be between 1 and 255 characters: " .. ("n"):rep(256),
			pack, cluster.packrequest, ("n"):rep(256), 1, "x")
		raises("(number expected, got nil)", cluster.packrequest, 1, nil, driver.str2p "x")
	end)
	check.case("trace", function()
		eq(hex(cluster.packtrace "tag"), "00 04 04 74 61 67")
		eq(hex(cluster.packtrace ""), "00 01 04")
		eq(#cluster.packtrace(("t"):rep(P)), P + 3)
		raises("trace tag is too long : 32769", cluster.packtrace, ("t"):rep(P + 1))
	end)
end

local function unpacking()
	check.case("single requests", function()
		results(unpack(bytes "00 78 56 34 12 05 00 00 00" .. HELLO), 0x12345678, 5, HELLO, 6)
		results(unpack(bytes "00 ff ff ff ff ff ff ff ff"), 0xffffffff, 0xffffffff, "", 0)
		results(unpack(bytes "00 01 00 00 00 00 00 00 00" .. "x"), 1, 0, "x", 1, nil, true)
		results(unpack(bytes "80 04 40 73 76 63 05 00 00 00" .. HELLO), "@svc", 5, HELLO, 6)
		results(unpack(bytes "80 01 40 00 00 00 00"), "@", 0, "", 0, nil, true)
	end)
	check.case("large requests", function()
		results(unpack(bytes "01 01 00 00 00 07 00 00 00 01 80 00 00"), 1, 7, nil, 0x8001, true, false)
		results(unpack(bytes "41 01 00 00 00 07 00 00 00 01 80 00 00"), 1, 7, nil, 0x8001, true, true)
		results(unpack(bytes "81 03 61 62 63 07 00 00 00 01 80 00 00"), "abc", 7, nil, 0x8001, true, false)
		results(unpack(bytes "c1 03 61 62 63 07 00 00 00 ff ff ff ff"), "abc", 7, nil, 0xffffffff, true, true)
	end)
	check.case("parts", function()
		results(unpack(bytes "02 07 00 00 00" .. "abc"), false, 7, "abc", 3, true)
		results(unpack(bytes "03 07 00 00 00" .. "d"), false, 7, "d", 1, false)
		results(unpack(bytes "03 07 00 00 00"), false, 7, "", 0, false)
	end)
	check.case("trace tag", function()
		results(unpack "\4tag", "tag")
		results(unpack "\4", "")
	end)
	check.case("from a block", function()
		local ptr, size = driver.str2p("\0\1\0\0\0\5\0\0\0text and more")
		results(unpack(ptr, size - 9), 1, 5, "text", 4)
		raises("(number expected, got no value)", cluster.unpackrequest, ptr)
		core.trash(ptr, size)
	end)
	check.case("errors", function()
		raises("Invalid req package. size == 0", cluster.unpackrequest, "")
		local whole = bytes "00 78 56 34 12 05 00 00 00"
		for n = 1, #whole - 1 do
			raises(string.format("Invalid cluster message (size=%d)", n), cluster.unpackrequest, whole:sub(1, n))
		end
		for _, hexed in ipairs {
			"80", "80 04", "80 04 40 73 76 63", "80 04 40 73 76 63 05 00 00", "80 ff 61",
			"81 03 61 62 63 07 00 00 00 01 80 00", "c1 03 61 62 63 07 00 00 00", "81",
		} do
			raises(string.format("Invalid cluster message (size=%d)", #bytes(hexed)), cluster.unpackrequest, bytes(hexed))
		end
		raises("Invalid cluster message size 12 (multi req must be 13)", cluster.unpackrequest, "\1" .. ("\0"):rep(11))
		raises("Invalid cluster message size 14 (multi req must be 13)", cluster.unpackrequest, "\x41" .. ("\0"):rep(13))
		raises("Invalid cluster message size 1 (multi req must be 13)", cluster.unpackrequest, "\1")
		raises("Invalid cluster multi part message", cluster.unpackrequest, "\2abc")
		raises("Invalid cluster multi part message", cluster.unpackrequest, "\3")
		raises("Invalid req package type 5", cluster.unpackrequest, "\5abc")
		raises("Invalid req package type -1", cluster.unpackrequest, "\xff" .. "abc")
		raises("Invalid req package type 66", cluster.unpackrequest, "\x42" .. ("\0"):rep(20))
		raises("(string expected, got nil)", cluster.unpackrequest, nil)
	end)
end

local function responses()
	check.case("packresponse", function()
		local function gives(want, ...)
			results(table.pack(cluster.packresponse(...)), want)
		end
		gives(bytes "00 0a 05 00 00 00 01 68 65 6c 6c 6f", 5, true, "hello")
		gives(bytes "00 09 05 00 00 00 00 6f 6f 70 73", 5, false, "oops")
		gives(bytes "00 05 05 00 00 00 01", 5, true, "")
		local ptr, size = driver.str2p "hello"
		gives(bytes "00 0a 05 00 00 00 01 68 65 6c 6c 6f", 5, true, ptr, size)
		gives(bytes "00 07 05 00 00 00 00 68 65", 5, false, ptr, 2)
		raises("(number expected, got no value)", cluster.packresponse, 5, true, ptr)
		core.trash(ptr, size)
		gives(bytes "80 05 05 00 00 00 01" .. payload(P), 5, true, payload(P))
		gives({
			bytes "00 09 05 00 00 00 02 01 80 00 00",
			bytes "80 05 05 00 00 00 03" .. payload(P),
			bytes "00 06 05 00 00 00 04" .. payload(P + 1):sub(-1),
		}, 5, true, payload(P + 1))
		gives({
			bytes "00 09 05 00 00 00 02 00 00 01 00",
			bytes "80 05 05 00 00 00 03" .. payload(P),
			bytes "80 05 05 00 00 00 04" .. payload(2 * P):sub(P + 1),
		}, 5, true, payload(2 * P))
		gives(bytes "80 05 05 00 00 00 00" .. payload(P), 5, false, payload(P + 1))
		raises("(number expected, got nil)", cluster.packresponse, nil, true, "x")
	end)
	check.case("unpackresponse", function()
		local function gives(hexed, ...)
			results(table.pack(cluster.unpackresponse(bytes(hexed))), ...)
		end
		gives("05 00 00 00 00 6f 6f 70 73", 5, false, "oops")
		gives("05 00 00 00 01 68 69", 5, true, "hi")
		gives("05 00 00 00 01", 5, true, "")
		gives("ff ff ff ff 04 68 69", 0xffffffff, true, "hi")
		gives("05 00 00 00 02 01 80 00 00", 5, true, 0x8001, true)
		gives("05 00 00 00 03 68 69", 5, true, "hi", true)
		gives("05 00 00 00")
		gives("")
		gives("05 00 00 00 02 01 80 00")
		gives("05 00 00 00 02 01 80 00 00 00")
		gives("05 00 00 00 05 68 69")
		gives("05 00 00 00 ff 68 69")
		raises("(string expected, got nil)", cluster.unpackresponse, nil)
	end)
end

local function collecting()
	check.case("append and concat", function()
		local t = {}
		results(table.pack(cluster.append(t, nil, 11)))
		results(table.pack(cluster.append(t, driver.str2p "hello ")))
		cluster.append(t, driver.str2p "")
		cluster.append(t, driver.str2p "world")
		eq(t, { 11, "hello ", "", "world" })
		local ptr, size = cluster.concat(t)
		eq({ core.tostring(ptr, size), size }, { "hello world", 11 })
		core.trash(ptr, size)
		results(table.pack(cluster.concat { 10, "hello ", "world" }))
		results(table.pack(cluster.concat { 12, "hello ", "world" }))
		results(table.pack(cluster.concat {}))
		results(table.pack(cluster.concat { "hello" }))
		ptr, size = cluster.concat { 0 }
		eq(size, 0)
		core.trash(ptr, size)
		raises("Need lightuserdata", cluster.append, {}, "text", 4)
		raises("(table expected, got nil)", cluster.append, nil, nil, 4)
	end)
	check.case("a large message from end to end", function()
		for _, size in ipairs { P, P + 1, 3 * P - 1, 5 * P + 17 } do
			local text = payload(size)
			local head, _, parts = pack(cluster.packrequest, "@name", 9, text)
			local _, session, _, total = table.unpack(unpack(head:sub(3)), 1, 4)
			local t = {}
			cluster.append(t, nil, total)
			local padding = true
			for _, part in ipairs(parts) do
				assert(padding)
				local id, s, ptr, sz, more = cluster.unpackrequest(part:sub(3))
				eq({ id, s }, { false, session })
				cluster.append(t, ptr, sz)
				padding = more
			end
			eq(padding, false)
			local ptr, sz = cluster.concat(t)
			eq(core.tostring(ptr, sz), text)
			core.trash(ptr, sz)
		end
	end)
	check.case("nothing is lost", function()
		local big = payload(2 * P + 5)
		check.no_leak(200, function()
			pack(cluster.packrequest, 1, 1, big)
			pack(cluster.packpush, "@x", 1, "small")
			pcall(pack, cluster.packrequest, 1, 0, big)
			pcall(pack, cluster.packrequest, {}, 1, big)
			pcall(pack, cluster.packrequest, "", 1, big)
			cluster.append({}, driver.str2p(big))
			core.trash(cluster.concat { 3, "a", "bc" })
			cluster.concat { 4, "a", "bc" }
			pcall(cluster.unpackrequest, "\0abc")
			unpack("\x80\1@\0\0\0\0text")
		end)
	end)
	check.case("isname", function()
		results(table.pack(cluster.isname "@name"), true)
		results(table.pack(cluster.isname "@"), true)
		results(table.pack(cluster.isname "name"))
		results(table.pack(cluster.isname ""))
		results(table.pack(cluster.isname(12)))
		results(table.pack(cluster.isname(nil)))
		results(table.pack(cluster.isname()))
	end)
	check.case("nodename", function()
		local pid = io.open("/proc/self/stat"):read "n"
		local host = io.open("/proc/sys/kernel/hostname"):read "l"
		eq(cluster.nodename(), host:gsub("[%c ]", "_") .. pid)
	end)
end

check.run(function()
	requests()
	unpacking()
	responses()
	collecting()
end)
