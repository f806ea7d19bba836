-- bootstrap: the first service; starts the node's own services, then the one named by config key `start`, and ends.

local skynet = require "skynet"
require "skynet.manager"

-- A node that cannot start these is of no use.
local function must(ok, ...)
	if not ok then
		skynet.error(...)
		skynet.abort()
		skynet.exit()
	end
	return ...
end

local function launch_harbor()
	local standalone = skynet.getenv "standalone"
	local slave
	if (tonumber(skynet.getenv "harbor") or 0) == 0 then
		assert(standalone == nil)
		skynet.setenv("standalone", "true")
		slave = must(pcall(skynet.newservice, "cdummy"))
	else
		if standalone then
			must(pcall(skynet.newservice, "cmaster"))
		end
		slave = must(pcall(skynet.newservice, "cslave"))
	end
	skynet.name(".cslave", slave)
end

local function init_tls()
	local service = require "skynet.service"
	service.new("ltls_holder", function()
		local tls = require "ltls.init.c"
		tls.constructor()
	end)
end

skynet.start(function()
	local launcher = assert(skynet.launch("snlua", "launcher"))
	skynet.name(".launcher", launcher)

	launch_harbor()
	if skynet.getenv "standalone" then
		skynet.name("DATACENTER", skynet.newservice "datacenterd")
	end
	skynet.newservice "service_mgr"

	if skynet.getenv "enablessl" == "true" then
		init_tls()
	end

	pcall(skynet.newservice, skynet.getenv "start" or "main")
	skynet.exit()
end)
