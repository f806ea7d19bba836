-- skynet.coroutine: coroutines of the user's own inside a service thread.
-- A thread that blocks in the framework yields to the scheduler; when that happens inside a user coroutine, resume
-- below passes the yield on to its caller and the wake-up back in, so the user sees only the yields of this module.

local co_create, co_resume, co_yield = coroutine.create, coroutine.resume, coroutine.yield
local co_running, co_status, co_close = coroutine.running, coroutine.status, coroutine.close

local USER = "skynet.coroutine.yield"	-- see skynet.lua

-- user coroutine -> the framework thread it runs in (the last one it ran in when it rests); `false` before the
-- first resume
local owners = setmetatable({}, { __mode = "k" })
-- user coroutines that are stopped inside a framework call
local blocked = setmetatable({}, { __mode = "k" })

local M = {
	isyieldable = coroutine.isyieldable,
	running = co_running,
}

-- The framework thread that `co` is, or belongs to.
local function thread_of(co)
	local owner = owners[co]
	if owner == nil then
		return co, true
	end
	return owner or nil, false
end

function M.create(f)
	local co = co_create(f)
	owners[co] = false
	return co
end

function M.thread(co)
	return thread_of(co or co_running())
end

function M.yield(...)
	return co_yield(USER, ...)
end

local switch

local function yielded(_, ...)
	return true, ...
end

-- What a resumed coroutine came back with.
local function came_back(co, ok, ...)
	local signal = ...
	if ok and signal == USER then
		return yielded(...)
	elseif not ok or co_status(co) == "dead" then
		return ok, ...
	end
	blocked[co] = true
	return switch(co, co_yield(...))
end

function switch(co, ...)
	blocked[co] = nil
	return came_back(co, co_resume(co, ...))
end

function M.resume(co, ...)
	local owner = owners[co]
	if owner == nil then
		return false, "cannot resume none skynet coroutine"
	elseif blocked[co] then
		return false, "cannot resume a skynet coroutine suspend by skynet framework"
	elseif co_status(co) == "dead" then
		return false, "cannot resume dead coroutine"
	end
	owners[co] = thread_of(co_running()) or false
	return switch(co, ...)
end

function M.status(co)
	local status = co_status(co)
	if status == "suspended" and blocked[co] then
		return "blocked"
	end
	return status
end

local function unwrap(ok, ...)
	if ok then
		return ...
	end
	local reason = ...
	error(reason, type(reason) == "string" and 2 or 0)
end

function M.wrap(f)
	local co = M.create(f)
	return function(...)
		return unwrap(M.resume(co, ...))
	end
end

function M.close(co)
	owners[co] = nil
	blocked[co] = nil
	return co_close(co)
end

return M
