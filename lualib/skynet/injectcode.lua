-- skynet.injectcode: runs source text as if it stood inside a function that is being executed.
-- The frame's locals and upvalues are read into a table first, the text runs with that table as its names, and what
-- it assigned is written back in the end.

local debug = debug

-- What is visible in a frame: name -> { value, and where it lives }.  The innermost declaration of a name wins.
local function read_frame(thread, level, func)
	local names = {}
	local i = 1
	local name, value = debug.getupvalue(func, i)
	while name do
		names[name] = { value = value, upvalue = i }
		i = i + 1
		name, value = debug.getupvalue(func, i)
	end
	i = 1
	name, value = debug.getlocal(thread, level, i)
	while name do
		if name:sub(1, 1) ~= "(" then	-- else a temporary
			names[name] = { value = value, slot = i }
		end
		i = i + 1
		name, value = debug.getlocal(thread, level, i)
	end
	local varargs = {}
	repeat
		name, value = debug.getlocal(thread, level, -(#varargs + 1))
		varargs[#varargs + 1] = { value = value }
	until not name
	return names, varargs, #varargs - 1
end

local function write_frame(names, thread, level, func)
	for _, place in pairs(names) do
		if place.changed then
			if place.slot then
				debug.setlocal(thread, level, place.slot, place.value)
			else
				debug.setupvalue(func, place.upvalue, place.value)
			end
		end
	end
end

local function new_env(names, ext)
	local globals = names._ENV and names._ENV.value or _ENV
	return setmetatable({}, {
		__index = function(_, name)
			local place = names[name]
			if place then
				return place.value
			end
			local value = ext[name]
			if value == nil then
				value = globals[name]
			end
			return value
		end,
		__newindex = function(_, name, value)
			local place = names[name]
			if place then
				place.value = value
				place.changed = true
			else
				globals[name] = value
			end
		end,
	})
end

local function unwrap(varargs, i, count)
	if i <= count then
		return varargs[i].value, unwrap(varargs, i + 1, count)
	end
end

-- level counts from the function that called us if `thread` is the running one (the default), else from the
-- innermost function of `thread`.  Returns true and the results of the text, or false and a message.
return function(source, thread, level, ext)
	local this = coroutine.running()
	thread = thread or this
	level = level or 0
	if thread == this then
		level = level + 2	-- debug.getinfo and this function
	end
	local info = debug.getinfo(thread, level, "f")
	if not info then
		return false, "Invalid level"
	end
	local inner = thread == this and level + 1 or level	-- the same frame, seen from the functions above
	local names, varargs, count = read_frame(thread, inner, info.func)
	local code, complaint = load(source, "=(debug)", "t", new_env(names, ext or {}))
	if not code then
		return false, complaint
	end
	local result = table.pack(pcall(code, unwrap(varargs, 1, count)))
	write_frame(names, thread, inner, info.func)
	return table.unpack(result, 1, result.n)
end
