-- skynet.queue: critical sections.  Each call of the module makes one.

local skynet = require "skynet"

local running = coroutine.running
local traceback = debug.traceback

local function results(ok, ...)
	if not ok then
		error((...), 0)
	end
	return ...
end

local function new_section()
	local owner	-- thread inside, nil if free
	local depth = 0	-- of its nested entries
	local line, first, last = {}, 1, 0	-- threads that wait, in order; false = gave up

	-- Hands the section to the next in line.
	local function pass_on()
		owner = nil
		while first <= last and not owner do
			owner = line[first] or nil
			line[first] = nil
			first = first + 1
		end
		if owner then
			skynet.wakeup(owner)
		end
	end

	local function queue_up(thread)
		local place = last + 1
		last = place
		line[place] = thread
		local inside = false
		-- a thread may be killed while it waits
		local guard <close> = setmetatable({}, { __close = function()
			if inside then
				return
			elseif owner == thread then
				pass_on()
			else
				line[place] = false
			end
		end })
		repeat
			skynet.wait(thread)
		until owner == thread
		inside = true
	end

	-- Leaving must not depend on how the function ends: return, error or killthread.
	local section = setmetatable({}, { __close = function()
		depth = depth - 1
		if depth == 0 then
			pass_on()
		end
	end })

	return function(f, ...)
		local thread = running()
		if owner == nil then
			owner = thread
		elseif owner ~= thread then
			queue_up(thread)
		end
		depth = depth + 1
		local inside <close> = section
		return results(xpcall(f, traceback, ...))
	end
end

skynet.queue = new_section

return new_section
