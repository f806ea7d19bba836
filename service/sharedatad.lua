-- sharedatad (unique): keeps the data of skynet.sharedata, one tree for each name.

local skynet = require "skynet"
local codecache = require "skynet.codecache"
local host = require "skynet.sharedata.corelib".host

codecache.mode "OFF"	-- a data file is read anew each time

local MINUTE = 60 * 100
local CYCLE = 10	-- minutes between two looks at old trees, unless one was replaced

local LATER = {}	-- a command's result: somebody else will answer

local current = {}	-- name -> { ptr = , waiting = { address -> response }, count = , limit = }
local old = {}	-- trees that some service may still hold
local wait = CYCLE

local function evaluate(value, ...)
	local kind = type(value)
	if kind == "table" then
		return value
	end
	local env = setmetatable({}, { __index = _G })
	if kind == "string" then
		local f
		if value:sub(1, 1) == "@" then
			f = assert(loadfile(value:sub(2), "bt", env))
		else
			f = assert(load(value, "=" .. value, "bt", env))
		end
		local result = f(...)
		if type(result) == "table" then
			return result
		end
	elseif kind ~= "nil" then
		error("Unknown data type " .. kind)
	end
	return setmetatable(env, nil)
end

local function answer(entry, ptr)
	for _, response in pairs(entry.waiting) do
		if ptr then
			host.incref(ptr)
		end
		if not response(true, ptr) and ptr then
			host.decref(ptr)	-- its service is gone
		end
	end
	entry.waiting = {}
end

local function retire(entry, ptr)
	host.markdirty(entry.ptr)
	answer(entry, ptr)
	old[entry.ptr] = true
	wait = 1
end

local function create(name, ...)
	local entry = { ptr = host.new(evaluate(...)), waiting = {}, count = 0, limit = 32 }
	local before = current[name]
	current[name] = entry
	if before then
		retire(before, entry.ptr)
	end
end

local command = {}

function command.new(name, ...)
	assert(current[name] == nil)
	create(name, ...)
end

command.update = create

function command.delete(name)
	local entry = assert(current[name])
	current[name] = nil
	retire(entry, nil)
end

function command.query(name)
	local entry = assert(current[name], name)
	host.incref(entry.ptr)
	return entry.ptr
end

function command.confirm(ptr)
	host.decref(ptr)
end

-- Forgets monitors whose services have ended.
local function prune(entry)
	local kept, n = {}, 0
	for key, response in pairs(entry.waiting) do
		if response "TEST" then
			kept[key] = response
			n = n + 1
		end
	end
	entry.waiting, entry.count, entry.limit = kept, n, math.max(32, n * 2)
end

function command.monitor(name, ptr)
	local entry = assert(current[name], name)
	if entry.ptr ~= ptr then
		host.incref(entry.ptr)
		return entry.ptr
	end
	if entry.count >= entry.limit then
		prune(entry)
	end
	entry.count = entry.count + 1
	local response = skynet.response()
	entry.waiting[response] = response
	return LATER
end

local function sweep()
	skynet.timeout(MINUTE, sweep)
	wait = wait - 1
	if wait > 0 then
		return
	end
	wait = CYCLE
	collectgarbage()
	for ptr in pairs(old) do
		if host.getref(ptr) <= 0 then
			old[ptr] = nil
			host.delete(ptr)
		end
	end
end

skynet.start(function()
	skynet.timeout(MINUTE, sweep)
	skynet.dispatch("lua", function(session, _, name, ...)
		local result = command[name](...)
		if session ~= 0 and result ~= LATER then
			skynet.ret(skynet.pack(result))
		end
	end)
end)
