-- Behaviour of our Lua layer that is meant to differ from upstream's.
-- upstream: no these are its defects and gaps: callers that wait for ever, stale entries, reports of unknown responses

local skynet = require "skynet"

local mode = ...

if mode == "peer" then
	local channels = {}
	local act = {}
	function act.echo(...) skynet.retpack(...) end
	function act.subscribe(id)
		channels[id] = require "skynet.multicast".new { channel = id, dispatch = function() end }
		channels[id]:subscribe()
		skynet.ret()
	end
	function act.drop(id)
		channels[id] = nil
		for _ = 1, 5 do
			skynet.sleep(0)
			collectgarbage()
		end
		skynet.ret()
	end
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, what, ...) act[what](...) end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, case = check.eq, check.raises, check.case

local function messages()
	case("a malformed request fails", function()
		local peer = skynet.newservice("lib_ours", "peer")
		raises("call failed", skynet.rawcall, peer, "lua", "\255\255\255")
		eq(skynet.call(peer, "lua", "echo", 1), 1)
		skynet.kill(peer)
	end)
	case("a reply of a wrong type still fails the request", function()
		skynet.dispatch("lua", function() skynet.ret {} end)
		raises("call failed", skynet.call, skynet.self(), "lua")
	end)
	case("debug commands without an answer of their own end", function()
		skynet.call(skynet.self(), "debug", "GC")
		skynet.call(skynet.self(), "debug", "TERM", 0x1234)
	end)
end

local function threads()
	local unknown = 0
	local old = skynet.dispatch_unknown_response(function() unknown = unknown + 1 end)

	case("the timer of a killed sleeper", function()
		local thread = skynet.fork(skynet.sleep, 3)
		skynet.yield()
		eq(skynet.killthread(thread), thread)
		skynet.sleep(6)
		eq(unknown, 0)
	end)
	case("a killed timeout", function()
		local thread = skynet.timeout(3, function() unknown = -1 end)
		eq(skynet.killthread(thread), thread)
		skynet.sleep(6)
		eq(unknown, 0)
	end)
	case("a refused token leaves nothing behind", function()
		local token = {}
		skynet.fork(skynet.wait, token)
		skynet.yield()
		local count = skynet.task()
		raises("token duplicative", skynet.wait, token)
		raises("token duplicative", skynet.sleep, 1, token)
		eq(skynet.task(), count)
		skynet.wakeup(token)
		skynet.yield()
	end)
	case("wakeups are served although a woken thread raises", function()
		local log, a, b = {}, {}, {}
		skynet.fork(function() skynet.wait(a) error "on purpose" end)
		skynet.fork(function() skynet.wait(b) table.insert(log, "b") end)
		skynet.yield()
		skynet.fork(function() skynet.wakeup(a) skynet.wakeup(b) end)
		skynet.fork(function() table.insert(log, "fork") end)
		skynet.yield()
		eq(log, { "b", "fork" })
	end)
	case("a killed thread leaves its critical section", function()
		local section = require "skynet.queue"()
		local log = {}
		local inside = skynet.fork(section, skynet.wait)
		skynet.yield()
		local waiting = skynet.fork(section, function() table.insert(log, "killed while it waited") end)
		skynet.fork(section, function() table.insert(log, "next") end)
		skynet.yield()
		skynet.killthread(waiting)
		skynet.killthread(inside)
		skynet.yield()
		eq(log, { "next" })
	end)
	case("a cancelled call leaves nothing behind, whatever answers it", function()
		skynet.dispatch("lua", function(_, _, what)
			skynet.sleep(2)
			if what == "raise" then error "on purpose" end
			skynet.ret()
		end)
		local count = skynet.task()
		local threads = {}
		for i, what in ipairs { "raise", "answer" } do
			threads[i] = skynet.fork(skynet.call, skynet.self(), "lua", what)
		end
		skynet.sleep(1)
		for _, thread in ipairs(threads) do eq(skynet.killthread(thread), thread) end
		skynet.sleep(6)
		eq(skynet.task(), count)
	end)
	case("a killed request answers with its own request", function()
		-- to-be-closed variables of the victim run as the victim
		local victim
		skynet.dispatch("lua", function()
			victim = coroutine.running()
			local guard <close> = setmetatable({}, { __close = function() pcall(skynet.ret, "from the guard") end })
			skynet.wait()
		end)
		local result
		skynet.fork(function() result = table.pack(pcall(skynet.call, skynet.self(), "lua")) end)
		check.wait(function() return victim end)
		eq(skynet.killthread(victim), victim)
		check.wait(function() return result end)
		eq(result[1], false)
	end)
	skynet.dispatch_unknown_response(old)
