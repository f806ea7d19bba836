-- skynet.datasheet: plain tables that a builder, in some service, changes in place.

local skynet = require "skynet"
local service = require "skynet.service"
local core = require "skynet.datasheet.core"

local M = {}

local address
skynet.init(function()
	address = service.query "datasheet"	-- waits for the first builder
end)

local sheets = {}	-- name -> its table, or false if there was none when it was asked for
local asking = {}	-- name -> the threads that wait for the first answer

local function follow(name, document)
	local sheet = sheets[name]
	while true do
		local newer = skynet.call(address, "lua", "monitor", name, document)
		core.update(sheet, newer)
		skynet.send(address, "lua", "release", document)
		document = newer
	end
end

local function fetch(name)
	local ok, document = pcall(skynet.call, address, "lua", "query", name)
	sheets[name] = ok and core.new(document)
	if ok then
		skynet.fork(follow, name, document)
	end
end

function M.query(name)
	if sheets[name] == nil then
		local waiting = asking[name]
		if waiting then
			local thread = coroutine.running()
			table.insert(waiting, thread)
			skynet.wait(thread)
		else
			waiting = {}
			asking[name] = waiting
			fetch(name)
			asking[name] = nil
			for _, thread in ipairs(waiting) do
				skynet.wakeup(thread)
			end
		end
	end
	return sheets[name] or error("call failed: no datasheet " .. tostring(name))
end

return M
