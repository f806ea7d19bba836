-- skynet.datacenter: a tree of values that the whole network shares, kept by the service DATACENTER.

local skynet = require "skynet"

local function request(command)
	return function(...)
		return skynet.call("DATACENTER", "lua", command, ...)
	end
end

return {
	get = request "QUERY",
	set = request "UPDATE",
	wait = request "WAIT",
}
