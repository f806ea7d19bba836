-- A storm among Lua services. Started by test/storm.rs, which reads the log: every skynet.call returns or raises
-- once, with the answer to what was asked, and what one service sends to another arrives in order.
--
-- A service has a slot, which its name says (.storm1, .storm2 ...). Those with even numbers answer at once and may
-- be killed; those with odd numbers take their time and end by skynet.exit, which answers for what is unfinished.
-- (A service that is killed in the middle of a request answers nobody: that is how it is.)
local skynet = require "skynet"
require "skynet.manager"

local SLOTS <const> = 50
local LOOPS <const> = 3
-- How long the end may take, in centiseconds.
local PATIENCE <const> = 3000

local role, slot, seed = ...
slot = tonumber(slot)

local function name(n)
	return ".storm" .. n
end

local function peer()
	return skynet.localname(name(math.random(SLOTS)))
end

local function agent()
	math.randomseed(tonumber(seed), skynet.self())

	local state = { loops = 0, started = 0, finished = 0, raised = 0 }
	local calm = false
	local sent, seen = {}, {}
	local CMD = {}

	local function number(to)
		sent[to] = (sent[to] or 0) + 1
		return sent[to]
	end

	local function check_order(source, n)
		local last = seen[source] or 0
		if n ~= last + 1 then
			skynet.error(("STORM FAIL %d of %x came after %d"):format(n, source, last))
		end
		seen[source] = n
	end

	local function call(to, ...)
		state.started = state.started + 1
		local ends = 0
		local ok, answer = pcall(skynet.call, to, "lua", ...)
		ends = ends + 1
		state.finished = state.finished + 1
		if ends ~= 1 then
			skynet.error "STORM FAIL a call ended twice"
		end
		if not ok then
			state.raised = state.raised + 1
		end
		return ok, answer
	end

	local tokens = 0
	local function echo(to)
		tokens = tokens + 1
		local token = skynet.self() .. ":" .. tokens
		local ok, answer = call(to, "echo", number(to), token)
		if ok and answer ~= token then
			skynet.error(("STORM FAIL asked %s, answered %s"):format(token, answer))
		end
	end

	-- One thing at random.
	local function act()
		local what = math.random(1000)
		local to = peer()
		if not to then
			local empty = math.random(SLOTS)
			if not skynet.localname(name(empty)) then
				pcall(skynet.newservice, "storm_lua", "agent", empty, seed)
			end
		elseif what <= 3 then
			local victim = skynet.localname(name(2 * math.random(SLOTS // 2)))
			if victim then
				skynet.kill(victim)
			end
		elseif what <= 6 then
			if slot % 2 == 1 then
				skynet.exit()
			else
				skynet.send(skynet.self(), "lua", "leave")
			end
		elseif what <= 30 then
			skynet.sleep(math.random(0, 1))
		elseif what <= 150 then
			for _ = 1, math.random(20) do
				skynet.send(to, "lua", "note", number(to))
			end
			echo(to)
		elseif what <= 170 then
			local ok = call(to, "refuse", number(to))
			if ok then
				skynet.error "STORM FAIL an error is no error"
			end
		else
			echo(to)
		end
	end

	function CMD.note(source, n)
		check_order(source, n)
	end

	function CMD.echo(source, n, token)
		check_order(source, n)
		if slot % 2 == 1 and not calm and math.random(10) == 1 then
			local other = skynet.localname(name(2 * math.random(SLOTS // 2)))
			if other and math.random(2) == 1 then
				echo(other)
			else
				skynet.sleep(math.random(0, 1))
			end
		end
		skynet.retpack(token)
	end

	function CMD.refuse(source, n)
		check_order(source, n)
		skynet.response()(false)
	end

	function CMD.leave()
		skynet.exit()
	end

	function CMD.calm()
		calm = true
	end

	function CMD.state()
		skynet.retpack(calm, state)
	end

	skynet.start(function()
		skynet.dispatch("lua", function(_, source, cmd, ...)
			CMD[cmd](source, ...)
		end)
		skynet.register(name(slot))
		if skynet.localname(name(slot)) ~= skynet.self() then
			-- Somebody else was faster.
			skynet.exit()
		end
		for _ = 1, LOOPS do
			state.loops = state.loops + 1
			skynet.fork(function()
				while not calm do
					act()
				end
				state.loops = state.loops - 1
			end)
		end
	end)
end

local function lord()
	local seconds = tonumber(skynet.getenv "storm_seconds")
	local seed = skynet.getenv "storm_seed"
	for n = 1, SLOTS do
		pcall(skynet.newservice, "storm_lua", "agent", n, seed)
	end
	skynet.sleep(seconds * 100)

	-- Who ends, kills or launches others while we ask makes another round necessary.
	local limit = skynet.now() + PATIENCE
	local total, busy
	repeat
		total, busy = { services = 0, started = 0, raised = 0 }, 0
		for n = 1, SLOTS do
			local to = skynet.localname(name(n))
			if to then
				skynet.send(to, "lua", "calm")
				local ok, calm, state = pcall(skynet.call, to, "lua", "state")
				if not ok or not calm or state.loops > 0 or state.started ~= state.finished then
					busy = busy + 1
				else
					total.services = total.services + 1
					total.started = total.started + state.started
					total.raised = total.raised + state.raised
				end
			end
		end
		skynet.sleep(5)
	until busy == 0 or skynet.now() > limit
	if busy > 0 then
		skynet.error(("STORM FAIL %d services wait for an answer"):format(busy))
	end
	skynet.error(("STORM over: %d services made %d calls, %d raised"):format(total.services, total.started, total.raised))
	-- What was answered twice would be known by now.
	skynet.sleep(20)
	skynet.abort()
end

if role == "agent" then
	agent()
else
	skynet.start(function()
		skynet.fork(lord)
	end)
end
