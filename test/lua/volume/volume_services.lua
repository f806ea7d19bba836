-- Rounds of services that are created, asked once and told to exit. Started by test/volume.rs, which
-- provides the C service `total` (it answers with the number of live contexts) and reads the figures
-- of each round from the log.
local skynet = require "skynet"
require "skynet.manager"
local memory = require "skynet.memory"

local ROUNDS <const> = 5
local COUNT <const> = 200

local role = ...

-- Everything that is allocated, virtual machines included: what the allocator says, or else what the
-- system has given to the process.
local function allocated()
	local bytes = memory.jestat()["stats.allocated"] or 0
	if bytes == 0 then
		for line in io.lines "/proc/self/status" do
			local resident = line:match "^VmRSS:%s*(%d+)"
			bytes = resident and tonumber(resident) * 1024 or bytes
		end
	end
	return bytes
end

if role == "guest" then
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, cmd, n)
			if cmd == "exit" then
				skynet.exit()
			else
				skynet.retpack(n * 2)
			end
		end)
	end)
	return
end

skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	pack = function(text) return text end,
	unpack = skynet.tostring,
}

local function run()
	local total = skynet.launch "total"
	local function live()
		return tonumber(skynet.call(total, "text", "?"))
	end
	-- bootstrap, which waits until we have started, goes now; test/volume.rs names the seven that stay.
	for _ = 1, 1000 do
		if live() <= 7 then
			break
		end
		skynet.sleep(1)
	end
	local before = live()
	skynet.error("before", before)

	for round = 1, ROUNDS do
		local guests = {}
		local answered = 0
		for i = 1, COUNT do
			guests[i] = skynet.newservice("volume_services", "guest")
		end
		for i, guest in ipairs(guests) do
			if skynet.call(guest, "lua", "ask", i) == i * 2 then
				answered = answered + 1
			end
		end
		local most = live()
		for _, guest in ipairs(guests) do
			skynet.send(guest, "lua", "exit")
		end
		-- They go in their own time.
		for _ = 1, 1000 do
			if live() <= before then
				break
			end
			skynet.sleep(1)
		end
		local gone = 0
		for _, guest in ipairs(guests) do
			if not pcall(skynet.call, guest, "lua", "ask", 1) then
				gone = gone + 1
			end
		end
		guests = nil
		collectgarbage()
		collectgarbage()
		local left = live() - before
		skynet.error("round", round, answered, most - before, gone, left, memory.total(), memory.block(), allocated())
	end
	skynet.error "complete"
end

skynet.start(function()
	skynet.fork(run)
end)
