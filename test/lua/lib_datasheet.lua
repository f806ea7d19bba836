-- skynet.datasheet: tables that follow what a builder makes of them.

local skynet = require "skynet"
local builder = require "skynet.datasheet.builder"
local datasheet = require "skynet.datasheet"
local dump = require "skynet.datasheet.dump"
local core = require "skynet.datasheet.core"
local check = dofile "./test/lua/support/check.lua"

local eq, raises = check.eq, check.raises

if (...) == "reader" then
	skynet.start(function()
		local sheet
		skynet.dispatch("lua", function(_, _, command, name, key)
			if command == "query" then
				sheet = datasheet.query(name)
			end
			skynet.ret(skynet.pack(sheet[key or name]))
		end)
	end)
	return
end

check.run(function()
	check.case("document", function()
		local bytes = dump.dump { 7, "s", x = true }
		eq((bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)),
			"2800000001000000000000000200000001000000010503000700000000000000020000000000000173007800")
		local t = dump.undump(dump.dump { 2 ^ 31, -1, 0.5, { n = {} }, k = { "v" } })
		eq(t[1], 2.0 ^ 31)
		eq(t[2], -1)
		eq(t[3], 0.5)
		eq(t.k[1], "v")
		raises("Unsupport value", dump.dump, { print })
		eq(pcall(dump.dump, { [1.5] = 1 }), false)
		eq(pcall(dump.dump, { [3] = 1 }), false)
	end)
	check.case("tables", function()
		local text = dump.dump { 1, 2, sub = { deep = { "x" } }, flag = false }
		local t = core.new(core.stringpointer(text))
		eq(rawequal(t, core.new(core.stringpointer(text))), true)
		eq(next(t), nil)
		eq(#t, 2)
		assert(next(t) ~= nil and getmetatable(t) == nil)
		eq(t.sub.deep[1], "x")
		eq(t.flag, false)
		local keys = {}
		for k in pairs(t.sub) do table.insert(keys, k) end
		eq(keys[1], "deep")
		raises("Invalid proxy table", core.update, {}, core.stringpointer(text))
	end)
	check.case("builder and readers", function()
		builder.new("d", { a = 1, sub = { b = 2 }, gone = { c = 3 } })
		local d = datasheet.query "d"
		local reader = skynet.newservice("lib_datasheet", "reader")
		eq(skynet.call(reader, "lua", "query", "d", "a"), 1)
		local sub, gone = d.sub, d.gone
		eq(sub.b, 2)
		eq(gone.c, 3)
		builder.update("d", { a = 20, sub = { b = 20 } })
		check.wait(function() return d.a == 20 end)
		eq(d.sub == sub, true)
		eq(sub.b, 20)
		eq(d.gone, nil)
		raises("Invalid proxy (index = ", function() return gone.c end)
		check.wait(function() return skynet.call(reader, "lua", "read", "a") == 20 end)
		raises("assertion failed", builder.new, "d", {})
		raises("assertion failed", builder.update, "none", {})
		raises("call failed", datasheet.query, "none")
		skynet.send(reader, "debug", "EXIT")
	end)
	check.case("compiled", function()
		builder.new("c", builder.compile { x = "y" })
		eq(datasheet.query("c").x, "y")
	end)
end)
