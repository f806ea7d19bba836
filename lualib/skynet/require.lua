-- skynet.require: the global `require` of Lua services (installed by the loader).
-- A module that is required by a running thread may block while it loads, and so may the initialisers it
-- registers with skynet.init; other threads that ask for the same module meanwhile wait for it.

local standard_require = require

local main_thread, is_main = coroutine.running()
assert(is_main, "skynet.require must initialize in main thread")

local loaded, preload = package.loaded, package.preload

-- Initialisers registered by the module that a thread is loading right now: thread -> list.
-- The main thread has one list for its whole main chunk; init_all runs it.
local initialisers = { [main_thread] = {} }

-- How a thread loads a module.  Returns a function for that: most services have all modules before their threads
-- begin, so this is made only when needed.
local function loader_in_threads()
	local loading = {}	-- module name -> { thread = who loads it, [i] = thread that waits for it }
	local stuck_on = {}	-- waiting thread -> the entry of `loading` it waits for

	-- True if whoever loads `entry` waits, directly or through others, for something that `thread` loads.
	local function depends_on(entry, thread)
		while entry do
			if entry.thread == thread then
				return true
			end
			entry = stuck_on[entry.thread]
		end
		return false
	end

	local function wait_for(name, entry, thread)
		if depends_on(entry, thread) then
			error "circular dependency"
		end
		local skynet = loaded.skynet
		entry[#entry + 1] = thread
		stuck_on[thread] = entry
		while loading[name] == entry do
			skynet.wait(thread)
		end
		stuck_on[thread] = nil
		if loaded[name] == nil then
			error(string.format("require %s failed", name))
		end
		return loaded[name]
	end

	local function run_module(name, filename, thread)
		local chunk, complaint = loadfile(filename)
		if not chunk then
			error(string.format("error loading module '%s' from file '%s':\n\t%s", name, filename, complaint), 0)
		end
		local outer, mine = initialisers[thread], {}
		initialisers[thread] = mine
		local ok, value = xpcall(function()
			local result = chunk(name, filename)
			initialisers[thread] = outer
			for _, f in ipairs(mine) do
				f()
			end
			return result
		end, debug.traceback)
		if not ok then
			initialisers[thread] = outer
			error(value, 0)
		end
		return value
	end

	local function load_in_thread(name, filename, thread)
		local entry = { thread = thread }
		loading[name] = entry
		local guard <close> = setmetatable({}, { __close = function()
			-- also when the thread is killed half way: whoever waits must learn about it
			loading[name] = nil
			for _, waiter in ipairs(entry) do
				loaded.skynet.wakeup(waiter)
			end
		end })
		local value = run_module(name, filename, thread)
		if value ~= nil then
			loaded[name] = value
		elseif loaded[name] == nil then
			loaded[name] = true
		end
		return loaded[name]
	end

	return function(name)
		local thread = coroutine.running()
		local entry = loading[name]
		if entry then
			return wait_for(name, entry, thread)
		end
		local filename = package.searchpath(name, package.path)
		if not filename then
			return standard_require(name)
		end
		return load_in_thread(name, filename, thread)
	end
end

local load_in_thread

local M = {}

function M.require(name)
	local value = loaded[name]
	if value then
		return value
	end
	if not coroutine.isyieldable() or preload[name] ~= nil then
		return standard_require(name)
	end
	load_in_thread = load_in_thread or loader_in_threads()
	return load_in_thread(name)
end

-- skynet.init
function M.init(f)
	assert(type(f) == "function")
	local list = initialisers[(coroutine.running())]
	if not list then
		error("skynet.init must be called while the service or a module is being loaded", 2)
	end
	list[#list + 1] = f
end

-- Runs what the service's main chunk registered; called once, by the thread that starts the service.
function M.init_all()
	local list = initialisers[main_thread]
	initialisers[main_thread] = nil
	for _, f in ipairs(list or {}) do
		f()
	end
end

return M
