-- skynet.memory: the statistics of the message heap and its switches. The figures are zero in a build without jemalloc.

local skynet = require "skynet"
local core = require "skynet.core"
local memory = require "skynet.memory"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results = check.eq, check.raises, check.results

if ... == "busy" then
	-- Fills its Lua state, and is then in a message for as long as the test likes.
	local data
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, size)
			data = ("x"):rep(size)
			skynet.setenv("memory_busy", skynet.self())
			while not skynet.getenv "memory_done" do end
		end)
	end)
	return
elseif ... == "peer" then
	-- Passes a block on: it is charged to this service until somebody frees it.
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, size) skynet.retpack(driver.str2p(("x"):rep(size))) end)
	end)
	return
end

check.run(function()
	local counting = memory.total() > 0
	check.case("fields", function()
		local names = {}
		for name in pairs(memory) do
			if name ~= "left" and name ~= "map" then table.insert(names, name) end	-- ours
		end
		table.sort(names)
		eq(table.concat(names, " "), "block current dump dumpheap dumpinfo info jestat mallctl profactive total")
	end)
	check.case("totals", function()
		for _, name in ipairs { "total", "block", "current" } do
			local result = table.pack(memory[name]())
			eq(result.n, 1)
			eq(math.type(result[1]), "integer", name)
		end
	end)
	check.case("a large block is counted", function()
		local total, own, blocks = memory.total(), memory.current(), memory.block()
		local ptr, size = driver.str2p(("x"):rep(64 << 20))
		local more = { memory.total() - total, memory.current() - own, memory.block() - blocks }
		core.trash(ptr, size)
		if counting then
			-- Other services and the Lua string come and go beside it.
			assert(more[1] > 60 << 20 and more[1] < 300 << 20, more[1])
			assert(more[2] > 60 << 20 and more[2] < 300 << 20, more[2])
			assert(memory.current() - own < 30 << 20)
		else
			eq(more, { 0, 0, 0 })
		end
	end)
	check.case("a service pays for the files that it uses", function()
		local function cost()
			local services, before = {}, memory.total()
			for i = 1, 20 do services[i] = skynet.newservice("memory", "peer") end
			local bytes = memory.total() - before
			for _, service in ipairs(services) do skynet.kill(service) end
			return bytes // 20
		end
		cost()
		local few = cost()
		for i = 1, 3000 do
			local name = "./memory_file" .. i .. ".lua"
			local file = assert(io.open(name, "w"))
			assert(file:write("return ", i)):close()
			eq(dofile(name), i)
			os.remove(name)
		end
		local many = cost()
		assert(many < few + 10000, few .. " bytes, with 3,000 more files loaded " .. many)
	end)
	check.case("info", function()
		local ptr, size = driver.str2p(("x"):rep(1 << 20))
		local info = memory.info()
		local own = memory.current()
		core.trash(ptr, size)
		eq(type(info), "table")
		for handle, size in pairs(info) do
			eq(math.type(handle), "integer")
			eq(math.type(size), "integer")
		end
		eq(next(info) ~= nil, counting)
		if counting then
			assert(math.abs(info[skynet.self()] - own) < 1 << 18)
		end
	end)
	check.case("left by services that have ended", function()
		if not memory.left then return end	-- upstream's module
		local size = 1 << 20
		local peer = skynet.newservice("memory", "peer")
		local ptr, len = skynet.call(peer, "lua", size)
		eq(memory.left()[peer], nil)
		skynet.kill(peer)
		if not counting then
			core.trash(ptr, len)
			eq(memory.left(), {})
			return
		end
		local left = memory.left()[peer]
		assert(left.bytes >= size and left.blocks >= 1, left.bytes)
		eq(memory.left(1, 2)[skynet.self()], nil)
		core.trash(ptr, len)
		-- The service itself may still be on its way out.
		check.wait(function()
			local left = memory.left()[peer]
			return not left or left.bytes < size
		end)
	end)
	check.case("map", function()
		if not memory.map then return end	-- upstream's module
		if not memory.map() then return end	-- upstream's core
		local parts <const> = { "lua", "lua_ended", "c", "c_ended", "c_nobody", "uncounted", "thread_caches", "fragments",
			"free_pages", "metadata", "files", "stacks", "other" }
		collectgarbage()
		local map = memory.map(1, 2)
		local sum = -map.untouched
		for _, name in ipairs(parts) do
			eq(math.type(map[name]), "integer", name)
			sum = sum + map[name]
		end
		eq(map.sum, sum)
		for _, name in ipairs { "resident", "messages", "shared", "retained" } do
			eq(math.type(map[name]), "integer", name)
		end
		local tables = require "skynet.sharetable.core"
		local matrix = tables.matrix "local t = {} for i = 1, 20000 do t[i] = { 'text ' .. i } end return t"
		local more = memory.map().shared - map.shared
		assert(more >= matrix:size() and matrix:size() > 1 << 20, more)
		matrix:close()
		assert(memory.map().shared - map.shared < 1 << 18)
		local own = map.services[skynet.self()]
		assert(math.abs(own.lua - collectgarbage "count" * 1024) < 1 << 18, own.lua)
		eq(own.messages, 0)
		eq(own.c > 0, counting)
		-- A service that answers nobody.
		local size = 32 << 20
		local busy = skynet.newservice("memory", "busy")
		skynet.send(busy, "lua", size)
		check.wait(function() return skynet.getenv "memory_busy" end)
		skynet.send(busy, "lua", ("y"):rep(1 << 20))
		local now = memory.map()
		skynet.setenv("memory_done", "yes")
		skynet.kill(busy)
		assert(now.services[busy].lua >= size, now.services[busy].lua)
		assert(now.lua - map.lua >= size, now.lua)
		eq(now.services[busy].messages, 1)
		assert(now.messages >= 1 << 20, now.messages)
		check.wait(function() return not memory.map().services[busy] end)
	end)
	check.case("jestat", function()
		local stat = memory.jestat()
		local names = {}
		for name, value in pairs(stat) do
			table.insert(names, name)
			eq(math.type(value), "integer", name)
		end
		table.sort(names)
		eq(table.concat(names, " "), "stats.active stats.allocated stats.mapped stats.resident stats.retained")
		eq(stat["stats.allocated"] > 0, counting)
	end)
	check.case("mallctl", function()
		results(table.pack(memory.mallctl "no.such.setting"), 0)
		eq(math.type(memory.mallctl "stats.allocated"), "integer")
		raises("(string expected, got nil)", memory.mallctl, nil)
	end)
	check.case("reports", function()
		results(table.pack(memory.dump()))
		results(table.pack(memory.dumpinfo()))
		results(table.pack(memory.dumpinfo "bmda"))
		results(table.pack(memory.dumpinfo {}))
		results(table.pack(memory.dumpheap()))
	end)
	check.case("profactive", function()
		-- Without profiling support it stays false.
		eq(memory.profactive(), false)
		eq(memory.profactive(nil), false)
		eq(memory.profactive(false), false)
	end)
end)
