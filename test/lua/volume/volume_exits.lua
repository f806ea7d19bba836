-- Cycles of services that each load data and then all exit; the resident memory of the process at each step.
-- Started by test/memory.rs and by hand; any core can run it. Settings: cycles, services, bytes (of data
-- for each service), rest (seconds after a cycle).
local skynet = require "skynet"
require "skynet.manager"

if ... == "guest" then
	local data
	local command = {}
	-- Strings and tables, as a real service would have them.
	function command.load(bytes)
		data = {}
		local before = collectgarbage "count"
		for i = 1, math.huge do
			data[i] = { id = i, name = "item number " .. i, list = { i, i + 1, i + 2 } }
			if i % 64 == 0 and (collectgarbage "count" - before) * 1024 >= bytes then
				break
			end
		end
		skynet.retpack(#data)
	end
	function command.exit() skynet.exit() end
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, name, ...) command[name](...) end)
	end)
	return
end

local function setting(name, default) return tonumber(skynet.getenv(name) or default) end

local CYCLES <const> = setting("cycles", 10)
local SERVICES <const> = setting("services", 2000)
local BYTES <const> = setting("bytes", 1 << 20)
local REST <const> = setting("rest", 10)

-- Resident memory in KiB.
local function resident()
	for line in io.lines "/proc/self/status" do
		local kib = line:match "^VmRSS:%s*(%d+)"
		if kib then return tonumber(kib) end
	end
end

local function alive()
	local count = 0
	for _ in pairs(skynet.call(".launcher", "lua", "LIST")) do count = count + 1 end
	return count
end

local function run()
	-- The bootstrap service goes now.
	skynet.sleep(50)
	local others = alive()
	collectgarbage()
	skynet.error("start", resident())
	for cycle = 1, CYCLES do
		local guests = {}
		for i = 1, SERVICES do
			guests[i] = skynet.newservice("volume_exits", "guest")
			skynet.call(guests[i], "lua", "load", BYTES)
		end
		local peak = resident()
		for _, guest in ipairs(guests) do skynet.send(guest, "lua", "exit") end
		guests = nil
		while alive() > others do skynet.sleep(10) end
		collectgarbage()
		local gone = resident()
		local after = gone
		for _ = 1, REST do
			skynet.sleep(100)
			after = resident()
		end
		skynet.error("cycle", cycle, peak, gone, after)
	end
	skynet.error "complete"
	skynet.sleep(20)	-- for the log
	skynet.abort()
end

skynet.start(function() skynet.fork(run) end)
