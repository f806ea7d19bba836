-- service_provider (unique): keeps the singletons of skynet.service by name.

local skynet = require "skynet"

-- name -> entry:
--   handle	of its service, once there is one; `ready` when it has run its function
--   booting	the service is being made
--   failure	why it could not be made; remembered until it is closed
--   since	skynet.time() when it got ready or failed
--   waiters	responses
local entries = {}

local command = {}

local function entry_of(name)
	local entry = entries[name]
	if not entry then
		entry = { waiters = {} }
		entries[name] = entry
	end
	return entry
end

local function settled(entry)
	if entry.failure then
		error(entry.failure, 0)
	end
	return entry.ready and entry.handle
end

local function boot(entry, name, code, ...)
	entry.handle = skynet.newservice("service_cell", name)
	skynet.call(entry.handle, "lua", "init", code, ...)
end

-- Ends the boot of an entry, well or not, for all who wait.
local function settle(entry, ok, reason)
	entry.booting = nil
	entry.since = skynet.time()
	if ok then
		entry.ready = true
	else
		entry.failure = tostring(reason)
		if entry.handle then
			skynet.send(entry.handle, "debug", "EXIT")
		end
	end
	local waiters = entry.waiters
	entry.waiters = {}
	for _, respond in ipairs(waiters) do
		respond(ok, entry.handle)
	end
end

function command.launch(name, code, ...)
	local entry = entry_of(name)
	if not settled(entry) and not entry.booting then
		entry.booting = true
		settle(entry, xpcall(boot, debug.traceback, entry, name, code, ...))
	end
	command.query(name)
end

function command.query(name)
	local entry = entry_of(name)
	local handle = settled(entry)
	if handle then
		skynet.retpack(handle)
	else
		table.insert(entry.waiters, skynet.response())
	end
end

function command.test(name)
	local entry = entries[name]
	if not entry then
		skynet.retpack(nil)
		return
	end
	local handle = settled(entry)
	if handle then
		skynet.retpack(handle)
	else
		skynet.retpack(nil, entry.booting)
	end
end

function command.close(name)
	local entry = entries[name]
	if entry and (entry.ready or entry.failure) then
		entries[name] = nil
		skynet.retpack(entry.ready and entry.handle or nil)
	else
		skynet.retpack(nil)
	end
end

local function clock_text(time)
	return os.date("%Y %b %d %T %z", math.floor(time))
end

skynet.info_func(function()
	local info, booting = {}, {}
	for name, entry in pairs(entries) do
		if entry.handle then
			local row = {
				name = name,
				time = entry.since and clock_text(entry.since),
				status = entry.booting and "booting" or entry.failure,
			}
			info[skynet.address(entry.handle)] = row
			booting[row] = entry.booting and entry.handle or nil
		end
	end
	for row, handle in pairs(booting) do
		row.init = skynet.call(handle, "debug", "TASK")	-- where its function is
	end
	return info
end)

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		assert(command[name])(...)
	end)
end)
