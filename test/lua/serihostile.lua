-- Input that lies about its sizes: an error, promptly and without reserving what it claims.
-- upstream: no it reserves what a size claims, and takes minutes or gigabytes

local core = require "skynet.core"
local check = dofile "./test/lua/support/check.lua"

local raises, bytes = check.raises, check.bytes

local function promptly(name, hexed)
	check.case(name, function()
		collectgarbage()
		local before = collectgarbage "count"
		raises("Invalid serialize stream", core.unpack, bytes(hexed))
		assert(collectgarbage "count" - before < 1000, "memory reserved")
	end)
end

check.run(function()
	promptly("string of 4 GiB", "25 ff ff ff ff 41")
	promptly("array of 2^30 items", "fe 22 ff ff ff 3f 0a 01")
	promptly("array of 2^31-1 items", "fe 22 ff ff ff 7f 0a 01")
	promptly("array of 2^63-1 items", "fe 32 ff ff ff ff ff ff ff 7f 0a 01")
	promptly("many arrays", ("fe 22 ff ff ff 3f "):rep(20))
	check.case("negative array size", function()
		check.eq(core.unpack(bytes "fe 22 ff ff ff ff 00"), {})
		check.eq(core.unpack(bytes "fe 32 00 00 00 00 00 00 00 80 00"), {})
	end)
	check.case("endless nesting", function()
		for _, item in ipairs { "\x0e", "\x06", "\xfe\x0a\x01" } do
			local ok, err = pcall(core.unpack, item:rep(1000000))
			assert(not ok)
			assert(err:find("stack overflow", 1, true) or err:find("Invalid serialize stream", 1, true), err)
		end
	end)
	check.case("random bytes", function()
		math.randomseed(7)
		for _ = 1, 5000 do
			local t = {}
			for i = 1, math.random(40) do t[i] = string.char(math.random(0, 255)) end
			local ok, err = pcall(core.unpack, table.concat(t))
			assert(ok or err:find("Invalid serialize stream", 1, true) or err:find("index is NaN", 1, true), err)
		end
	end)
end)
