-- upstream: no (drop, refresh, stat)
-- skynet.codecache: what is read again and when, and that compiled files go when nobody uses them.

local skynet = require "skynet"
local cache = require "skynet.codecache"
local memory = require "skynet.memory"
local check = dofile "./test/lua/support/check.lua"

local eq, raises = check.eq, check.raises

local name = os.tmpname()
local function write(text)
	local file = assert(io.open(name, "w"))
	file:write(text)
	file:close()
end

if (...) == "user" then
	skynet.start(function()
		local f
		skynet.dispatch("lua", function(_, _, command, file)
			if command == "load" then
				f = assert(loadfile(file))
			elseif command == "drop" then
				f = nil
				collectgarbage()
			end
			skynet.ret(skynet.pack(f and f()))
		end)
	end)
	return
elseif (...) == "poor" then
	-- has no room for the message of an error
	skynet.memlimit(2 << 20)
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, file)
			local before, text = memory.current(), nil
			for _ = 1, 30 do
				text = select(-1, pcall(loadfile, file))
			end
			skynet.ret(skynet.pack(text, memory.current() - before))
		end)
	end)
	return
end

check.run(function()
	check.case("mode", function()
		eq(cache.mode(), "ON")
		eq(cache.mode(nil), "ON")
		eq(cache.loadfile, loadfile)
		eq(select(2, pcall(cache.mode, "X")):match "invalid option 'X'", "invalid option 'X'")
	end)
	check.case("a file is read once", function()
		write "return 1"
		local one = assert(loadfile(name))
		write "return 2, 2"
		eq(loadfile(name)(), 1)
		eq(one == loadfile(name), false)
		cache.mode "OFF"
		eq(loadfile(name)(), 2)
		cache.mode "EXIST"
		eq(loadfile(name)(), 1)
		cache.mode "ON"
		eq(cache.drop(name), true)
		eq(cache.drop(name), false)
		eq(loadfile(name)(), 2)
		eq(one(), 1)
	end)
	check.case("a failure is not kept", function()
		cache.drop(name)
		write "return ="
		eq(loadfile(name), nil)
		write "return 3"
		eq(loadfile(name)(), 3)
	end)
	check.case("a failure whose message does not fit leaves nothing behind", function()
		cache.drop(name)
		write("return x " .. ("y"):rep(3 << 20))	-- the message has all of the word
		local poor = skynet.newservice("codecache", "poor")
		local text, grown = skynet.call(poor, "lua", name)
		eq(text, "not enough memory")
		assert(grown < 30 << 20, grown)	-- 0 in a build that does not count
		skynet.send(poor, "debug", "EXIT")
		write "return 3"
	end)
	check.case("EXIST stores nothing", function()
		cache.drop(name)
		cache.mode "EXIST"
		eq(loadfile(name)(), 3)
		eq(cache.drop(name), false)
		cache.mode "ON"
	end)
	check.case("refresh", function()
		eq(loadfile(name)(), 3)
		cache.refresh()
		eq(cache.refresh(), 0)
		write "return 4444"
		eq(loadfile(name)(), 3)
		eq(cache.refresh(), 1)
		eq(loadfile(name)(), 4444)
	end)
	check.case("an environment", function()
		write "x = 1; return _ENV"
		cache.drop(name)
		local env = {}
		eq(loadfile(name, "t", env)() == env, true)
		eq(env.x, 1)
		eq(x, nil)
		eq(loadfile(name)() == _G, true)
		eq(x, 1)
	end)
	check.case("what nobody uses goes", function()
		cache.drop(name)
		collectgarbage()
		local before = cache.stat()
		write "local n = 7 return function() return n end"
		local made = loadfile(name)()
		eq(cache.stat().chunks, before.chunks + 1)
		cache.drop(name)
		collectgarbage()
		eq(cache.stat().chunks, before.chunks + 1)
		eq(made(), 7)
		made = nil
		collectgarbage()
		eq(cache.stat().chunks, before.chunks)
		eq(cache.stat().chunkbytes, before.chunkbytes)
	end)
	check.case("a young function keeps its file through minor collections", function()
		collectgarbage "generational"
		local before = cache.stat().chunks
		write "return function() return 8 end"
		local made = loadfile(name)()
		cache.drop(name)
		for _ = 1, 20 do
			for i = 1, 1000 do local _ = { i } end
			collectgarbage "step"
		end
		eq(made(), 8)
		eq(cache.stat().chunks, before + 1)
		made = nil
		collectgarbage()
		eq(cache.stat().chunks, before)
	end)
	check.case("next with a removed key of which there is a copy", function()
		-- made before the file has it as a constant
		local mine = { ("own_").."key1", ("own_").."key2", ("own_").."key3" }
		write "return { own_key1 = 1, own_key2 = 2, own_key3 = 3 }"
		cache.drop(name)
		local t = loadfile(name)()
		for _, key in ipairs(mine) do
			eq(t[key] ~= nil, true)
			t[key] = nil
		end
		collectgarbage()
		for _, key in ipairs(mine) do
			eq(next(t, key), nil)
		end
		raises("invalid key to 'next'", next, t, "no such " .. "key")
		eq(next(t), nil)
	end)
	check.case("another service", function()
		write "return 9"
		cache.drop(name)
		local user = skynet.newservice("codecache", "user")
		local before = cache.stat().chunks
		eq(skynet.call(user, "lua", "load", name), 9)
		cache.drop(name)
		eq(skynet.call(user, "lua", "run"), 9)
		eq(cache.stat().chunks, before + 1)
		skynet.call(user, "lua", "drop")
		eq(cache.stat().chunks, before)
		skynet.send(user, "debug", "EXIT")
	end)
	os.remove(name)
end)
