-- A node with something of everything, that aborts in the middle of it. Started by test/storm.rs, which says
-- when: `storm_delay` is in milliseconds.
local skynet = require "skynet"
require "skynet.manager"
local socket = require "skynet.socket"

local SERVICES <const> = 6

local role, number = ...

local function peer()
	return skynet.localname(".load" .. math.random(SERVICES))
end

if role == "peer" then
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, n)
			skynet.retpack(n)
		end)
		skynet.register(".load" .. number)
		for i = 1, 200 do
			skynet.timeout(i, function() end)
		end
		for _ = 1, 4 do
			skynet.fork(function()
				while true do
					local to = peer()
					if to then
						pcall(skynet.call, to, "lua", 1)
					else
						skynet.sleep(1)
					end
				end
			end)
		end
	end)
	return
end

local function echoes(port)
	local listener = socket.listen("127.0.0.1", port)
	socket.start(listener, function(id)
		socket.start(id)
		while true do
			local text = socket.read(id)
			if not text then
				break
			end
			socket.write(id, text)
		end
		socket.close(id)
	end)
	for _ = 1, 4 do
		skynet.fork(function()
			local id = socket.open("127.0.0.1", port)
			while id and socket.write(id, ("x"):rep(1000)) and socket.read(id) do
			end
		end)
	end
end

skynet.start(function()
	local delay = tonumber(skynet.getenv "storm_delay")
	local abort = function()
		-- Not only at the begin of a tick.
		local limit = skynet.hpc() + delay % 10 * 1000000
		while skynet.hpc() < limit do
		end
		skynet.error "STORM abort"
		skynet.abort()
	end
	if delay < 10 then
		skynet.fork(abort)
	else
		skynet.timeout(delay // 10, abort)
	end
	skynet.fork(echoes, tonumber(skynet.getenv "port"))
	for n = 1, SERVICES do
		skynet.newservice("storm_load", "peer", n)
	end
end)
