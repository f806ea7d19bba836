-- upstream: no (a table as a key)
-- skynet.sharetable.core: what only ours takes, and trees of some size.

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
end)
