-- upstream: no (a table as a key, a table at several paths)
-- skynet.sharetable and its core: what only ours takes, and trees of some size.

local sharetable = require "skynet.sharetable"
local core = require "skynet.sharetable.core"
local check = dofile "./test/lua/support/check.lua"

local eq = check.eq

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
