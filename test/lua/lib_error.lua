-- How errors and deaths reach the other services: raising handlers, skynet.exit, kills, skynet.term.

local skynet = require "skynet"

local mode, parent = ...

if mode == "peer" then
	local act = {}

	function act.echo(...) skynet.retpack(...) end
	function act.raise(value) error(value or "raised on purpose") end
	function act.raise_table() error { "not a string" } end
	function act.raise_after() skynet.ret() error "after the answer" end
	function act.block() skynet.wait() end
	function act.keep() skynet.response() end
	function act.call(...) skynet.retpack(pcall(skynet.call, ...)) end
	function act.exit() skynet.exit() end
	function act.exit_soon() skynet.ret() skynet.sleep(2) skynet.exit() end
	function act.busy()
		-- until the test says that it has sent what it wants to find in the queue
		repeat until skynet.getenv("over_" .. skynet.self()) or skynet.now() > 25 * 100
		skynet.exit()
	end
	local response
	function act.take() response = skynet.response() end
	function act.test() skynet.retpack(response "TEST") end
	function act.use() skynet.retpack(response(true, "late")) end
	function act.closing()
		-- everything that is open must be closed when the service ends
		local function guard(name)
			return setmetatable({}, { __close = function()
				skynet.send(tonumber(parent), "lua", "closed", name)
			end })
		end
		local mine <close> = guard "exiting thread"
		for _, f in ipairs {
			function() local g <close> = guard "wait" skynet.wait() end,
			function() local g <close> = guard "sleep" skynet.sleep(1000) end,
			function() local g <close> = guard "call" skynet.call(skynet.self(), "lua", "block") end,
		} do
			skynet.fork(f)
		end
		skynet.sleep(1)
		skynet.fork(function() local g <close> = guard "never started" skynet.wait() end)
		skynet.exit()
	end

	skynet.start(function()
		skynet.dispatch("lua", function(_, _, what, ...) act[what](...) end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local function new_peer()
	return skynet.newservice("lib_error", "peer", skynet.self())
end

-- Calls in a thread of its own; the returned table gets `done` and the results.
local function call_aside(...)
	local outcome = {}
	local arguments = table.pack(...)
	outcome.thread = skynet.fork(function()
		outcome.results = table.pack(pcall(skynet.call, table.unpack(arguments, 1, arguments.n)))
		outcome.done = true
	end)
	skynet.sleep(1)
	return outcome
end

local function fails(outcome)
	check.wait(function() return outcome.done end, 3, "an answer")
	eq(outcome.results[1], false)
	assert(outcome.results[2]:find "call failed$", outcome.results[2])
end

local function raising()
	local peer = new_peer()
	case("a handler that raises", function()
		raises("call failed", skynet.call, peer, "lua", "raise")
		raises("call failed", skynet.call, peer, "lua", "raise_table")
		raises("call failed", skynet.rawcall, peer, "lua", skynet.pack "raise")
		eq(skynet.call(peer, "lua", "echo", 1), 1)
	end)
	case("raising after the answer", function()
		results(table.pack(skynet.call(peer, "lua", "raise_after")))
	end)
	case("raising without a session", function()
		skynet.send(peer, "lua", "raise")
		eq(skynet.call(peer, "lua", "echo", 2), 2)
	end)
	case("the error of a caller that goes through", function()
		results(table.pack(skynet.call(peer, "lua", "call", peer, "lua", "echo", 3)), true, 3)
		eq(skynet.call(peer, "lua", "call", 0xfffff0, "lua"), false)
	end)
	skynet.send(peer, "lua", "exit")
end

local function dying()
	case("exit answers the running and the blocked requests", function()
		local peer = new_peer()
		local blocked = call_aside(peer, "lua", "block")
		local kept = call_aside(peer, "lua", "keep")
		local calling = call_aside(peer, "lua", "call", peer, "lua", "block")
		eq(blocked.done, nil)
		eq(kept.done, nil)
		raises("call failed", skynet.call, peer, "lua", "exit")
		fails(blocked)
		fails(kept)
		fails(calling)
		raises("call to invalid address", skynet.call, peer, "lua", "echo")
		results(table.pack(skynet.send(peer, "lua", "echo")))
	end)
	case("exit answers what is still queued", function()
		local peer = new_peer()
		skynet.send(peer, "lua", "busy")
		local queued = {}
		for i = 1, 20 do
			queued[i] = {}
			skynet.fork(function()
				queued[i].results = table.pack(pcall(skynet.call, peer, "lua", "echo", i))
				queued[i].done = true
			end)
		end
		skynet.sleep(1)
		skynet.setenv("over_" .. peer, "yes")
		for i = 1, 20 do fails(queued[i]) end
	end)
	case("a kill answers what is queued", function()
		local peer = new_peer()
		skynet.send(peer, "lua", "busy")
		local queued = {}
		for i = 1, 20 do queued[i] = false end
		for i = 1, 20 do
			skynet.fork(function() queued[i] = table.pack(pcall(skynet.call, peer, "lua", "echo", i)) end)
		end
		skynet.sleep(2)
		skynet.kill(peer)
		skynet.setenv("over_" .. peer, "yes")
		for i = 1, 20 do
			check.wait(function() return queued[i] end, 3)
			eq(queued[i][1], false)
		end
	end)
	case("a kill does not answer what is blocked, term does", function()
		local peer = new_peer()
		local blocked = call_aside(peer, "lua", "block")
		skynet.call(peer, "lua", "echo")	-- comes behind it: it is not in the queue any more
		skynet.kill(peer)
		skynet.sleep(10)
		eq(blocked.done, nil)
		skynet.term(peer)
		fails(blocked)
	end)
	case("term counts the name that was called", function()
		local peer = new_peer()
		skynet.name(".lib_error_peer", peer)
		local by_name = call_aside(".lib_error_peer", "lua", "block")
		local by_handle = call_aside(peer, "lua", "block")
		skynet.term(".lib_error_peer")
		fails(by_name)
		eq(by_handle.done, nil)
		skynet.term(peer)
		fails(by_handle)
		skynet.kill(peer)
	end)
	case("term leaves sleepers alone", function()
		local token, woke = {}, nil
		skynet.fork(function() woke = table.pack(skynet.sleep(3000, token)) end)
		skynet.sleep(1)
		skynet.term(skynet.self())
		skynet.sleep(2)
		eq(woke, nil)
		skynet.wakeup(token)
		skynet.sleep(1)
		results(woke, "BREAK")
	end)
	case("an error without session means that its source is gone", function()
		local peer = new_peer()
		local blocked = call_aside(peer, "lua", "block")
		skynet.redirect(skynet.self(), peer, "error", 0, "")
		fails(blocked)
		skynet.kill(peer)
	end)
	case("an error for an unknown session is ignored", function()
		skynet.redirect(skynet.self(), 0x1234, "error", 0x7ffffff0, "")
		skynet.sleep(1)
	end)
	case("exit of the caller: its answer goes nowhere, response knows", function()
		local peer, caller = new_peer(), new_peer()
		skynet.send(caller, "lua", "call", peer, "lua", "take")
		check.wait(function()
			local ok, open = pcall(skynet.call, peer, "lua", "test")
			return ok and open
		end)
		skynet.send(caller, "lua", "exit")
		check.wait(function() return not skynet.call(peer, "lua", "test") end)
		eq(skynet.call(peer, "lua", "use"), false)
		skynet.kill(peer)
	end)
	case("a killed caller: response is not delivered", function()
		local peer, caller = new_peer(), new_peer()
		skynet.send(caller, "lua", "call", peer, "lua", "take")
		check.wait(function()
			local ok, open = pcall(skynet.call, peer, "lua", "test")
			return ok and open
		end)
		skynet.kill(caller)
		skynet.sleep(2)
		eq(skynet.call(peer, "lua", "use"), false)
		skynet.kill(peer)
	end)
end

local function closing()
	case("exit closes the threads", function()
		local closed = {}
		skynet.dispatch("lua", function(_, _, what, name)
			if what == "closed" then closed[name] = (closed[name] or 0) + 1 end
		end)
		local peer = new_peer()
		pcall(skynet.call, peer, "lua", "closing")
		check.wait(function()
			local count = 0
			for _ in pairs(closed) do count = count + 1 end
			return count == 4
		end)
		skynet.sleep(2)
		eq(closed, { wait = 1, sleep = 1, call = 1, ["exiting thread"] = 1 })
	end)
	case("an error closes its thread with the error", function()
		local got
		skynet.fork(function()
			local guard <close> = setmetatable({}, { __close = function(_, reason) got = reason end })
			error "raised on purpose"
		end)
		skynet.sleep(1)
		assert(got:find "raised on purpose$", got)
	end)
	case("death watch", function()
		local peer = new_peer()
		local link = {}
		skynet.fork(function()
			link.results = table.pack(pcall(skynet.call, peer, "debug", "LINK"))
			link.done = true
		end)
		skynet.sleep(2)
		eq(link.done, nil)
		skynet.send(peer, "debug", "EXIT")
		fails(link)
	end)
end

check.run(function()
	raising()
	dying()
	closing()
end)
