-- skynet.multicast: channels that any service may publish to and subscribe; multicastd delivers.

local skynet = require "skynet"
local core = require "skynet.multicast.core"

local multicastd	-- the node's service
-- channel id -> the object that gets its messages; an object that nobody holds any more unsubscribes itself
local receivers = setmetatable({}, { __mode = "v" })

local channel = {}
channel.__index = channel

function channel:__tostring()
	return string.format("[Multicast:%x]", self.channel or 0)
end

function channel:publish(...)
	local id = assert(self.channel)
	skynet.call(multicastd, "lua", "PUB", id, core.pack(self.__pack(...)))
end

function channel:subscribe()
	local id = assert(self.channel)
	if self.__subscribed then
		return
	end
	self.__subscribed = true
	receivers[id] = self	-- messages may arrive before the answer
	skynet.call(multicastd, "lua", "SUB", id)
end

function channel:unsubscribe()
	if not self.__subscribed then
		return
	end
	self.__subscribed = false
	local id = assert(self.channel)
	local receiver = receivers[id]
	if receiver == self or receiver == nil then	-- nil: while it is being collected
		receivers[id] = nil
		skynet.send(multicastd, "lua", "USUB", id)
	end
end

function channel:delete()
	local id = assert(self.channel)
	skynet.send(multicastd, "lua", "DEL", id)
	if receivers[id] == self then
		receivers[id] = nil
	end
	self.channel = nil
	self.__subscribed = false
end

channel.__gc = channel.unsubscribe

local M = {}

function M.new(conf)
	assert(multicastd, "Init first")
	conf = conf or {}
	return setmetatable({
		channel = conf.channel or skynet.call(multicastd, "lua", "NEW"),
		__pack = conf.pack or skynet.pack,
		__unpack = conf.unpack or skynet.unpack,
		__dispatch = conf.dispatch,
		__subscribed = false,
	}, channel)
end

-- The payload lives until its package is closed.
local function open_package(unpack, content, msg, size)
	local values = table.pack(pcall(unpack, msg, size))
	core.close(content)
	if not values[1] then
		error(values[2], 0)
	end
	return table.unpack(values, 2, values.n)
end

-- A message carries its channel where others have the session.
local function receive(id, source, content, msg, size)
	skynet.ignoreret()
	local receiver = receivers[id]
	if receiver and receiver.__dispatch then
		receiver.__dispatch(receiver, source, open_package(receiver.__unpack, content, msg, size))
	else
		core.close(content)
	end
end

skynet.init(function()
	multicastd = skynet.uniqueservice "multicastd"
	skynet.register_protocol {
		name = "multicast",
		id = skynet.PTYPE_MULTICAST,
		unpack = core.unpack,
		dispatch = receive,
	}
end)

return M
