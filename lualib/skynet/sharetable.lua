-- skynet.sharetable: tables that all services of the process read in place.  A manager service makes and keeps them.

local skynet = require "skynet"
local service = require "skynet.service"
local core = require "skynet.sharetable.core"

-- The manager.  It travels as byte code, so it captures nothing.
local function manager()
	local skynet = require "skynet"
	local core = require "skynet.sharetable.core"

	local current = {}	-- name -> version
	local versions = {}	-- version -> true, of all that live
	local clients = {}	-- address -> { [version] = true }

	local function release(version)
		if next(version.users) == nil and current[version.name] ~= version then
			versions[version] = nil
			skynet.error(string.format("Delete a version (%s) of %s", version.ptr, version.name))
			version.matrix:close()
		end
	end

	local function publish(name, ...)
		local matrix = core.matrix(...)
		local version = {
			name = name, matrix = matrix, ptr = matrix:getptr(), size = matrix:size(), users = {},
		}
		local old = current[name]
		versions[version] = true
		current[name] = version
		if old then
			release(old)
		end
	end

	local function use(address, version)
		local held = clients[address]
		if not held then
			held = {}
			clients[address] = held
		end
		held[version] = true
		version.users[address] = true
		return version.ptr
	end

	local command = {}

	function command.loadfile(_, name, ...)
		publish(name, "@" .. name, ...)
	end

	function command.loadstring(_, name, source, ...)
		publish(name, source, ...)
	end

	function command.loadtable(_, name, ptr, size)
		local ok, err = pcall(publish, name, "local unpack, ptr, size = ... return unpack(ptr, size)",
			skynet.unpack, ptr, size)
		skynet.trash(ptr, size)
		assert(ok, err)
	end

	function command.query(address, name)
		local version = current[name]
		return version and use(address, version)
	end

	function command.queryall(address, names)
		local found = {}
		if names then
			for _, name in ipairs(names) do
				found[name] = command.query(address, name)
			end
		else
			for name, version in pairs(current) do
				found[name] = use(address, version)
			end
		end
		return found
	end

	-- The state of a client has closed; whatever it did in its last moments, it reads nothing any more.
	local function closed(address)
		local held = clients[address]
		clients[address] = nil
		for version in pairs(held or {}) do
			version.users[address] = nil
			release(version)
		end
	end

	skynet.info_func(function()
		local info = {}
		for name, version in pairs(current) do
			info[name] = { current = version.ptr, size = version.size }
		end
		for version in pairs(versions) do
			if current[version.name] ~= version then
				local of = info[version.name]
				local ptr = tostring(version.ptr)
				of.history = of.history and of.history .. "\n\t" .. ptr or ptr
			end
		end
		return info
	end)

	skynet.start(function()
		skynet.dispatch("lua", function(_, source, name, ...)
			if name == "closed" then
				return closed(source)
			end
			skynet.ret(skynet.pack(command[name](source, ...)))
		end)
	end)
end

-- Lets the manager know when this VM is gone, however the service ends.
local function promise(address)
	local message = skynet.packstring "closed"
	if core.atclose then
		core.atclose(address, message)
	else	-- a module that is not ours: finalizers of what is older than this one come too late
		local send = require "skynet.core".send
		local function closing()
			send(address, skynet.PTYPE_LUA, 0, message)
		end
		debug.getregistry()[promise] = setmetatable({}, { __gc = closing })
	end
end

local M = setmetatable({}, {
	__index = function(self, key)
		if key == "address" then
			local address = service.new("sharetable", manager)
			promise(address)
			self.address = address
			return address
		end
	end,
})

-- name -> the set of versions that this service has seen and not replaced
local seen = {}

local function see(name, ptr)
	local root = core.clone(ptr)
	seen[name] = seen[name] or {}
	seen[name][root] = true
	return root
end

function M.loadfile(filename, ...)
	skynet.call(M.address, "lua", "loadfile", filename, ...)
end

function M.loadstring(name, source, ...)
	skynet.call(M.address, "lua", "loadstring", name, source, ...)
end

function M.loadtable(name, tbl)
	assert(type(tbl) == "table")
	skynet.call(M.address, "lua", "loadtable", name, skynet.pack(tbl))
end

function M.query(name)
	local ptr = skynet.call(M.address, "lua", "query", name)
	return ptr and see(name, ptr)
end

function M.queryall(names)
	local tables = {}
	for name, ptr in pairs(skynet.call(M.address, "lua", "queryall", names)) do
		tables[name] = see(name, ptr)
	end
	return tables
