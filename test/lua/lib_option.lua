-- Options of sockets: socketdriver.option, socket.option, and the settings of a gate.
-- upstream: no these are ours

local skynet = require "skynet"

local mode, parent = ...

if mode == "server" then
	-- a gate that never reads much and says what becomes of its connections
	local gateserver = require "snax.gateserver"
	local netpack = require "skynet.netpack"
	local driver = require "skynet.socketdriver"
	local function report(...) skynet.send(tonumber(parent), "lua", ...) end
	local handler = {}
	function handler.open(_, conf) return conf.port end
	function handler.connect(fd) gateserver.openclient(fd) report("connect", fd) end
	function handler.message(fd, msg, size) report("message", fd, netpack.tostring(msg, size)) end
	function handler.disconnect(fd) report("disconnect", fd) end
	handler["error"] = function(fd, text) report("error", fd, text) end
	local command = {}
	function command.stop(fd) gateserver.closeclient(fd) end
	function command.write(fd, text) return driver.send(fd, netpack.pack(text)) end
	function handler.command(name, _, ...) return command[name](...) end
	gateserver.start(handler)
	return
end

local socket = require "skynet.socket"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local function refused(text, ...)
	results(table.pack(driver.option(...)), false, text)
end

local function arguments()
	case("wrong arguments are errors", function()
		raises("number expected, got no value)", driver.option)
		raises("string expected, got no value)", driver.option, 0)
		raises("invalid option 'no such')", driver.option, 0, "no such", 1)
		raises("(nodelay takes true or false, got 1)", driver.option, 0, "nodelay", 1)
		raises("(nodelay takes true or false, got 'true')", driver.option, 0, "nodelay", "true")
		raises("(nodelay takes true or false, got no value)", driver.option, 0, "nodelay")
		local actions = "(write_action takes 'warn', 'pause' or 'close', got "
		raises(actions .. "'drop')", driver.option, 0, "write_action", "drop")
		raises(actions .. "'')", driver.option, 0, "write_action", "")
		raises(actions .. "nil)", driver.option, 0, "write_action", nil)
		raises(actions .. "0)", driver.option, 0, "write_action", 0)
		for _, name in ipairs { "write_limit", "keepalive_idle", "keepalive_interval", "keepalive_count" } do
			raises("(" .. name .. " takes an integer, got 'much')", driver.option, 0, name, "much")
			raises("(" .. name .. " takes an integer, got 1.5)", driver.option, 0, name, 1.5)
		end
		for _, name in ipairs { "idle", "connect" } do
			raises("(" .. name .. " takes a number of seconds, got true)", driver.option, 0, name, true)
			raises("(" .. name .. " takes a number of seconds, got table)", driver.option, 0, name, {})
		end
	end)
	case("values that cannot be are refused", function()
		refused("socket 0 does not take write_limit = -1", 0, "write_limit", -1)
		refused("socket 0 does not take keepalive_idle = 0", 0, "keepalive_idle", 0)
		refused("socket 0 does not take keepalive_count = 128", 0, "keepalive_count", 128)
		for _, value in ipairs { -0.5, -math.huge, math.huge, 0/0, 1e300 } do
			eq(driver.option(0, "idle", value), false)
			eq(driver.option(0, "connect", value), false)
		end
		refused("socket 2130706432 does not take nodelay = true", 0x7f000000, "nodelay", true)
	end)
	case("defaults can be set", function()
		for _, option in ipairs { { "nodelay", false }, { "write_limit", 0 }, { "write_action", "warn" }, { "idle", 0 },
			{ "connect", 0 } } do
			results(table.pack(socket.option(0, table.unpack(option))), true)
		end
		-- a string that is a number counts as one, as everywhere in Lua
		results(table.pack(socket.option(0, "write_limit", "0")), true)
		results(table.pack(socket.option(0, "idle", "0.0")), true)
	end)
	case("every option of a connection", function()
		local listener, _, port = socket.listen("127.0.0.1", 0)
		socket.start(listener, function(id) socket.close_fd(id) end)
		local id = assert(socket.open("127.0.0.1", port))
		for _, option in ipairs { { "nodelay", true }, { "write_limit", 1 << 20 }, { "write_action", "pause" },
			{ "idle", 100.5 }, { "keepalive_idle", 60 }, { "keepalive_interval", 5 }, { "keepalive_count", 3 } } do
			results(table.pack(socket.option(id, table.unpack(option))), true)
		end
		-- only while it is being connected
		eq((socket.option(id, "connect", 5)), false)
		socket.close(id)
		socket.close(listener)
		eq((socket.option(id, "nodelay", true)), false)
		local udp = socket.udp(print)
		eq((socket.option(udp, "nodelay", true)), false)
		socket.close(udp)
	end)
