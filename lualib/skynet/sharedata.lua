-- skynet.sharedata: read-only data that all services share and see change; sharedatad keeps it.

local skynet = require "skynet"
local corelib = require "skynet.sharedata.corelib"

local M = {}

local sharedatad
skynet.init(function()
	sharedatad = skynet.uniqueservice "sharedatad"
end)

-- name -> object, while somebody in this service holds it
local objects = setmetatable({}, { __mode = "v" })

-- Waits for the next versions as long as there is an object to tell.
local function monitor(name, ptr)
	while true do
		local newer = skynet.call(sharedatad, "lua", "monitor", name, ptr)
		if newer == nil then
			objects[name] = nil
			return
		end
		local object = objects[name]
		if object then
			corelib.update(object, newer)
		end
		skynet.send(sharedatad, "lua", "confirm", newer)
		if not object then
			return
		end
		ptr = newer
	end
end

function M.query(name)
	local object = objects[name]
	if object then
		return object
	end
	local ptr = skynet.call(sharedatad, "lua", "query", name)
	object = objects[name]
	if not object then	-- nobody else came first
		object = corelib.box(ptr)
		objects[name] = object
		skynet.fork(monitor, name, ptr)
	end
	skynet.send(sharedatad, "lua", "confirm", ptr)
	return object
end

function M.new(name, value, ...)
	skynet.call(sharedatad, "lua", "new", name, value, ...)
end

function M.update(name, value, ...)
	skynet.call(sharedatad, "lua", "update", name, value, ...)
end

function M.delete(name)
	skynet.call(sharedatad, "lua", "delete", name)
end

function M.flush()
	for _, object in pairs(objects) do
		corelib.flush(object)
	end
	collectgarbage()
end

function M.deepcopy(name, ...)
	local object = objects[name]
	if object then
		return corelib.copy(corelib.address(object), ...)
	end
	local ptr = skynet.call(sharedatad, "lua", "query", name)
	local ok, copy = pcall(corelib.copy, ptr, ...)
	skynet.send(sharedatad, "lua", "confirm", ptr)
	if not ok then
		error(copy)
	end
	return copy
end

return M
