-- Tells the watchdog every 20 centiseconds that time goes on; the watchdog passes it on to the players.
local skynet = require "skynet"

local INTERVAL <const> = 20 -- centiseconds

local watchdog = tonumber((...))
local beats = 0

local function beat()
	beats = beats + 1
	skynet.send(watchdog, "lua", "tell_all", "TICK " .. beats)
	skynet.timeout(INTERVAL, beat)
end

skynet.start(function()
	skynet.timeout(INTERVAL, beat)
end)
