-- skynet.socketdriver: receive buffers, socket messages, addresses, TCP and UDP as seen by one service.
-- config: udp_port = $PORT1

local skynet = require "skynet"
local core = require "skynet.core"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"
local socketmsg = dofile "./test/lua/support/socketmsg.lua"

local eq, raises, results, bytes = check.eq, check.raises, check.results, check.bytes

local HEAD = skynet.getenv "api_level" == "head"
local NULL = core.unpack("\3" .. ("\0"):rep(8))

local function buffers()
	local function filled(...)
		local buffer, pool = driver.buffer(), {}
		local total = 0
		for _, text in ipairs { ... } do
			total = total + #text
			eq(driver.push(buffer, pool, driver.str2p(text)), total, "bytes queued")
		end
		return buffer, pool
	end
	check.case("buffer, push, pop", function()
		local b, p = filled("hello", " ", "world")
		eq(type(b), "userdata")
		results(table.pack(driver.pop(b, p, 0)), nil, 11)
		results(table.pack(driver.pop(b, p, 12)), nil, 11)
		results(table.pack(driver.pop(b, p, 3)), "hel", 8)
		results(table.pack(driver.pop(b, p, 5)), "lo wo", 3)
		results(table.pack(driver.pop(b, p, 3)), "rld", 0)
		results(table.pack(driver.pop(b, p, 1)), nil, 0)
		results(table.pack(driver.pop(b, p, 0)), nil, 0)
		eq(driver.push(b, p, driver.str2p("again")), 5)
		results(table.pack(driver.pop(b, p, 5)), "again", 0)
	end)
	check.case("readall", function()
		local b, p = filled("a", "", "bc", ("x"):rep(10000))
		results(table.pack(driver.readall(b, p)), "abc" .. ("x"):rep(10000))
		results(table.pack(driver.readall(b, p)), "")
		eq(driver.push(b, p, driver.str2p("one")), 3)
		driver.pop(b, p, 1)
		results(table.pack(driver.readall(b, p)), "ne")
	end)
	check.case("clear", function()
		local b, p = filled("a", "bc")
		results(table.pack(driver.clear(b, p)))
		results(table.pack(driver.readall(b, p)), "")
		eq(driver.push(b, p, driver.str2p("xyz")), 3)
		driver.clear(b, p)
		driver.clear(b, p)
		results(table.pack(driver.clear(nil, p)))
		results(table.pack(driver.clear(nil)))
	end)
	check.case("readline", function()
		local b, p = filled("one\r\ntwo\r", "\n", "\r\nfour")
		results(table.pack(driver.readline(b, nil, "\r\n")), true)
		results(table.pack(driver.readline(b, nil, "none")))
		results(table.pack(driver.readline(b, p, "\r\n")), "one")
		results(table.pack(driver.readline(b, p, "\r\n")), "two")
		results(table.pack(driver.readline(b, p, "\r\n")), "")
		results(table.pack(driver.readline(b, p, "\r\n")))
		results(table.pack(driver.readline(b, nil, "\r\n")))
		results(table.pack(driver.pop(b, p, 4)), "four", 0)
		results(table.pack(driver.readline(b, p, "\n")))
	end)
	check.case("separators over several blocks", function()
		local text = "a--b-END--END-c"
		for cut1 = 1, #text - 1 do
			for cut2 = cut1 + 1, #text - 1 do
				local b, p = filled(text:sub(1, cut1), text:sub(cut1 + 1, cut2), text:sub(cut2 + 1))
				results(table.pack(driver.readline(b, p, "-END-")), "a--b")
				results(table.pack(driver.readline(b, p, "-END-")), "")
				results(table.pack(driver.readline(b, p, "-END-")))
				results(table.pack(driver.readall(b, p)), "c")
			end
		end
		local bytewise = {}
		for i = 1, #text do bytewise[i] = text:sub(i, i) end
		local b, p = filled(table.unpack(bytewise))
		results(table.pack(driver.readline(b, p, "-END-")), "a--b")
		results(table.pack(driver.readline(b, p, "ND")), "-E")
		results(table.pack(driver.readall(b, p)), "-c")
	end)
	check.case("a separator longer than everything", function()
		local b, p = filled("ab")
		results(table.pack(driver.readline(b, p, "abc")))
		results(table.pack(driver.readline(b, p, "ab")), "")
		results(table.pack(driver.readline(b, p, "")))
		driver.push(b, p, driver.str2p("x"))
		results(table.pack(driver.readline(b, p, "")), "")
		results(table.pack(driver.readall(b, p)), "x")
	end)
	check.case("separators with NUL", function()
		local b, p = filled("a\0b\0\0c")
		results(table.pack(driver.readline(b, p, "\0\0")), "a\0b")
		results(table.pack(driver.readall(b, p)), "c")
	end)
	check.case("random operations against a plain string", function()
		math.randomseed(5)
		local b, p, model = driver.buffer(), {}, ""
		for _ = 1, 20000 do
			local what = math.random(10)
			if what <= 5 and #model < 3000 then
				local text = ("ab\n"):rep(math.random(0, 30)):sub(math.random(3))
				if #text > 0 then
					model = model .. text
					eq(driver.push(b, p, driver.str2p(text)), #model)
				end
			elseif what <= 7 then
				local n = math.random(0, 60)
				local want
				if n > 0 and n <= #model then
					want, model = model:sub(1, n), model:sub(n + 1)
				end
				results(table.pack(driver.pop(b, p, n)), want, #model)
			elseif what <= 9 then
				local sep = ({ "\n", "b\n", "\nab", "bb", "a" })[math.random(5)]
				local from, to = model:find(sep, 1, true)
				if from then
					results(table.pack(driver.readline(b, nil, sep)), true)
					results(table.pack(driver.readline(b, p, sep)), model:sub(1, from - 1))
					model = model:sub(to + 1)
				else
					results(table.pack(driver.readline(b, p, sep)))
				end
			elseif math.random(50) == 1 then
				results(table.pack(driver.readall(b, p)), model)
				model = ""
			end
		end
		results(table.pack(driver.readall(b, p)), model)
	end)
	check.case("thousands of blocks", function()
		local b, p, want = driver.buffer(), {}, {}
		for i = 1, 5000 do
			want[i] = "block " .. i
			driver.push(b, p, driver.str2p(want[i]))
		end
		eq(driver.readall(b, p), table.concat(want))
		for i = 1, 5000 do driver.push(b, p, driver.str2p(want[i])) end
		for i = 1, 5000 do eq((driver.pop(b, p, #want[i])), want[i]) end
		-- Dropped with content.
		for i = 1, 5000 do driver.push(b, p, driver.str2p(want[i])) end
		b, p = nil, nil
		collectgarbage()
	end)
	check.case("nothing is lost", function()
		check.no_leak(1000, function()
			local b, p = filled("a line\n", ("x"):rep(2000), ("y"):rep(100))
			driver.readline(b, p, "\n")
			driver.pop(b, p, 2010)
			-- The rest goes with the buffer, every other time by hand.
			if math.random(2) == 1 then driver.clear(b, p) end
		end)
	end)
	check.case("wrong arguments", function()
		local b, p = filled("x")
		local block = driver.str2p("y")
		raises("need buffer object at param 1", driver.push, nil, p, block, 1)
		raises("need message block at param 3", driver.push, b, p, nil, 1)
		raises("need message block at param 3", driver.push, b, p, NULL, 1)
		raises("(table expected, got nil)", driver.push, b, nil, block, 1)
		raises("(number expected, got no value)", driver.push, b, p, block)
		core.trash(block, 1)
		for _, f in ipairs { driver.pop, driver.readall, driver.readline } do
			raises("Need buffer object at param 1", f, nil, p, 1)
			raises("Need buffer object at param 1", f)
		end
		for _, f in ipairs { driver.pop, driver.readall, driver.clear } do
			raises("Need buffer object at param 1", f, "text", p, 1)
			raises("(table expected, got no value)", f, b)
		end
		raises("Need buffer object at param 1", driver.clear)
		raises("(number expected, got no value)", driver.pop, b, p)
		raises("(string expected, got no value)", driver.readline, b, p)
		raises("(number expected, got no value)", driver.drop, NULL)
		driver.clear(b, p)
	end)
end

local function small_functions()
	check.case("fields", function()
		local names = {}
		for name in pairs(driver) do
			if name ~= "option" then table.insert(names, name) end	-- ours, see lib_option
		end
		table.sort(names)
		eq(table.concat(names, " "), "bind buffer clear close connect drop header info listen lsend nodelay pause pop push "
			.. "readall readline resolve send shutdown start str2p udp udp_address udp_connect udp_dial udp_listen udp_send unpack")
	end)
	check.case("header", function()
		eq(driver.header "\1", 1)
		eq(driver.header "\1\2", 258)
		eq(driver.header "\1\2\3", 66051)
		eq(driver.header "\xff\2\3\4", 4278321924)
		raises("Invalid read 12345", driver.header, "12345")
		raises("Invalid read ", driver.header, "")
	end)
	check.case("str2p and drop", function()
		local p, n = driver.str2p("a\0b")
		eq(n, 3)
		eq(core.tostring(p, n), "a\0b")
		results(table.pack(driver.drop(p, n)))
		p, n = driver.str2p("")
		eq(n, 0)
		assert(p ~= NULL)
		driver.drop(p, n)
	end)
	check.case("unpack", function()
		local function unpack(msg, size)
			local result = table.pack(driver.unpack(msg, size))
			core.trash(msg, size)
			return result
		end
		local text = socketmsg.text
		results(unpack(text(2, 1, 23471, "127.0.0.1")), 2, 1, 23471, "127.0.0.1")
		results(unpack(text(2, 1, 0, "start")), 2, 1, 0, "start")
		results(unpack(text(3, 2, 0)), 3, 2, 0, "")
		results(unpack(text(4, 2, -1, "")), 4, 2, -1, "")
		results(unpack(driver.str2p(bytes "02 00 00 00 01 00 00 00 af 5b 00 00 00 00 00 00 00 00 00 00 00 00 00 00 31 32 37 2e 30 2e 30 2e 31")),
			2, 1, 23471, "127.0.0.1")
		local data = unpack(socketmsg.block(1, 7, "abc"))
		eq({ data[1], data[2], data[3], data.n, core.tostring(data[4], 3) }, { 1, 7, 3, 4, "abc" })
		driver.drop(data[4], 3)
		local address = bytes "01 00 50 7f 00 00 01"
		data = unpack(socketmsg.block(6, 7, "abc" .. address, 3))
		eq({ data[1], data[2], data[3], data.n, core.tostring(data[4], 3), data[5] }, { 6, 7, 3, 5, "abc", address })
		driver.drop(data[4], 3)
	end)
	check.case("udp_address", function()
		results(table.pack(driver.udp_address(bytes "01 00 50 7f 00 00 01")), "127.0.0.1", 80)
		results(table.pack(driver.udp_address(bytes("02 01 02" .. ("00"):rep(15) .. "01"))), "::1", 258)
		results(table.pack(driver.udp_address(bytes "09 ff ff ff ff ff ff")), "255.255.255.255", 65535)
		results(table.pack(driver.udp_address(bytes "02 00 01 20 01 0d b8 00 00 00 00 00 01 00 00 00 00 00 02")), "2001:db8::1:0:0:2", 1)
		results(table.pack(driver.udp_address(bytes "02 00 01 00 00 00 00 00 00 00 00 00 00 ff ff 01 02 03 04")), "::ffff:1.2.3.4", 1)
		for _, n in ipairs { 0, 1, 6, 8, 18, 20 } do
			raises("Invalid udp address", driver.udp_address, ("\1"):rep(n))
		end
	end)
	check.case("resolve", function()
		local list = driver.resolve "127.0.0.1"
		assert(#list >= 1)
		for _, ip in ipairs(list) do eq(ip, "127.0.0.1") end
		eq(driver.resolve("::1")[1], "::1")
		-- The text is the resolver's.
		local ok, err = pcall(driver.resolve, "no such host name.invalid")
		assert(not ok and #err > 5)
		raises("(string expected, got nil)", driver.resolve, nil)
	end)
end

-- Events of this service's sockets, in order of arrival.
local events = {}

skynet.register_protocol {
	name = "socket",
	id = skynet.PTYPE_SOCKET,
	unpack = driver.unpack,
	dispatch = function(_, source, kind, id, ud, data, address)
		assert(source == 0)
		local event = { kind = kind, id = id, ud = ud, data = data, address = address }
		if type(data) == "userdata" then
			event.data = core.tostring(data, ud)
			driver.drop(data, ud)
		end
		table.insert(events, event)
	end,
}

--- Takes the next event of a socket out of the queue and checks it.
local function expect(id, kind, ud, data)
	local event = check.wait(function()
		for i, event in ipairs(events) do
			if event.id == id then return table.remove(events, i) end
		end
	end, 5, string.format("event %d of socket %d", kind, id))
	eq({ event.kind, ud and event.ud, data and event.data }, { kind, ud, data }, "event of socket " .. id)
	return event
end

local function no_more(...)
	skynet.sleep(5)
	for _, id in ipairs { ... } do
		for _, event in ipairs(events) do
			if event.id == id then
				error(string.format("socket %d: unexpected event %d %s", id, event.kind, event.data))
			end
		end
	end
end

--- All bytes that come for a socket until there are `n`.
local function receive(id, n)
	local parts, have = {}, 0
	while have < n do
		local event = expect(id, socketmsg.DATA)
		eq(#event.data, event.ud)
		table.insert(parts, event.data)
		have = have + event.ud
	end
	return table.concat(parts)
end

--- A listening socket and its port.
local function listen()
	local id = driver.listen("127.0.0.1", 0)
	local port = expect(id, socketmsg.CONNECT, nil, "127.0.0.1").ud
	assert(port > 0)
	driver.start(id)
	expect(id, socketmsg.CONNECT, 0, "start")
	return id, port
end

--- Two ends of a connection.
local function connected(listener, port)
	local client = driver.connect("127.0.0.1", port)
	expect(client, socketmsg.CONNECT, 0, "127.0.0.1")
	local accept = expect(listener, socketmsg.ACCEPT)
	assert(accept.data:match "^127%.0%.0%.1:%d+$", accept.data)
	local server = accept.ud
	driver.start(server)
	expect(server, socketmsg.CONNECT, 0, "start")
	return client, server
end

local function info_of(id)
	for _, socket in ipairs(driver.info()) do
		if socket.id == id then return socket end
	end
end

local function tcp()
	local listener, port = listen()
	check.case("connect, accept, data, close", function()
		local client, server = connected(listener, port)
		results(table.pack(driver.send(client, "hello")), true)
		eq(receive(server, 5), "hello")
		results(table.pack(driver.lsend(server, "world")), true)
		eq(receive(client, 5), "world")
		results(table.pack(driver.nodelay(client)))
		driver.start(server)
		expect(server, socketmsg.CONNECT, 0, "transfer")
		results(table.pack(driver.close(client)))
		expect(client, socketmsg.CLOSE, 0, "")
		expect(server, socketmsg.CLOSE, 0, "")
		driver.close(server)
		check.wait(function() return not info_of(server) end)
		eq(driver.send(client, "x"), false)
		eq(driver.send(server, "x"), false)
		eq(driver.lsend(server, driver.str2p("x")), false)
		no_more(client, server)
	end)
	check.case("kinds of data", function()
		local client, server = connected(listener, port)
		local udata = driver.buffer()
		local function sends(want, ...)
			eq(driver.send(client, ...), true)
			if want then eq(receive(server, #want), want) end
		end
		sends("text", "text")
		sends("12.5", 12.5)
		sends("block", driver.str2p("block"))
		sends("blo", (driver.str2p("block")), 3)
		sends("abc1x", { "abc", 1, "x" })
		sends("ab", { "a", "b", nil, "d" })
		sends(("long "):rep(3000), { ("long "):rep(1500), ("long "):rep(1500) })
		sends("from __index", setmetatable({}, { __index = function(_, i) return ({ "from ", "__index" })[i] end }))
		eq(driver.send(client, {}), true)
		eq(driver.send(client, ""), true)
		eq(driver.send(client, driver.str2p("")), true)
		eq(driver.send(client, udata, 0), true)
		sends("after nothing", "after nothing")
		driver.close(client)
		driver.close(server)
	end)
	check.case("wrong data", function()
		local client, server = connected(listener, port)
		raises("(string expected, got nil)", driver.send, client, nil)
		raises("(string expected, got no value)", driver.send, client)
		raises("(string expected, got boolean)", driver.send, client, true)
		raises("(string expected, got table)", driver.send, client, { "a", {} })
		raises("(string expected, got boolean)", driver.lsend, client, { false })
		local calls = 0
		local odd = setmetatable({}, { __index = function(_, i)
			calls = calls + 1
			return i == 1 and ("x"):rep(calls) or nil
		end })
		raises("Invalid strings table", driver.send, client, odd)
		raises("(number expected, got nil)", driver.send, nil, "x")
		driver.send(client, "still fine")
		eq(receive(server, 10), "still fine")
		driver.close(client)
		driver.close(server)
	end)
	check.case("much data keeps its order", function()
		local client, server = connected(listener, port)
		local parts = {}
		for i = 1, 2000 do
			parts[i] = ("part " .. i .. " "):rep(i % 50)
			if i % 3 == 0 then
				driver.send(client, driver.str2p(parts[i]))
			elseif i % 3 == 1 then
				driver.send(client, parts[i])
			else
				driver.send(client, { parts[i]:sub(1, 7), parts[i]:sub(8) })
			end
		end
		local want = table.concat(parts)
		eq(receive(server, #want), want)
		driver.close(client)
		driver.close(server)
	end)
	check.case("pause and start", function()
		local client, server = connected(listener, port)
		results(table.pack(driver.pause(server)))
		skynet.sleep(2)
		driver.send(client, "later")
		skynet.sleep(5)
		no_more(server)
		driver.start(server)
		expect(server, socketmsg.CONNECT, 0, "transfer")
		eq(receive(server, 5), "later")
		driver.shutdown(server)
		expect(server, socketmsg.CLOSE, 0, "")
		expect(client, socketmsg.CLOSE, 0, "")
		driver.close(client)
	end)
	check.case("info", function()
		local client, server = connected(listener, port)
		driver.send(client, "12345")
		eq(receive(server, 5), "12345")
		local l = info_of(listener)
		eq({ l.type, l.address, l.sock }, { "LISTEN", skynet.self(), "127.0.0.1:" .. port })
		assert(l.accept >= 1 and math.type(l.rtime) == "integer" and l.read == nil and l.peer == nil)
		local c = info_of(client)
		eq({ c.type, c.address, c.peer }, { "TCP", skynet.self(), "127.0.0.1:" .. port })
		eq({ c.read, c.write, c.wbuffer, c.reading, c.writing }, { 0, 5, 0, true, false })
		eq({ math.type(c.rtime), math.type(c.wtime) }, { "integer", "integer" })
		local s = info_of(server)
		eq({ s.type, s.read, s.write }, { "TCP", 5, 0 })
		driver.close(client)
		expect(client, socketmsg.CLOSE)
		eq(info_of(client), nil)
		driver.close(server)
	end)
	check.case("failures", function()
		driver.start(0x7ffffff0)
		expect(0x7ffffff0, socketmsg.ERROR, 0, "invalid socket")
		-- A port where nobody listens.
		local id = driver.listen("127.0.0.1", 0)
		local free = expect(id, socketmsg.CONNECT).ud
		driver.close(id)
		expect(id, socketmsg.CLOSE)
		local client = driver.connect("127.0.0.1", free)
		expect(client, socketmsg.ERROR, 0, "Connection refused")
		raises("Invalid port", driver.connect, "127.0.0.1", 0)
		raises("Invalid port", driver.connect, "127.0.0.1:0")
		raises("Listen error", driver.listen, "127.0.0.1", port)
		raises("Listen error", driver.listen, "no such host name.invalid", 0)
		eq(driver.connect(("x"):rep(300), 80), -1)
		eq(driver.send(0x7ffffff0, "x"), false)
		results(table.pack(driver.close(0x7ffffff0)))
		results(table.pack(driver.shutdown(0x7ffffff0)))
		results(table.pack(driver.pause(0x7ffffff0)))
		results(table.pack(driver.nodelay(0x7ffffff0)))
		for _, f in ipairs { driver.close, driver.shutdown, driver.pause, driver.nodelay, driver.start, driver.bind } do
			raises("(number expected, got nil)", f, nil)
		end
	end)
	check.case("addresses", function()
		local function reach(...)
			local client = driver.connect(...)
			expect(client, socketmsg.CONNECT, 0)
			local server = expect(listener, socketmsg.ACCEPT).ud
			driver.close(client)
			expect(client, socketmsg.CLOSE)
			driver.close(server)
		end
		reach("127.0.0.1:" .. port)
		reach("[127.0.0.1]:" .. port)
		reach("x[127.0.0.1]y:" .. port)
		reach("127.0.0.1", tostring(port))
		reach("127.0.0.1:" .. port, nil)
		if HEAD then
			for _, text in ipairs { "", "x", "80x", "65536", "-1", "99999999999999999999" } do
				raises("Invalid port in address 127.0.0.1:" .. text .. ".", driver.connect, "127.0.0.1:" .. text)
			end
		else
			reach("127.0.0.1:" .. port .. "x")
			raises("Invalid port", driver.connect, "127.0.0.1:x")
			raises("Invalid port", driver.connect, "127.0.0.1:")
			raises("(number expected, got no value)", driver.listen, "127.0.0.1:0")
		end
		raises("Invalid address 127.0.0.1.", driver.connect, "127.0.0.1")
		raises("Invalid address .", driver.connect, "")
		raises("Invalid address [::1:80.", driver.connect, "[::1:80")
		raises("Invalid address [::1]80.", driver.connect, "[::1]80")
		raises("Invalid address [a:1].", driver.connect, "[a:1]")
		raises("(string expected, got nil)", driver.connect, nil)
		raises("(number expected, got table)", driver.connect, "127.0.0.1", {})
		if HEAD then
			local id = driver.listen("127.0.0.1:0")
			expect(id, socketmsg.CONNECT, nil, "127.0.0.1")
			driver.close(id)
			id = driver.listen("127.0.0.1:0", nil, 5)
			expect(id, socketmsg.CONNECT, nil, "127.0.0.1")
			driver.close(id)
		end
		local id = driver.listen("", 0)
		expect(id, socketmsg.CONNECT, nil, "0.0.0.0")
		driver.close(id)
	end)
	check.case("IPv6", function()
		local id = driver.listen("::1", 0)
		local port6 = expect(id, socketmsg.CONNECT, nil, "::1").ud
		driver.start(id)
		expect(id, socketmsg.CONNECT, 0, "start")
		local client = driver.connect("[::1]:" .. port6)
		expect(client, socketmsg.CONNECT, 0, "::1")
		local accept = expect(id, socketmsg.ACCEPT)
		assert(accept.data:match "^::1:%d+$", accept.data)
		driver.close(client)
		driver.close(accept.ud)
		driver.close(id)
	end)
	driver.close(listener)
end

local function udp()
	local port = assert(tonumber(skynet.getenv "udp_port"))
	check.case("UDP", function()
		local server = driver.udp("127.0.0.1", port)
		local client = driver.udp()
		assert(server > 0 and client > 0)
		results(table.pack(driver.udp_connect(client, "127.0.0.1", port)))
		results(table.pack(driver.send(client, "datagram")), true)
		local event = expect(server, socketmsg.UDP, 8, "datagram")
		eq(#event.address, 7)
		local host, from = driver.udp_address(event.address)
		eq(host, "127.0.0.1")
		assert(from > 0)
		results(table.pack(driver.udp_send(server, event.address, "answer")), true)
		expect(client, socketmsg.UDP, 6, "answer")
		results(table.pack(driver.udp_send(server, event.address, { "a", 2, "c" })), true)
		expect(client, socketmsg.UDP, 3, "a2c")
		results(table.pack(driver.udp_send(server, event.address, driver.str2p("block"))), true)
		expect(client, socketmsg.UDP, 5, "block")
		results(table.pack(driver.udp_send(server, event.address, "")), true)
		expect(client, socketmsg.UDP, 0, "")
		results(table.pack(driver.udp_send(server, "\9" .. event.address:sub(2), "x")), false)
		results(table.pack(driver.udp_send(server, "\9" .. event.address:sub(2), driver.str2p("x"))), false)
		results(table.pack(driver.udp_send(0x7ffffff0, event.address, "x")), false)
		local s = info_of(server)
		eq({ s.type, s.address }, { "UDP", skynet.self() })
		eq(info_of(client).peer, "127.0.0.1:" .. port)
		results(table.pack(driver.close(client)))
		expect(client, socketmsg.CLOSE, 0, "")
		driver.close(server)
		expect(server, socketmsg.CLOSE, 0, "")
		skynet.sleep(5)
	end)
	check.case("UDP dial and listen", function()
		local server = driver.udp_listen("127.0.0.1:" .. port)
		local client = driver.udp_dial("127.0.0.1", port)
		driver.send(client, "dialled")
		local event = expect(server, socketmsg.UDP, 7, "dialled")
		driver.udp_send(server, event.address, "back")
		expect(client, socketmsg.UDP, 4, "back")
		driver.close(client)
		driver.close(server)
	end)
	check.case("UDP failures", function()
		raises("udp init failed", driver.udp, "no such host name.invalid", 1)
		raises("udp connect failed", driver.udp_connect, 0x7ffffff0, "127.0.0.1", 1)
		raises("udp dial host failed", driver.udp_dial, "no such host name.invalid", 1)
		raises("udp listen host failed", driver.udp_listen, "127.0.0.1", 0)
		raises("udp listen host failed", driver.udp_listen, "no such host name.invalid", 1)
		raises("Invalid address here.", driver.udp, "here")
		local id = driver.udp(nil, 7)
		raises("udp connect failed", driver.udp_connect, id, "no such host name.invalid", 1)
		driver.close(id)
	end)
end

--- The open descriptors of this process, as `ls` shows them: number → what it is.
local function descriptors()
	local pid = io.open("/proc/self/stat"):read "n"
	local found = {}
	local list = io.popen("ls -l /proc/" .. pid .. "/fd")
	for line in list:lines() do
		local fd, what = line:match " (%d+) %-> (.*)$"
		if fd then found[tonumber(fd)] = what end
	end
	list:close()
	return found
end

local function adopted()
	check.case("bind", function()
		local before = descriptors()
		-- It speaks when the file is there, or after a while: a command that waits for ever would be left behind.
		local flag = "./socketdriver_go"
		local command = io.popen("n=0; while [ ! -e " .. flag .. " ] && [ $n -lt 500 ]; do sleep 0.05; n=$((n+1)); done; "
			.. "echo from a pipe")
		-- Each listing has a pipe of its own as well, which is not there the next time.
		local now, later, pipe = descriptors(), descriptors(), nil
		for fd, what in pairs(now) do
			if what:match "^pipe" and what ~= before[fd] and what == later[fd] then pipe = fd end
		end
		local id = driver.bind(assert(pipe, "no pipe found"))
		assert(id > 0)
		expect(id, socketmsg.CONNECT, 0, "binding")
		eq(info_of(id).type, "BIND")
		assert(io.open(flag, "w")):close()
		eq(receive(id, 12), "from a pipe\n")
		expect(id, socketmsg.CLOSE)
		driver.close(id)
		command:close()
		os.remove(flag)
	end)
end

check.run(function()
	buffers()
	small_functions()
	tcp()
	udp()
	adopted()
end)
