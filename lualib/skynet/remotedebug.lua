-- skynet.remotedebug: the service side of the console command `debug` (the other side is service debug_agent).
-- Commands come through a debugchannel, results go straight to the client's socket.  A break stops the whole
-- service: the line hook of the watched thread talks with the user before it lets the line run.

local socketdriver = require "skynet.socketdriver"
local debugchannel = require "skynet.debugchannel"
local injectcode = require "skynet.injectcode"

local POLL_IDLE = 10	-- cs between two looks for commands while the service works
local POLL_STOPPED = 0.2	-- the same while it is stopped, in the channel's unit of 0.1 s

local M = {}

-- The debug session, nil if there is none:
-- skynet; fd; channel; answer (ends the REMOTEDEBUG request); unwatch (takes the pending watch away)
local session

local function write(text)
	socketdriver.send(session.fd, text)
end

local function prompt()
	write(string.format(":%08x>", session.skynet.self()))
end

local function show(...)
	local words = table.pack(...)
	for i = 1, words.n do
		words[i] = tostring(words[i]) .. "\t"
	end
	write(table.concat(words) .. "\n")
end

local function leave()
	local over = session
	session = nil
	over.unwatch()
	over.skynet.error "Leave debug mode"
	over.answer(true)
end

-- Number of frames below the caller of the function that calls this.
local function stack_depth()
	local level = 3
	while debug.getinfo(level, "l") do
		level = level + 1
	end
	return level - 3
end

-- What the user typed, as source text: an expression if it can be one, else statements.
local function as_source(text)
	local expression = "return " .. text
	return load(expression) and expression or text
end

-- Evaluates at the service's top level.
local function evaluate(source)
	local names = session.names
	local code, complaint = load(source, "=(debug)", "t", setmetatable({}, {
		__index = function(_, name)
			local value = names[name]
			return value == nil and _G[name] or value
		end,
		__newindex = _G,
	}))
	if not code then
		return false, complaint
	end
	return pcall(code)
end

local function print_results(_, ...)
	show(...)
end

-- ---------------------------------------------------------------- stopped at a line

-- Talks with the user at a line of the current thread.  Returns how to go on: "n", "s", "c" or "cont".
-- Called by the hook and only by it: the levels count on that.
local function converse(where, names)
	write(where)
	while true do
		local text = session.channel:read(POLL_STOPPED)
		if text == "n" or text == "s" or text == "c" or text == "cont" then
			return text
		elseif text then
			print_results(injectcode(as_source(text), nil, 2, names))	-- 0 = here, 1 = the hook, 2 = the line
			write(where)
		end
	end
end

-- The line hook for a thread whose handler lies above depth `floor`.
local function new_hook(floor, names)
	local limit = math.huge	-- stop in frames not deeper than this
	return function(_, line)
		local depth = stack_depth()
		if depth <= floor or depth > limit then
			return
		end
		local info = debug.getinfo(2, "S")
		local where = string.format("%s(%d)>", info.source:match "^@?(.*)$", line)
		local how = session and converse(where, names) or "c"
		if how == "n" then
			limit = depth
		elseif how == "s" then
			limit = math.huge
		else
			debug.sethook()
			if how == "cont" then
				leave()
			elseif session then
				prompt()
			end
		end
	end
end

local function watch(name, condition)
	local class = session.skynet._proto[name]
	if not class then
		return "No " .. tostring(name)
	elseif not class.dispatch then
		return "No dispatch"
	end
	session.unwatch()
	local handler = class.dispatch
	local names = session.names

	local function finish(...)
		if debug.gethook() then
			debug.sethook()
			prompt()
		end
		return ...
	end

	local function stop_here(...)
		if condition and not condition(...) then
			return handler(...)
		end
		session.unwatch()
		local mine = setmetatable({ _CO = coroutine.running() }, { __index = names })
		debug.sethook(new_hook(stack_depth() + 1, mine), "l")
		return finish(handler(...))
	end

	class.dispatch = stop_here
	function session.unwatch()
		if class.dispatch == stop_here then
			class.dispatch = handler
		end
	end
end

-- ---------------------------------------------------------------- the service works

local function poll(skynet, mine)
	while session == mine do
		local text = mine.channel:read()
		if text == "cont" then
			leave()
		elseif text then
			print_results(evaluate(as_source(text)))
			if session == mine then
				prompt()
			end
		else
			skynet.sleep(POLL_IDLE)
		end
	end
end

function M.start(skynet, fd, channel)
	assert(session == nil, "Already in debug mode")
	session = {
		skynet = skynet,
		fd = fd,
		channel = debugchannel.connect(channel),
		answer = skynet.response(),
		unwatch = function() end,
		names = { print = show, watch = watch },
	}
	skynet.error "Enter debug mode"
	prompt()
	skynet.fork(poll, skynet, session)
end

return M
