-- skynet.manager: adds to `skynet` what manages other services and names, and two other ways to start.

local skynet = require "skynet"
local core = require "skynet.core"

-- Creates a service from a C module, past the launcher.
function skynet.launch(module, ...)
	local words = { module, ... }
	for i = 1, select("#", module, ...) do
		words[i] = tostring(words[i])
	end
	return core.addresscommand("LAUNCH", table.concat(words, " "))
end

function skynet.kill(name)
	local handle = name
	if type(name) == "string" then
		if name:sub(1, 1) ~= ":" then
			core.command("KILL", name)
			return
		end
		handle = tonumber(name:sub(2), 16)
	end
	if handle then
		skynet.send(".launcher", "lua", "REMOVE", handle, true)
		name = skynet.address(handle)
	end
	core.command("KILL", name)
end

function skynet.abort()
	core.command "ABORT"
end

-- True if the name has been dealt with here: it is local.
local function is_local(name)
	local first = name:sub(1, 1)
	assert(first ~= ":")
	if first == "." then
		return true
	end
	assert(#name < 16 and tonumber(name) == nil)
	return false
end

function skynet.register(name)
	if is_local(name) then
		core.command("REG", name)
	else
		skynet.send(".cslave", "lua", "REGISTER", name, skynet.self())
	end
end

function skynet.name(name, handle)
	if is_local(name) then
		core.command("NAME", name .. " " .. skynet.address(handle))
	else
		skynet.send(".cslave", "lua", "REGISTER", name, handle)
	end
end

local function start_soon(func)
	skynet.timeout(0, function()
		skynet.init_service(func)
	end)
end

-- `map` turns proto ids into others; messages of those belong to their handler, which must free them.
function skynet.forward_type(map, func)
	local dispatch, trash = skynet.dispatch_message, core.trash
	core.callback(function(ptype, msg, sz, session, source)
		local target = map[ptype]
		if target then
			dispatch(target, msg, sz, session, source)
			return
		end
		local ok, reason = pcall(dispatch, ptype, msg, sz, session, source)
		trash(msg, sz)
		if not ok then
			error(reason, 0)
		end
	end, true)
	start_soon(func)
end

-- Every message goes through f(type, msg, sz, session, source), and what that returns is dispatched.
function skynet.filter(f, func)
	local dispatch = skynet.dispatch_message
	core.callback(function(...)
		dispatch(f(...))
	end)
	start_soon(func)
end

function skynet.monitor(service, query)
	local find = query and skynet.queryservice or skynet.uniqueservice
	local handle = assert(find(true, service), "Monitor launch failed")
	core.command("MONITOR", skynet.address(handle))
	return handle
end

return skynet
