-- The demo's first service: starts the others, in the order they need each other.
local skynet = require "skynet"

skynet.start(function()
	local port = tonumber(skynet.getenv "demo_port")
	skynet.uniqueservice "store"
	local watchdog = skynet.newservice "watchdog"
	skynet.newservice("heartbeat", watchdog)
	skynet.call(watchdog, "lua", "listen", "127.0.0.1", port)
	skynet.error(string.format("demo server is ready on 127.0.0.1:%d", port))
	skynet.exit()
end)
