-- Options of sockets on a core that has none.
-- foreign: only

local skynet = require "skynet"
local socket = require "skynet.socket"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"

local raises, results, case = check.raises, check.results, check.case

check.run(function()
	case("they are refused", function()
		results(table.pack(driver.option(0, "nodelay", true)), false, "this core has no socket options")
		results(table.pack(socket.option(0, "idle", 1.5)), false, "this core has no socket options")
	end)
	case("wrong arguments are errors all the same", function()
		raises("invalid option 'no such'", driver.option, 0, "no such", 1)
		raises("nodelay takes true or false, got 1", driver.option, 0, "nodelay", 1)
	end)
	case("a gate that needs them does not open", function()
		local gate = skynet.newservice "gate"
		local function open(conf)
			conf.address, conf.port = "127.0.0.1", 0
			return skynet.call(gate, "lua", "open", conf)
		end
		raises("call failed", open, { write_limit = 1000 })
		gate = skynet.newservice "gate"
		results({ n = 1, (open {}) }, "127.0.0.1")
	end)
end)
