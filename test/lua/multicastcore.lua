-- skynet.multicast.core: packages, their boxes, their counts.

local core = require "skynet.core"
local multicast = require "skynet.multicast.core"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results, hex = check.eq, check.raises, check.results, check.hex

local function address(ptr)
	return core.packstring(ptr):sub(2)
end

check.run(function()
	check.case("layout", function()
		local payload, size = driver.str2p "hello"
		local box, n = multicast.pack(payload, size)
		eq(n, 8)
		local package, p, sz = multicast.unpack(box, n)
		eq(core.tostring(box, 8), address(package))
		eq({ p, sz }, { payload, 5 })
		eq(hex(core.tostring(package, 16)), hex("\0\0\0\0\5\0\0\0" .. address(payload)))
		results(table.pack(multicast.bind(box, 3)), package)
		eq(hex(core.tostring(package, 8)), "03 00 00 00 05 00 00 00")
		results(table.pack(multicast.close(package)))
		eq(hex(core.tostring(package, 4)), "02 00 00 00")
		eq(core.tostring(p, sz), "hello")
		multicast.close(package)
		multicast.close(package)
	end)
	check.case("the box as a string", function()
		local box, n = multicast.pack(driver.str2p "text")
		local copy = core.tostring(box, n)
		local package = multicast.bind(box, 1)
		local ptr, size = driver.str2p(copy)
		local same, p, sz = multicast.unpack(ptr, size)
		core.trash(ptr, size)
		eq({ same, core.tostring(p, sz) }, { package, "text" })
		multicast.close(package)
	end)
	check.case("packremote copies", function()
		local payload, size = driver.str2p "remote"
		local box, n = multicast.packremote(payload, size)
		core.trash(payload, size)
		local p, sz = multicast.remote(box, n)
		eq(core.tostring(p, sz), "remote")
		core.trash(p, sz)
		box = multicast.packremote(driver.str2p "")
		p, sz = multicast.remote(box)
		eq(sz, 0)
		core.trash(p, sz)
	end)
	check.case("remote gives the payload back", function()
		local payload, size = driver.str2p "mine"
		results(table.pack(multicast.remote((multicast.pack(payload, size)))), payload, size)
		core.trash(payload, size)
	end)
	check.case("errors", function()
		local box, n = multicast.pack(driver.str2p "x")
		raises("Invalid multicast package size 7", multicast.unpack, box, 7)
		raises("Invalid multicast package size 16", multicast.unpack, box, 16)
		local copy, m = driver.str2p(core.tostring(box, n))
		local package = multicast.bind(box, 2)
		raises("Can't bind a multicast package more than once", multicast.bind, copy, 1)
		core.trash(copy, m)
		multicast.close(package)
		multicast.close(package)
		-- Closed without ever having been bound.
		local again = multicast.pack(driver.str2p "y")
		package = multicast.unpack(again, 8)
		raises("Invalid multicast package reference -1", multicast.close, package)
		core.trash(again, 8)
		local payload, size = driver.str2p "z"
		raises("Size should be 32bit integer", multicast.pack, payload, 1 << 32)
		raises("Size should be 32bit integer", multicast.packremote, payload, -1)
		core.trash(payload, size)
	end)
	check.case("nextid", function()
		eq(multicast.nextid(1), 257)
		eq(multicast.nextid(0x7fffffff), 255)
		eq(multicast.nextid(0x7fffff01), 1)
		eq(multicast.nextid(0), 256)
		raises("(number expected, got nil)", multicast.nextid, nil)
	end)
	check.case("fields", function()
		local names = {}
		for name in pairs(multicast) do table.insert(names, name) end
		table.sort(names)
		eq(table.concat(names, " "), "bind close nextid pack packremote remote unpack")
	end)
end)
