-- Calls that no script should make: an error instead of a crash, and nothing is lost.
-- upstream: no it crashes, aborts or corrupts memory on each of these

local skynet = require "skynet"
local core = require "skynet.core"
local netpack = require "skynet.netpack"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"
local socketmsg = dofile "./test/lua/support/socketmsg.lua"

local eq, raises, results = check.eq, check.raises, check.results

local NULL = core.unpack("\3" .. ("\0"):rep(8))

local function channels()
	local channel = require "skynet.debugchannel"
	check.case("debug channels", function()
		local a, ptr = channel.create()
		results(table.pack(channel.release(a)))
		results(table.pack(channel.release(a)))
		raises("the channel is released", a.read, a)
		raises("the channel is released", a.write, a, "x")
		raises("Invalid channel pointer", channel.connect, ptr)
		raises("(debugchannel expected, got table)", channel.release, {})
		a = nil
		collectgarbage()
	end)
	check.case("the second reader", function()
		local a, ptr = channel.create()
		local b = channel.connect(ptr)
		a:write "once"
		eq(a:read(), "once")
		results(table.pack(b:read()))
	end)
end

local function commands()
	for _, name in ipairs { "TIMEOUT", "QUERY", "NAME", "KILL", "LAUNCH", "GETENV", "SETENV", "STAT", "LOGON", "LOGOFF", "SIGNAL" } do
		check.case("command " .. name .. " without parameter", function()
			local message = "command " .. name .. " needs a parameter"
			raises(message, core.command, name)
			raises(message, core.addresscommand, name)
			raises(message, core.intcommand, name)
			raises(message, core.command, name, "too", "many")
		end)
	end
end

local function core_functions()
	check.case("core.tostring", function()
		raises("(userdata expected, got string)", core.tostring, "abc", 3)
		raises("null pointer", core.tostring, NULL, 3)
		raises("size must not be negative", core.tostring, NULL, -1)
	end)
	check.case("flags in a message type", function()
		local got
		skynet.register_protocol {
			name = "flagged", id = 200, unpack = core.tostring,
			dispatch = function(_, _, text) got = text end,
		}
		core.send(skynet.self(), 0x30000 | 200, 7, "text")
		check.wait(function() return got == "text" end)
	end)
end

local function socket_functions()
	check.case("receive buffers", function()
		local b, p = driver.buffer(), {}
		driver.push(b, p, driver.str2p "abc")
		raises("size must not be negative", driver.pop, b, p, -1)
		raises("size must not be negative", driver.push, b, p, driver.str2p "abc", -1)
		raises("Need buffer object at param 1", driver.pop, io.stdout, p, 1)
		raises("Need buffer object at param 1", driver.readall, NULL, p)
		raises("need buffer object at param 1", driver.push, io.stdout, p, NULL, 1)
		eq(driver.readall(b, p), "abc")
		raises("(light userdata expected, got FILE*)", driver.drop, io.stdout, 1)
	end)
	check.case("socket messages", function()
		raises("(userdata expected, got nil)", driver.unpack, nil, 24)
		raises("null pointer", driver.unpack, NULL, 24)
		local message = driver.str2p(("\0"):rep(24))
		raises("Invalid socket message size 23", driver.unpack, message, 23)
		raises("Invalid socket message size -1", driver.unpack, message, -1)
		raises("Invalid socket message size 23", netpack.filter, nil, message, 23)
		raises("Invalid socket message size -1", netpack.filter, nil, message, -1)
		raises("null pointer", netpack.filter, nil, NULL, 24)
		core.trash(message, 24)
	end)
	check.case("data to send", function()
		local id = driver.udp()
		raises("(number expected, got no value)", driver.send, id, NULL)
		raises("size must not be negative", driver.send, id, NULL, -1)
		raises("Invalid udp address", driver.udp_send, id, "\1\0\0\127\0\0", "x")
		raises("Invalid udp address", driver.udp_send, id, "\2\0\0\127\0\0\1", "x")
		results(table.pack(driver.udp_send(id, "", "x")), false)
		driver.close(id)
	end)
end

local function netpack_functions()
	check.case("queues that are none", function()
		local message, size = socketmsg.text(socketmsg.CLOSE, 1, 0)
		raises("(netpack queue expected, got FILE*)", netpack.filter, io.stdout, message, size)
		raises("(netpack queue expected, got buffer_pool)", netpack.pop, driver.buffer())
		raises("(netpack queue expected, got table)", netpack.clear, {})
		core.trash(message, size)
	end)
	check.case("data events without data", function()
		local function filter(queue, message, size)
			local result = table.pack(netpack.filter(queue, message, size))
			core.trash(message, size)
			return table.unpack(result, 1, result.n)
		end
		local queue, event = filter(nil, socketmsg.block(socketmsg.DATA, 1, "\0\2a"))
		eq({ type(queue), event }, { "userdata", nil })
		results(table.pack(filter(queue, socketmsg.block(socketmsg.DATA, 1, ""))), queue)
		results(table.pack(filter(queue, socketmsg.text(socketmsg.DATA, 1, 0))), queue)
		results(table.pack(filter(queue, socketmsg.block(socketmsg.DATA, 1, "xyz", -3))), queue)
		local _, name, id, ptr, size = filter(queue, socketmsg.block(socketmsg.DATA, 1, "b"))
		eq({ name, id, netpack.tostring(ptr, size) }, { "data", 1, "ab" })
	end)
	check.case("a queue that nobody clears", function()
		check.no_leak(200, function()
			local message, size = socketmsg.block(socketmsg.DATA, 1, "\0\3abc\0\3def\0\3" .. "g")
			local queue, event = netpack.filter(nil, message, size)
			core.trash(message, size)
			eq(event, "more")
			netpack.tostring(select(2, netpack.pop(queue)))
		end)
	end)
	check.case("netpack.tostring and pack", function()
		eq(netpack.tostring(nil), "")
		eq(netpack.tostring(NULL), "")
		raises("(light userdata expected, got FILE*)", netpack.tostring, io.stdout, 1)
		raises("size must not be negative", netpack.pack, NULL, -1)
		raises("null pointer", netpack.pack, NULL, 1)
		eq(netpack.tostring(netpack.pack(NULL, 0)), "\0\0")
	end)
end

check.run(function()
	commands()
	core_functions()
	socket_functions()
	netpack_functions()
	channels()
end)