end

local function require_circles()
	case("modules that wait for each other in two threads", function()
		local folder = os.tmpname()
		os.remove(folder)
		assert(os.execute(string.format("mkdir -p %q", folder)))
		for here, there in pairs { ours_circle1 = "ours_circle2", ours_circle2 = "ours_circle1" } do
			local file <close> = assert(io.open(folder .. "/" .. here .. ".lua", "w"))
			file:write(string.format("require 'skynet'.sleep(2) return require %q", there))
		end
		package.path = folder .. "/?.lua;" .. package.path
		local outcome = {}
		for i = 1, 2 do
			skynet.fork(function() outcome[i] = table.pack(pcall(require, "ours_circle" .. i)) end)
		end
		check.wait(function() return outcome[1] and outcome[2] end)
		eq(outcome[1][1], false)
		eq(outcome[2][1], false)
		assert((outcome[1][2] .. outcome[2][2]):find("circular dependency", 1, true))
		os.execute(string.format("rm -r %q", folder))
	end)
end

local function services()
	case("killed by name, gone from the list", function()
		local peer = skynet.newservice("lib_ours", "peer")
		skynet.name(".lib_ours_peer", peer)
		skynet.call(".launcher", "lua", "KILL", ".lib_ours_peer")
		eq(skynet.call(".launcher", "lua", "LIST")[skynet.address(peer)], nil)
	end)
	case("a collected channel unsubscribes", function()
		local channel = require "skynet.multicast".new()
		local peer = skynet.newservice("lib_ours", "peer")
		skynet.call(peer, "lua", "subscribe", channel.channel)
		channel:publish "heard"
		skynet.call(peer, "lua", "drop", channel.channel)
		channel:publish "unheard"
		skynet.kill(peer)
		channel:publish "to nobody"
	end)
	case("INFO of the provider while a service boots", function()
		local service = require "skynet.service"
		skynet.fork(service.new, "lib_ours_booting", function() require "skynet".sleep(300) end)
		local provider = skynet.uniqueservice "service_provider"
		local row
		for _ = 1, 250 do -- until the provider has heard of it
			row = select(2, next(skynet.call(provider, "debug", "INFO")))
			if row then
				break
			end
			skynet.sleep(1)
		end
		eq(row.name, "lib_ours_booting")
		eq(row.status, "booting")
	end)
end

local function sockets()
	local socket = require "skynet.socket"
	local accepted
	local listener, address, port = socket.listen("127.0.0.1", 0)
	socket.start(listener, function(id) accepted = id end)

	local function pair()
		accepted = nil
		local ours = assert(socket.open(address, port))
		check.wait(function() return accepted end)
		assert(socket.start(accepted))
		return ours, accepted
	end

	case("readall of more than the buffer limit", function()
		local a, b = pair()
		local data = string.rep("f", 2 * 1024 * 1024)
		socket.write(a, data)
		skynet.fork(socket.close, a)
		eq(#socket.readall(b), #data)
		socket.close(b)
	end)
	case("a killed reader makes room for the next", function()
		local a, b = pair()
		local thread = skynet.fork(socket.readline, b)
		skynet.sleep(1)
		skynet.killthread(thread)
		socket.write(a, "line\n")
		eq(socket.readline(b), "line")
		socket.close(a)
		socket.close(b)
	end)
	case("a host that is too long", function()
		local host = ("h"):rep(300)
		local id, reason = socket.open(host, 80)
		eq(id, nil)
		eq(reason, "Invalid address " .. host)
	end)
	case("a destination that cannot be makes no socket ours", function()
		raises("udp connect failed", socket.udp_connect, 0x7f000001, "127.0.0.1", 1)
		eq(socket.invalid(0x7f000001), true)
	end)
	case("listen on an IPv6 text", function()
		local id, host, number = socket.listen "[::1]:0"
		eq(host, "::1")
		assert(number > 0)
		socket.close(id)
		raises("Invalid address localhost.", socket.listen, "localhost")
		raises("Invalid port in address localhost:x.", socket.listen, "localhost:x")
		raises("Invalid port in address localhost:65536.", socket.listen, "localhost:65536")
	end)
	socket.close(listener)
end

check.run(function()
	messages()
	sockets()
	threads()
	require_circles()
	services()
end)
