-- The seri format: every byte vector of the wire format, its limits, its errors, and round trips.

local core = require "skynet.core"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, hex, bytes = check.eq, check.raises, check.hex, check.bytes

--- Packs in both ways and checks that they agree.
local function pack(...)
	local text = core.packstring(...)
	local block, size = core.pack(...)
	assert(type(block) == "userdata" and math.type(size) == "integer")
	eq(core.tostring(block, size), text, "pack against packstring")
	core.trash(block, size)
	return text
end

--- Unpacks from a string and from a block and checks that they agree.
local function unpack_both(text)
	local from_string = table.pack(core.unpack(text))
	local block = core.packstring(text)
	local head = #block - #text
	local p, n = core.pack(text)
	-- A block that holds just the bytes: unpack the packed string and use str2p of the driver.
	core.trash(p, n)
	local driver = require "skynet.socketdriver"
	local ptr, size = driver.str2p(text)
	local from_block = table.pack(core.unpack(ptr, size))
	core.trash(ptr, size)
	assert(head >= 0)
	check.results(from_block, table.unpack(from_string, 1, from_string.n))
	return from_string
end

local function zeros(n)
	local t = {}
	for i = 1, n do t[i] = 0 end
	return t
end

local function vector(name, want, ...)
	local args = table.pack(...)
	check.case("vector " .. name, function()
		local text = pack(table.unpack(args, 1, args.n))
		eq(hex(text), hex(bytes(want)), "bytes")
		local back = unpack_both(text)
		eq(back.n, args.n, "values read back")
	end)
end