end

-- ---- replacing what is old, everywhere in this VM ----

local NONE = {}	-- in the place of a table that has no successor

-- old table -> the table at the same path, of a table and all below it.  Of several paths the first with a successor
-- counts, in whatever order they come; below it there may be successors where there were none before.
local function pair_up(old, new, map)
	local known = map[old]
	if known ~= nil and (known ~= NONE or new == NONE) then
		return
	end
	map[old] = new
	for key, value in next, old do
		if type(value) == "table" then
			local successor = new ~= NONE and rawget(new, key)
			pair_up(value, type(successor) == "table" and successor or NONE, map)
		end
	end
end

local walk = {}	-- type -> function(value, look); `look` tells what must stand in a place, and visits it

function walk.table(t, look)
	if core.is_sharedtable(t) then
		return
	end
	local meta = debug.getmetatable(t)
	local new, changed = look(meta)
	if changed then
		debug.setmetatable(t, new)
	end
	local moved
	for key, value in next, t do
		new, changed = look(value)
		if changed then
			rawset(t, key, new)
		end
		local _, other = look(key)
		if other then
			moved = moved or {}
			moved[key] = true
		end
	end
	for key in next, moved or NONE do
		local value = rawget(t, key)
		rawset(t, key, nil)
		new = look(key)
		if new ~= nil then
			rawset(t, new, value)
		end
	end
end

walk["function"] = function(f, look)
	for i = 1, 255 do
		local name, value = debug.getupvalue(f, i)
		if not name then
			break
		end
		local new, changed = look(value)
		if changed then
			debug.setupvalue(f, i, new)
		end
	end
end

function walk.userdata(u, look)
	local new, changed = look(debug.getmetatable(u))
	if changed then
		debug.setmetatable(u, new)
	end
	local i = 1
	while true do
		local value, exists = debug.getuservalue(u, i)
		if not exists then
			break
		end
		new, changed = look(value)
		if changed then
			debug.setuservalue(u, new, i)
		end
		i = i + 1
	end
end

-- The locals, arguments and temporary values of one frame.
local function walk_frame(thread, level, look)
	for _, step in ipairs { 1, -1 } do
		local i = step
		while true do
			local name, value = debug.getlocal(thread, level, i)
			if not name then
				break
			end
			local new, changed = look(value)
			if changed then
				debug.setlocal(thread, level, i, new)
			end
			i = i + step
		end
	end
	look(debug.getinfo(thread, level, "f").func)
end

function walk.thread(thread, look)
	local level = 0
	if thread == coroutine.running() then
		-- from the caller of `update` on: the frames above hold the old tables on purpose
		repeat
			level = level + 1
		until debug.getinfo(level, "f").func == M.update
		local caller = level + 1
		while debug.getinfo(caller, "f") do
			-- two frames more count from inside walk_frame, one of them debug's own
			walk_frame(thread, caller + 1, look)
			caller = caller + 1
		end
		return
	end
	if not debug.getinfo(thread, 0, "f") then
		-- not started, or at its end: what is on the stack can be seen, not changed
		local values = {}
		for i = 1, core.stackvalues(thread, values) do
			look(values[i])
		end
		return
	end
	while debug.getinfo(thread, level, "f") do
		walk_frame(thread, level, look)
		level = level + 1
	end
end

local function replace(map)
	local done = { [map] = true, [seen] = true, [NONE] = true, [walk] = true }
	done[done] = true
	local work = {}
	done[work] = true
	local function look(value)
		local kind = type(value)
		if kind == "table" then
			local new = map[value]
			if new ~= nil then
				if new == NONE then
					new = nil
				end
				return new, true
			end
		end
		if walk[kind] and not done[value] then
			done[value] = true
			table.insert(work, value)
		end
		return value, false
	end
	done[look] = true
	look(debug.getregistry())
	look(coroutine.running())
	for _, value in ipairs { "", 0, true, print, coroutine.running() } do
		look(debug.getmetatable(value))
	end
	look(debug.getmetatable(nil))
	while #work > 0 do
		local value = table.remove(work)
		walk[type(value)](value, look)
	end
end

function M.update(...)
	local map = {}
	for _, name in ipairs { ... } do
		local old = seen[name]
		if old then
			local root = M.query(name)
			for version in pairs(old) do
				if version ~= root then
					pair_up(version, root or NONE, map)
					old[version] = nil
				end
			end
		end
	end
	if next(map) ~= nil then
		replace(map)
	end
end

return M
