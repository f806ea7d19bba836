-- upstream: no (a table as a key, a table at several paths, errors that upstream does not look at)
-- skynet.sharetable and its core: what only ours takes, and trees of some size.

local skynet = require "skynet"
local memory = require "skynet.memory"
local sharetable = require "skynet.sharetable"
local core = require "skynet.sharetable.core"
local check = dofile "./test/lua/support/check.lua"

local eq, raises = check.eq, check.raises

-- A service that has no room for the message of an error.
if (...) == "poor" then
	skynet.memlimit(2 << 20)
	skynet.start(function()
		skynet.dispatch("lua", function()
			local before, ok, text = memory.current(), nil, nil
			for _ = 1, 30 do
				ok, text = pcall(core.matrix, "error(('x'):rep(3 << 20))")
			end
			skynet.ret(skynet.pack(ok, text, memory.current() - before))
		end)
	end)
	return
end

check.run(function()
	check.case("tables as keys", function()
		local m = core.matrix "return { [{ 'key', { deep = true } }] = { 'value' }, 1 }"
		local t = core.clone(m:getptr())
		for k, v in pairs(t) do
			if type(k) == "table" then
				eq(core.is_sharedtable(k) and core.is_sharedtable(k[2]) and k[1], "key")
				eq(core.is_sharedtable(v) and v[1], "value")
			end
		end
	end)
	check.case("a long chain", function()
		local m = core.matrix [[
			local t = {}
			for i = 1, 100000 do t = { t } end
			return t
		]]
		local t, n = core.clone(m:getptr()), 0
		while t do t, n = t[1], n + 1 end
		eq(n, 100001)
	end)
	check.case("an error whose message does not fit leaves nothing behind", function()
		local poor = skynet.newservice("sharetable", "poor")
		local ok, text, grown = skynet.call(poor, "lua")
		eq(ok, false)
		eq(text, "not enough memory")
		assert(grown < 30 << 20, grown)	-- 0 in a build that does not count
		skynet.send(poor, "debug", "EXIT")
	end)
	check.case("an error that is no text", function()
		raises("(error object is a table value)", core.matrix, "error {}")
		raises("told", core.matrix, "error(setmetatable({}, { __tostring = function() return 'told' end }))")
		raises("again", core.matrix, "error(setmetatable({}, { __tostring = function() error 'again' end }))")
		raises("12", core.matrix, "error(12)")
	end)
	check.case("clone", function()
		local m = core.matrix "return {}"
		raises("light userdata expected, got BOXMATRIXSTATE", core.clone, m)
		raises("light userdata expected, got no value", core.clone)
		m:close()
	end)
	check.case("update of a table with several paths", function()
		-- the order of the paths is that of the hashes, which differ from process to process: many names
		for i = 1, 20 do
			local name = "paths" .. i
			sharetable.loadstring(name, ([[
				local s = { v = 1, below = { v = 1 } }
				return { gone%d = s, deep%d = { s }, keep%d = s }
			]]):format(i, i, i))
			local old = sharetable.query(name)
			local s, deep, below = old["keep" .. i], old["deep" .. i], old["keep" .. i].below
			sharetable.loadstring(name, ([[
				return { keep%d = { v = 2, below = { v = 2 } } }
			]]):format(i))
			sharetable.update(name)
			eq(s and s.v, 2)
			eq(below and below.v, 2)
			eq(deep, nil)
		end
	end)
end)
