-- debug_agent: stands between one client of the debug console and the service it debugs (skynet.remotedebug).

local skynet = require "skynet"
local debugchannel = require "skynet.debugchannel"

local channel

local command = {}

-- Answered when the session is over.
function command.start(address, fd)
	assert(channel == nil, "start more than once")
	local handle
	channel, handle = debugchannel.create()
	skynet.error("Attach to " .. skynet.address(address))
	local ok = pcall(skynet.call, address, "debug", "REMOTEDEBUG", fd, handle)
	if ok then
		skynet.retpack(true)
	else
		skynet.retpack(false, "Debugger attach failed")
	end
	skynet.exit()
end

function command.cmd(line)
	channel:write(line)
end

function command.ping()
	skynet.ret()
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		command[name](...)
	end)
end)
