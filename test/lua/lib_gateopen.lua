-- A gate whose `open` fails can be opened again.
-- config: logservice = "snlua"
-- config: logger = "support/recorder"

local skynet = require "skynet"
local core = require "skynet.core"
local driver = require "skynet.socketdriver"
local socketmsg = dofile "./test/lua/support/socketmsg.lua"

local mode, parent = ...

if mode == "server" then
	-- a gate that says how its open ended, and can be told to get a listener that fails
	local gateserver = require "snax.gateserver"
	local function report(...) skynet.send(tonumber(parent), "lua", ...) end
	local handler = { message = print }
	function handler.open(_, conf) return conf.address, conf.port end
	function handler.connect(fd) report("connect", fd) end
	function handler.disconnect(fd) report("disconnect", fd) end
	handler["error"] = function(fd, text) report("error", fd, text) end
	local command = {}
	function command.break_listener()
		local listen = driver.listen
		function driver.listen()
			driver.listen = listen
			local id <const> = 0x7f000001
			core.send(skynet.self(), skynet.PTYPE_SOCKET, 0, socketmsg.text(socketmsg.ERROR, id, 0, "on purpose"))
			return id
		end
	end
	function handler.command(name) return command[name]() end
	gateserver.start(handler)
	return
end

local socket = require "skynet.socket"
local check = dofile "./test/lua/support/check.lua"
local eq, raises, case = check.eq, check.raises, check.case

local OURS = driver.option ~= nil	-- upstream has no options and loses a listener that fails

check.run(function()
	local inbox = {}
	skynet.dispatch("lua", function(_, _, ...) table.insert(inbox, { ... }) end)

	-- The caller does not learn why, the log does.
	local function fails(gate, conf, reason)
		raises("call failed", skynet.call, gate, "lua", "open", conf)
		if not OURS then return end
		check.wait(function()
			local seen = table.concat(skynet.call(".logger", "lua", "take", gate), "\n")
			return seen:find(reason, 1, true)
		end, 10, reason)
	end
	local function opens(gate, conf)
		local address, port = skynet.call(gate, "lua", "open", conf)
		eq(address, "127.0.0.1")
		local id = assert(socket.open("127.0.0.1", port))
		-- What the gate before this one said of its connection may come as well.
		check.wait(function()
			for _, event in ipairs(inbox) do
				if event[1] == "connect" then return true end
			end
		end, 10, "a connection")
		socket.close(id)
		fails(gate, conf, "a gate opens once")
		skynet.kill(gate)
		inbox = {}
	end
	local function server()
		return skynet.newservice("lib_gateopen", "server", skynet.self())
	end

	case("a port that is taken", function()
		local taken, _, port = socket.listen("127.0.0.1", 0)
		local gate = server()
		for _ = 1, 2 do
			fails(gate, { address = "127.0.0.1", port = port }, "cannot open 127.0.0.1:" .. port .. ": Listen error")
		end
		socket.close(taken)
		opens(gate, { address = "127.0.0.1", port = port })
	end)
	if not OURS then return end
	case("a setting that cannot be", function()
		local gate = server()
		for _ = 1, 3 do
			fails(gate, { address = "127.0.0.1", port = 0, idle = -1 }, "does not take idle = -1")
		end
		raises("call failed", skynet.call, gate, "lua", "close")
		opens(gate, { address = "127.0.0.1", port = 0, idle = 100 })
	end)
	case("a listener that fails", function()
		local gate = server()
		skynet.call(gate, "lua", "break_listener")
		fails(gate, { address = "127.0.0.1", port = 0 }, "cannot open 127.0.0.1:0: on purpose")
		opens(gate, { address = "127.0.0.1", port = 0 })
	end)
end)
