-- A node that ends as soon as it has started; the driver takes the times.

local skynet = require "skynet"
require "skynet.manager"

skynet.start(function()
	print "STOPPING"
	skynet.abort()
end)