end

local function effects()
	case("write_action close", function()
		local listener, _, port = socket.listen("127.0.0.1", 0)
		assert(socket.option(listener, "write_limit", 100000))
		assert(socket.option(listener, "write_action", "close"))
		local accepted
		socket.start(listener, function(id) accepted = id end)
		local id = assert(socket.open("127.0.0.1", port))
		socket.pause(id)
		check.wait(function() return accepted end)
		socket.start(accepted)
		local data = string.rep("x", 65536)
		check.wait(function() return not socket.write(accepted, data) end)
		check.wait(function() return socket.disconnected(accepted) end)
		socket.close(accepted)
		socket.close(id)
		socket.close(listener)
	end)
	case("idle", function()
		local listener, _, port = socket.listen("127.0.0.1", 0)
		-- What a listener gives its connections counts from the accept on: the short limit is set when we are there.
		assert(socket.option(listener, "idle", 100))
		local accepted
		socket.start(listener, function(id) accepted = id end)
		local id = assert(socket.open("127.0.0.1", port))
		check.wait(function() return accepted end)
		assert(socket.start(accepted))
		assert(socket.option(accepted, "idle", 0.05))
		eq(socket.read(accepted), false)
		socket.close(accepted)
		eq(socket.read(id), false)
		socket.close(id)
		socket.close(listener)
	end)
end

local function gates()
	local inbox = {}
	skynet.dispatch("lua", function(_, _, ...) table.insert(inbox, { ... }) end)
	local function next_event()
		check.wait(function() return inbox[1] end, 10, "an event")
		return table.unpack(table.remove(inbox, 1))
	end

	case("a gate with limits", function()
		local gate = skynet.newservice("lib_option", "server", skynet.self())
		local function call(...) return skynet.call(gate, "lua", ...) end
		-- Four connections one after the other: each makes room for the next.
		local port = call("open", { address = "127.0.0.1", port = 0, maxclient = 2, write_limit = 100000,
			write_action = "close" })
		for _ = 1, 4 do
			local id = assert(socket.open("127.0.0.1", port))
			socket.pause(id)
			local event, fd = next_event()
			eq(event, "connect")
			local data = string.rep("x", 60000)
			check.wait(function() return not call("write", fd, data) end)
			results(table.pack(next_event()), "error", fd, "output buffer overflow")
			results(table.pack(next_event()), "disconnect", fd)
			call("stop", fd)
			socket.close(id)
		end
		skynet.kill(gate)
	end)
	case("a gate with an idle limit", function()
		local gate = skynet.newservice("lib_option", "server", skynet.self())
		local function call(...) return skynet.call(gate, "lua", ...) end
		local port = call("open", { address = "127.0.0.1", port = 0, maxclient = 2, idle = 0.05 })
		for _ = 1, 3 do
			local id = assert(socket.open("127.0.0.1", port))
			local event, fd = next_event()
			eq(event, "connect")
			results(table.pack(next_event()), "error", fd, "idle for too long")
			results(table.pack(next_event()), "disconnect", fd)
			call("stop", fd)
			eq(socket.read(id), false)
			socket.close(id)
		end
		skynet.kill(gate)
	end)
	case("a gate with settings that cannot be", function()
		for _, conf in ipairs { { write_limit = "much" }, { write_limit = -1 }, { write_action = "stop" }, { idle = -1 } } do
			local gate = skynet.newservice("lib_option", "server", skynet.self())
			conf.address, conf.port = "127.0.0.1", 0
			raises("call failed", skynet.call, gate, "lua", "open", conf)
			skynet.kill(gate)
		end
	end)
end

check.run(function()
	arguments()
	effects()
	gates()
end)
