-- A key-value store in memory, shared by all players.
local skynet = require "skynet"

local values = {}

local request = {}

function request.set(key, value)
	local before = values[key]
	values[key] = value
	return before
end

function request.get(key)
	return values[key]
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		skynet.retpack(request[name](...))
	end)
end)