local function vectors()
	vector("nothing", "")
	vector("nil", "00", nil)
	vector("booleans", "09 01", true, false)
	vector("0", "02", 0)
	vector("1", "0a 01", 1)
	vector("255", "0a ff", 255)
	vector("256", "12 00 01", 256)
	vector("65535", "12 ff ff", 65535)
	vector("65536", "22 00 00 01 00", 65536)
	vector("2147483647", "22 ff ff ff 7f", 2147483647)
	vector("2147483648", "32 00 00 00 80 00 00 00 00", 2147483648)
	vector("-1", "22 ff ff ff ff", -1)
	vector("-2147483648", "22 00 00 00 80", -2147483648)
	vector("-2147483649", "32 ff ff ff 7f ff ff ff ff", -2147483649)
	vector("mininteger", "32 00 00 00 00 00 00 00 80", math.mininteger)
	vector("maxinteger", "32 ff ff ff ff ff ff ff 7f", math.maxinteger)
	vector("0.0", "42 00 00 00 00 00 00 00 00", 0.0)
	vector("-0.0", "42 00 00 00 00 00 00 00 80", -0.0)
	vector("1.0", "42 00 00 00 00 00 00 f0 3f", 1.0)
	vector("1.5", "42 00 00 00 00 00 00 f8 3f", 1.5)
	vector("huge", "42 00 00 00 00 00 00 f0 7f", math.huge)
	vector("-huge", "42 00 00 00 00 00 00 f0 ff", -math.huge)
	vector("empty string", "04", "")
	vector("hello", "2c 68 65 6c 6c 6f", "hello")
	vector("31 bytes", "fc" .. ("78"):rep(31), ("x"):rep(31))
	vector("32 bytes", "15 20 00" .. ("78"):rep(32), ("x"):rep(32))
	vector("65535 bytes", "15 ff ff" .. ("78"):rep(65535), ("x"):rep(65535))
	vector("65536 bytes", "25 00 00 01 00" .. ("78"):rep(65536), ("x"):rep(65536))
	vector("{}", "06 00", {})
	vector("{1,2,3}", "1e 0a 01 0a 02 0a 03 00", { 1, 2, 3 })
	vector("{a=1}", "06 0c 61 0a 01 00", { a = 1 })
	vector("{1,a=true}", "0e 0a 01 0c 61 09 00", { 1, a = true })
	vector("{{1},{x={}}}", "16 0e 0a 01 00 06 0c 78 06 00 00 00", { { 1 }, { x = {} } })
	vector("{1.0}", "0e 42 00 00 00 00 00 00 f0 3f 00", { 1.0 })
	vector("{[0]=1}", "06 02 0a 01 00", { [0] = 1 })
	vector("{[true]=1}", "06 09 0a 01 00", { [true] = 1 })
	vector("{[1.5]=1}", "06 42 00 00 00 00 00 00 f8 3f 0a 01 00", { [1.5] = 1 })
	vector("30 zeros", "f6" .. ("02"):rep(30) .. "00", zeros(30))
	vector("31 zeros", "fe 0a 1f" .. ("02"):rep(31) .. "00", zeros(31))
	vector("32 zeros", "fe 0a 20" .. ("02"):rep(32) .. "00", zeros(32))
	vector("300 zeros", "fe 12 2c 01" .. ("02"):rep(300) .. "00", zeros(300))
	local listed = setmetatable({ "not seen" }, {
		__pairs = function()
			return function(_, k)
				if k == nil then return 1, 10 elseif k == 1 then return 2, 20 end
			end
		end,
	})
	vector("__pairs", "06 0a 01 0a 0a 0a 02 0a 14 00", listed)
	vector("__pairs inside", "0e 06 0a 01 0a 0a 0a 02 0a 14 00 00", { listed })
	vector("metatable without __pairs", "0e 0a 07 00", setmetatable({ 7 }, { __index = { 9, 9 }, __len = error }))
	vector("several values", "0a 01 2c 68 65 6c 6c 6f 00 01", 1, "hello", nil, false)

	check.case("vector pointer", function()
		local p = core.unpack(bytes "03 60 f7 0b 58 08 7f 00 00")
		eq(type(p), "userdata")
		eq(hex(pack(p)), "03 60 f7 0b 58 08 7f 00 00")
		-- The cookie of a pointer says nothing.
		eq(core.unpack(bytes "fb 60 f7 0b 58 08 7f 00 00"), p)
	end)
	check.case("vector NaN", function()
		local text = pack(0 / 0)
		eq(#text, 9)
		local back = core.unpack(text)
		assert(back ~= back)
		eq(pack(back), text, "bits of a NaN")
	end)
	check.case("pack() gives a block", function()
		local block, size = core.pack()
		eq(size, 0)
		assert(block ~= core.unpack("\3" .. ("\0"):rep(8)), "NULL")
		core.trash(block, size)
	end)
end

local function reading()
	local function read(hexed, ...)
		check.results(unpack_both(bytes(hexed)), ...)
	end
	check.case("reading", function()
		read("f9 01", true, false)
		read("f8", nil)
		read("06 0a 01 00 00", {})
		read("22 ff ff ff ff", -1)
		read("fe 02 00", {})
	end)
end

local function invalid()
	for _, hexed in ipairs {
		"0a", "07", "1a 00 00", "2c 41", "0d 41", "0e", "fe 42 00 00 00 00 00 00 f0 3f 00", "fe", "fe 0c 41", "fe 0a",
		"12 00", "22 00 00 00", "32 00 00 00 00 00 00 00", "42 00 00 00 00 00 00 00", "03 00 00 00 00 00 00 00",
		"15 20", "15 02 00 41", "25 01 00 00", "1d 00", "05", "06", "06 0a 01", "06 0a 01 0a", "0e 0a 01",
		"16 0a 01", "2a 00 00 00 00 00", "4a", "3a 00", "ff",
	} do
		check.case("invalid " .. hexed, function()
			raises("Invalid serialize stream", core.unpack, bytes(hexed))
			raises("Invalid serialize stream", core.unpack, "\x0a\x01" .. bytes(hexed))
		end)
	end
	check.case("REMAIN is what is left", function()
		raises("Invalid serialize stream 2 (line:", core.unpack, bytes "1a 00 00")
		raises("Invalid serialize stream 1 (line:", core.unpack, bytes "2c 41")
		raises("Invalid serialize stream 0 (line:", core.unpack, bytes "0a")
	end)
	check.case("NaN key", function()
		raises("table index is NaN", core.unpack, bytes "06 42 00 00 00 00 00 00 f8 7f 0a 01 00")
	end)
	check.case("a cut between items is not seen", function()
		local text = core.packstring(1, "two", 3)
		check.results(table.pack(core.unpack(text:sub(1, -3))), 1, "two")
	end)
end

local function arguments()
	check.case("arguments of unpack", function()
		check.results(table.pack(core.unpack()))
		check.results(table.pack(core.unpack(nil)))
		check.results(table.pack(core.unpack(nil, 10)))
		check.results(table.pack(core.unpack("")))
		check.results(table.pack(core.unpack("\10\5", 1, 2, 3)), 5)
		local ptr, size = core.pack(5, 6)
		check.results(table.pack(core.unpack(ptr, 0)))
		check.results(table.pack(core.unpack(ptr, -1)))
		check.results(table.pack(core.unpack(ptr, size, "more")), 5, 6)
		raises("(number expected, got no value)", core.unpack, ptr)
		core.trash(ptr, size)
		raises("deserialize null pointer", core.unpack, {}, 1)
		raises("deserialize null pointer", core.unpack, 12, 1)
		check.results(table.pack(core.unpack({}, 0)))
		raises("deserialize null pointer", core.unpack, core.unpack("\3" .. ("\0"):rep(8)), 1)
	end)
	check.case("unsupported types", function()
		for _, pack in ipairs { core.pack, core.packstring } do
			raises("Unsupport type function to serialize", pack, print)
			raises("Unsupport type thread to serialize", pack, 1, coroutine.create(print))
			raises("Unsupport type userdata to serialize", pack, { a = { io.stdout } })
			raises("Unsupport type function to serialize", pack, { [print] = 1 })
		end
	end)
end

local function nested(levels, innermost)
	local t = innermost
	for _ = 1, levels do t = { t } end
	return t
end

local function depth()
	check.case("32 tables around a value", function()
		eq(core.unpack(pack(nested(32, 1))), nested(32, 1))
		eq(hex(pack(nested(32, {}))), hex(("\x0e"):rep(32) .. "\6\0" .. ("\0"):rep(32)))
	end)
	check.case("33 are too many", function()
		for _, pack in ipairs { core.pack, core.packstring } do
			raises("serialize can't pack too depth table", pack, nested(33, 1))
			raises("serialize can't pack too depth table", pack, nested(33, {}))
			local loop = {}
			loop.loop = loop
			raises("serialize can't pack too depth table", pack, loop)
		end
	end)
	check.case("depth behind __pairs", function()
		local function wrap(levels, innermost)
			local t = innermost
			for _ = 1, levels do
				local inner = t
				t = setmetatable({}, { __pairs = function() return next, { inner } end })
			end
			return t
		end
		eq(core.unpack(pack(wrap(32, 1))), nested(32, 1))
		raises("serialize can't pack too depth table", core.pack, wrap(33, 1))
		raises("serialize can't pack too depth table", core.packstring, wrap(33, 1))
	end)
	check.case("deep input", function()
		-- Twice what anybody writes.
		local text = ("\x0e"):rep(64) .. "\10\1" .. ("\0"):rep(64)
		eq(core.unpack(text), nested(64, 1))
	end)
end

local function metamethods()
	local function with_pairs(f)
		return setmetatable({}, { __pairs = f })
	end
	check.case("errors of __pairs reach the caller", function()
		local object = {}
		for _, pack in ipairs { core.pack, core.packstring } do
			local big = ("x"):rep(5000)
			local ok, err = pcall(pack, big, with_pairs(function() error(object) end))
			assert(not ok and rawequal(err, object))
			ok, err = pcall(pack, big, with_pairs(function() return function() error(object) end end))
			assert(not ok and rawequal(err, object))
			ok, err = pcall(pack, big, with_pairs(function() return next, { print } end))
			assert(not ok and err:find("Unsupport type function", 1, true))
			raises("attempt to call", pack, with_pairs(true))
			raises("attempt to call", pack, with_pairs(function() return 5 end))
		end
	end)
	check.case("__pairs sees its arguments", function()
		local seen = {}
		local t = { 5 }
		setmetatable(t, { __pairs = function(self)
			seen.self = self
			return function(s, c)
				table.insert(seen, { s, c })
				if c < 3 then return c + 1, ("v"):rep(c) end
			end, "state", 0
		end })
		eq(core.unpack((core.packstring(t))), { "", "v", "vv" })
		assert(rawequal(seen.self, t))
		eq({ table.unpack(seen) }, { { "state", 0 }, { "state", 1 }, { "state", 2 }, { "state", 3 } })
		assert(core.packstring(t) == core.packstring(t))
	end)
	check.case("__pairs after much data", function()
		local t = setmetatable({}, { __pairs = function()
			return function(_, k)
				k = (k or 0) + 1
				if k <= 2000 then return k, ("y"):rep(k) end
			end
		end })
		local want = {}
		for i = 1, 2000 do want[i] = ("y"):rep(i) end
		local s, a, b = core.unpack((pack(("z"):rep(100000), t, "end")))
		eq(s, ("z"):rep(100000))
		eq(a, want)
		eq(b, "end")
	end)
	check.case("__pairs gives nil values", function()
		local t = with_pairs(function() return function(_, k) if not k then return "key", nil end end end)
		eq(hex(pack(t)), "06 1c 6b 65 79 00 00")
		eq(core.unpack((pack(t))), {})
	end)
end

local function leaks()
	local big = ("x"):rep(3000)
	local function with_pairs(f)
		return setmetatable({}, { __pairs = f })
	end
	local failing = {
		["type"] = { big, print },
		["type in a table"] = { big, { { print } } },
		["depth"] = { big, nested(33, 1) },
		["error in __pairs"] = { big, with_pairs(function() error "oops" end) },
		["error in the iterator"] = { big, with_pairs(function() return error end) },
		["type behind __pairs"] = { big, with_pairs(function() return next, { big, print } end) },
		["depth behind __pairs"] = { big, with_pairs(function() return next, nested(33, 1) end) },
	}
	for name, args in pairs(failing) do
		check.case("nothing is lost: " .. name, function()
			check.no_leak(1000, function()
				assert(not pcall(core.pack, table.unpack(args)))
				assert(not pcall(core.packstring, table.unpack(args)))
			end)
		end)
	end
	check.case("nothing is lost: success", function()
		local object = with_pairs(function() return next, { big, big } end)
		check.no_leak(1000, function()
			core.trash(core.pack(big, object))
			core.trash(core.pack(1, { 2 }))
			core.packstring(big, object)
		end)
	end)
end

local function holes()
	check.case("tables with holes", function()
		local t = { 1, nil, 3, nil, 5, x = 1, [100] = 2 }
		eq(core.unpack((pack(t))), t)
		t = {}
		for i = 1, 64 do t[i] = i end
		for i = 2, 40 do t[i] = nil end
		eq(core.unpack((pack(t))), t)
		-- Integer keys 1..n in the hash part.
		t = { [4] = "d", [3] = "c", [2] = "b", [1] = "a" }
		eq(core.unpack((pack(t))), t)
		t = {}
		for i = 50, 1, -1 do t[i] = i * 1.5 end
		t.n = 50
		eq(core.unpack((pack(t))), t)
		t = { 1, 2, 3, [-1] = -1, [0] = 0, [5] = 5, [2.5] = 2.5, [true] = false }
		eq(core.unpack((pack(t))), t)
	end)
	check.case("array items come first and once", function()
		local t = { [3] = "c", [2] = "b", [1] = "a" }
		eq(hex(pack(t)):sub(1, 2), string.format("%02x", 6 | #t << 3))
		local n = #t
		if n == 3 then
			eq(hex(pack(t)), "1e 0c 61 0c 62 0c 63 00")
		end
	end)
end

local function random_round_trips()
	local state = 20240607
	local function random(n)
		state = (state * 1103515245 + 12345) % 2147483648
		return state // 65536 % n
	end
	local function value(level)
		local kind = random(level < 4 and 12 or 9)
		if kind == 0 then return random(2) == 0
		elseif kind == 1 then return random(256)
		elseif kind == 2 then return random(30000) * random(30000)
		elseif kind == 3 then return -random(30000) * random(30000) * random(30000)
		elseif kind == 4 then return math.mininteger >> random(64)
		elseif kind == 5 then return random(30000) / (1 + random(1000))
		elseif kind == 6 then return ("s"):rep(random(70))
		elseif kind == 7 then return ("long"):rep(random(random(100) == 0 and 30000 or 100))
		elseif kind == 8 then return tostring(random(30000))
		end
		local t = {}
		for i = 1, random(random(4) == 0 and 50 or 6) do t[i] = value(level + 1) end
		for _ = 1, random(6) do
			local k = value(4)
			if k == k then t[k] = value(level + 1) end
		end
		return t
	end
	check.case("random round trips", function()
		for _ = 1, 500 do
			local a, b, c = value(0), value(0), value(0)
			local text = pack(a, b, c)
			local back = unpack_both(text)
			check.results(back, a, b, c)
		end
	end)
	check.case("every cut of a message is an error or a prefix", function()
		local text = core.packstring(1, { "a", { b = 2.5 }, [-1] = ("x"):rep(40) }, "end")
		for n = 0, #text - 1 do
			local ok, err = pcall(core.unpack, text:sub(1, n))
			assert(ok or err:find("Invalid serialize stream", 1, true), err)
		end
	end)
end

local function many()
	check.case("many values", function()
		local t = {}
		for i = 1, 250 do t[i] = i end
		check.results(table.pack(core.unpack((pack(table.unpack(t))))), table.unpack(t))
		eq(select("#", core.unpack(("\0"):rep(5000))), 5000)
	end)
end

check.run(function()
	vectors()
	reading()
	invalid()
	arguments()
	depth()
	metamethods()
	leaks()
	holes()
	random_round_trips()
	many()
end)
