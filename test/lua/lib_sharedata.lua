-- skynet.sharedata: objects that follow their data, here and in another service.

local skynet = require "skynet"
local sharedata = require "skynet.sharedata"
local check = dofile "./test/lua/support/check.lua"

local eq, raises = check.eq, check.raises

if (...) == "reader" then
	skynet.start(function()
		local object
		skynet.dispatch("lua", function(_, _, command, name, key)
			if command == "query" then
				object = sharedata.query(name)
			end
			skynet.ret(skynet.pack(object[key or name]))
		end)
	end)
	return
end

check.run(function()
	check.case("reading", function()
		sharedata.new("a", { n = 1, f = 1.5, s = "text", b = false, list = { 10, 20, { x = "deep" } }, [-3] = "minus" })
		local a = sharedata.query "a"
		eq(a.n, 1)
		eq(a.f, 1.5)
		eq(a.s, "text")
		eq(a.b, false)
		eq(a[-3], "minus")
		eq(a.none, nil)
		eq(#a.list, 3)
		eq(a.list[3].x, "deep")
		eq(a.list == a.list, true)
		eq(a == sharedata.query "a", true)
		local sum = 0
		for i, v in ipairs(a.list) do sum = sum + i * (tonumber(v) or 1) end
		eq(sum, 10 + 40 + 3)
		local keys = {}
		for k in pairs(a) do table.insert(keys, tostring(k)) end
		table.sort(keys)
		eq(table.concat(keys, " "), "-3 b f list n s")
		eq(skynet.unpack(skynet.packstring(a)).list[3].x, "deep")
		local copy = sharedata.deepcopy "a"
		eq(getmetatable(copy), nil)
		eq(copy.list[3].x, "deep")
		eq(sharedata.deepcopy("a", "list", 3, "x"), "deep")
		eq(sharedata.deepcopy("a", "none", "x"), nil)
	end)
	check.case("errors", function()
		local a = sharedata.query "a"
		raises("Error newindex, the key []", function() a.n = 2 end)
		raises("Error newindex, the key [.list.3]", function() a.list[3].x = 2 end)
		raises("call failed", sharedata.new, "a", {})
		raises("call failed", sharedata.query, "none")
		raises("call failed", sharedata.delete, "none")
		raises("call failed", sharedata.new, "bad", { [1.5] = 1 })
		raises("call failed", sharedata.new, "bad", 1)
		raises("call failed", sharedata.new, "bad", "x = = 1")
		raises("call failed", sharedata.query, "bad")
	end)
	check.case("sources", function()
		sharedata.new("source", "x = ...; y = { x, math.pi }", 5)
		eq(sharedata.query("source").x, 5)
		eq(sharedata.query("source").y[2], math.pi)
		sharedata.new("result", "return { ... }", 7)
		eq(sharedata.query("result")[1], 7)
		sharedata.new "empty"
		eq(#sharedata.query "empty", 0)
	end)
	check.case("updates", function()
		sharedata.new("u", { v = 1, sub = { v = 1 }, gone = { v = 1 } })
		local reader = skynet.newservice("lib_sharedata", "reader")
		eq(skynet.call(reader, "lua", "query", "u", "v"), 1)
		local u = sharedata.query "u"
		local sub, gone = u.sub, u.gone
		eq(gone.v, 1)
		sharedata.update("u", { v = 2, sub = { v = 2 } })
		check.wait(function() return u.v == 2 end)
		eq(u.sub == sub, true)
		eq(sub.v, 2)
		raises("The key [.gone] doesn't exist after update", function() return gone.v end)
		check.wait(function() return skynet.call(reader, "lua", "read", "v") == 2 end)
		for v = 3, 20 do sharedata.update("u", { v = v, sub = { v = v } }) end
		check.wait(function() return u.v == 20 end)
		eq(sub.v, 20)
		sharedata.flush()
		sharedata.delete "u"
		check.wait(function() return not pcall(sharedata.query, "u") end)
		eq(u.v, 20)
		skynet.send(reader, "debug", "EXIT")
	end)
end)
