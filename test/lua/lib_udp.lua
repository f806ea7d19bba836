-- skynet.socket over UDP.
-- config: udp1 = $PORT1
-- config: udp2 = $PORT2

local skynet = require "skynet"
local socket = require "skynet.socket"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local port1 = tonumber(skynet.getenv "udp1")
local port2 = tonumber(skynet.getenv "udp2")
local ours = require "skynet.socketdriver".option ~= nil

-- A callback that collects, and what it collected.
local function collector()
	local got = {}
	return got, function(data, from) table.insert(got, { data = data, from = from }) end
end

check.run(function()
	case("bound and connected", function()
		local at_server, on_server = collector()
		local at_client, on_client = collector()
		local server = socket.udp(on_server, "127.0.0.1", port1)
		local client = socket.udp(on_client)
		eq(socket.invalid(server), false)
		socket.udp_connect(client, "127.0.0.1", port1)
		eq(socket.write(client, "ping"), true)
		check.wait(function() return at_server[1] end)
		eq(at_server[1].data, "ping")
		local host, port = socket.udp_address(at_server[1].from)
		eq(host, "127.0.0.1")
		assert(port > 0)
		eq(socket.sendto(server, at_server[1].from, "pong"), true)
		check.wait(function() return at_client[1] end)
		eq(at_client[1].data, "pong")
		results(table.pack(socket.udp_address(at_client[1].from)), "127.0.0.1", port1)
		socket.close(client)
		socket.close(server)
		eq(socket.invalid(server), true)
	end)
	case("udp_connect may install the callback", function()
		local at_server, on_server = collector()
		local server = socket.udp(on_server, "127.0.0.1", port1)
		local at_client, on_client = collector()
		local client = socket.udp(function() error "replaced" end)
		socket.udp_connect(client, "127.0.0.1", port1, on_client)
		socket.write(client, "ping")
		check.wait(function() return at_server[1] end)
		socket.sendto(server, at_server[1].from, "pong")
		check.wait(function() return at_client[1] end)
		socket.close(client)
		socket.close(server)
	end)
	for _, host in ipairs { "127.0.0.1", "::1" } do
		case("udp_listen and udp_dial " .. host, function()
			local at_server, on_server = collector()
			local at_client, on_client = collector()
			local server = socket.udp_listen(host, port2, on_server)
			local client = socket.udp_dial(host, port2, on_client)
			for i = 1, 20 do socket.write(client, "hello " .. i) end
			check.wait(function() return #at_server == 20 end)
			eq(at_server[20].data, "hello 20")
			eq((socket.udp_address(at_server[1].from)), host)
			socket.sendto(server, at_server[1].from, "back")
			check.wait(function() return at_client[1] end)
			eq(at_client[1].data, "back")
			results(table.pack(socket.udp_address(at_client[1].from)), host, port2)
			socket.close(client)
			socket.close(server)
		end)
	end
	case("bound and connected over IPv6", function()
		local at_server, on_server = collector()
		local at_client, on_client = collector()
		local server = socket.udp(on_server, "::1", port1)
		local client = socket.udp_dial("::1", port2, on_client)
		-- a new destination in place of the one that was dialled
		socket.udp_connect(client, "::1", port1)
		if not ours then
			-- Upstream's engine, if it has dialled by now, sends what comes at once to the old one.
			check.wait(function()
				for _, row in ipairs(socket.netstat()) do
					if row.id == client then return row.peer:find(":" .. port1 .. "$") end
				end
			end)
		end
		eq(socket.write(client, "six"), true)
		check.wait(function() return at_server[1] end)
		eq(at_server[1].data, "six")
		eq(#at_server[1].from, 19)
		local host, port = socket.udp_address(at_server[1].from)
		eq(host, "::1")
		eq(socket.sendto(server, at_server[1].from, ""), true)
		check.wait(function() return at_client[1] end)
		eq(at_client[1].data, "")
		results(table.pack(socket.udp_address(at_client[1].from)), "::1", port1)
		assert(port > 0)
		socket.close(client)
		socket.close(server)
	end)
	case("empty and large datagrams", function()
		local at_server, on_server = collector()
		local server = socket.udp(on_server, "127.0.0.1", port1)
		local client = socket.udp(function() end)
		socket.udp_connect(client, "127.0.0.1", port1)
		local large = string.rep("u", 60000)
		socket.write(client, large)
		socket.write(client, { "in ", "pieces" })
		check.wait(function() return #at_server == 2 end)
		eq(at_server[1].data == large, true)
		eq(at_server[2].data, "in pieces")
		socket.close(client)
		socket.close(server)
	end)
	case("callbacks may block", function()
		local done = 0
		local server = socket.udp(function()
			skynet.sleep(2)
			done = done + 1
		end, "127.0.0.1", port1)
		local client = socket.udp(function() end)
		socket.udp_connect(client, "127.0.0.1", port1)
		for _ = 1, 5 do socket.write(client, "x") end
		check.wait(function() return done == 5 end)
		socket.close(client)
		socket.close(server)
	end)
	case("errors", function()
		raises("udp init failed", socket.udp, print, "192.0.2.1", port1)
		raises("udp listen host failed", socket.udp_listen, "192.0.2.1", port1, print)
		raises("Invalid udp address", socket.udp_address, "short")
		eq(socket.sendto(0x7f0000, "\1\0\0\127\0\0\1", "x"), false)
	end)
end)
