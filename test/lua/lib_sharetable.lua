-- skynet.sharetable: tables read in place by several services, and the replacing of old versions.

local skynet = require "skynet"
local sharetable = require "skynet.sharetable"
local core = require "skynet.sharetable.core"
local check = dofile "./test/lua/support/check.lua"

local eq, raises = check.eq, check.raises

if (...) == "reader" then
	skynet.start(function()
		local held
		skynet.dispatch("lua", function(_, _, command, name, key)
			if command == "query" then
				held = sharetable.query(name)
				skynet.ret(skynet.pack(held and held[key]))
			elseif command == "again" then
				skynet.ret(skynet.pack(held[name]))
			else
				sharetable.update(name)
				skynet.ret(skynet.pack(held[key]))
			end
		end)
	end)
	return
end

if (...) == "words" then
	-- Still reads its table when it has ended, for as long as the test likes.
	local held
	local words = setmetatable({}, { __gc = function()
		skynet.setenv("lib_sharetable_ends", "yes")
		repeat until skynet.getenv "lib_sharetable_go"
		skynet.setenv("lib_sharetable_last", held.text)
	end })
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, name)
			held = sharetable.query(name)
			skynet.ret(skynet.pack(words ~= nil))
		end)
	end)
	return
end

check.run(function()
	local write = skynet.getenv "api_level" == "head" and "attempt to index a table value"
		or "attempt to change a table value"

	check.case("loadtable and query", function()
		sharetable.loadtable("t", { a = 1, list = { 1, 2, 3 }, text = ("x"):rep(100), [2.5] = true })
		local t = sharetable.query "t"
		eq(t.a, 1)
		eq(#t.list, 3)
		eq(t["te" .. "xt"], ("x"):rep(100))
		eq(t[2.5], true)
		eq(t == sharetable.query "t", true)
		eq(core.is_sharedtable(t), true)
		eq(core.is_sharedtable {}, false)
		eq(sharetable.query "none", nil)
	end)
	check.case("writes", function()
		local t = sharetable.query "t"
		raises("attempt to change a shared table", rawset, t, "fresh", 1)
		raises("can't setmetatable to shared table", setmetatable, t, {})
		for _, key in ipairs { "a", "fresh" } do
			raises("a table value", function() t[key] = 2 end)
		end
		raises("a table value", table.insert, t.list, 4)
		raises("a table value", table.sort, { 1 } and t.list, function(a, b) return a > b end)
		eq(t.a, 1)
		eq(table.concat(t.list, ","), "1,2,3")
	end)
	check.case("loadstring", function()
		sharetable.loadstring("s", [[
			local n, flag = ...
			return { n = n, flag = flag, f = function(a) return a * 2 end, nested = { { k = "v" } } }
		]], 42, true)
		local s = sharetable.query "s"
		eq(s.n, 42)
		eq(s.flag, true)
		eq(s.f(4), 8)
		eq(s.nested[1].k, "v")
	end)
	check.case("what is refused", function()
		for source, _ in pairs {
			["return 1"] = true,
			["return { setmetatable({}, {}) }"] = true,
			["return { function() return print end }"] = true,
			["return { coroutine.create(function() end) }"] = true,
			["error 'no'"] = true,
			["return {"] = true,
		} do
			eq(pcall(sharetable.loadstring, "bad", source), false)
		end
		for text, source in pairs {
			["Not a table, it's a number."] = "return 1",
			["Can't share metatable"] = "return { setmetatable({}, {}) }",
			["Invalid function with upvalue"] = "return { function() return print end }",
			["Invalid type [thread]"] = "return { coroutine.create(load 'return') }",
			["cannot open"] = "@no such file",
		} do
			raises(text, core.matrix, source)
		end
		raises("Type invalid", core.matrix, "return {}", "text")
		raises("Only support light C function", core.matrix, "return {}", function() end)
		raises("thread expected", core.stackvalues, 1)
	end)
	check.case("matrix", function()
		local m = core.matrix("return { deep = { { { {} } } }, ... }", 7)
		local t = core.clone(m:getptr())
		eq(t[1], 7)
		assert(m:size() > 0)
		assert(core.is_sharedtable(t.deep[1][1][1]))
		t = nil
		m:close()
		m:close()
		eq(m:getptr(), nil)
		eq(m:size(), 0)
	end)
	check.case("update replaces what is old", function()
		sharetable.loadstring("u", "return { v = 1, sub = { v = 1 }, gone = { v = 1 } }")
		local u = sharetable.query "u"
		local holder = setmetatable({ u.sub, [u.gone] = "gone", root = u }, { __index = u.sub })
		local function closure() return u.sub, holder end
		local co = coroutine.create(function(a)
			local mine = u.sub
			while true do coroutine.yield(mine, a) end
		end)
		assert(coroutine.resume(co, u))
		sharetable.loadstring("u", "return { v = 2, sub = { v = 2 } }")
		eq(u.v, 1)
		sharetable.update "u"
		eq(u.v, 2)
		eq(closure().v, 2)
		eq(holder[1].v, 2)
		eq(holder.root.v, 2)
		eq(holder.v, 2)
		local _, mine, a = coroutine.resume(co)
		eq(mine.v, 2)
		eq(a.v, 2)
		for k in pairs(holder) do assert(type(k) ~= "table") end
		eq(u, sharetable.query "u")
	end)
	check.case("other services", function()
		local reader = skynet.newservice("lib_sharetable", "reader")
		eq(skynet.call(reader, "lua", "query", "none", "x"), nil)
		sharetable.loadtable("r", { x = 1 })
		eq(skynet.call(reader, "lua", "query", "r", "x"), 1)
		sharetable.loadtable("r", { x = 2 })
		eq(skynet.call(reader, "lua", "again", "x"), 1)
		eq(skynet.call(reader, "lua", "update", "r", "x"), 2)
		skynet.send(reader, "debug", "EXIT")
	end)
	local function history()
		local text = skynet.call(sharetable.address, "debug", "INFO").h.history or ""
		return select(2, text:gsub("0x", ""))
	end
	check.case("a version lives as long as its readers", function()
		local how = {
			exit = function(reader) skynet.send(reader, "debug", "EXIT") end,
			launcher = function(reader) skynet.call(".launcher", "lua", "KILL", skynet.address(reader)) end,
			kill = skynet.kill,
		}
		for _, ends in pairs(how) do
			sharetable.loadtable("h", { x = 1 })
			local reader = skynet.newservice("lib_sharetable", "reader")
			eq(skynet.call(reader, "lua", "query", "h", "x"), 1)
			sharetable.loadtable("h", { x = 2 })
			eq(history(), 1)
			ends(reader)
			check.wait(function() return history() == 0 end)
		end
	end)
	local function finalizers()
		sharetable.loadtable("h", { text = ("long"):rep(100) })
		local reader = skynet.newservice("lib_sharetable", "words")
		eq(skynet.call(reader, "lua", "h"), true)
		sharetable.loadtable("h", {})
		skynet.send(reader, "debug", "EXIT")
		check.wait(function() return skynet.getenv "lib_sharetable_ends" end)
		eq(history(), 1)
		skynet.setenv("lib_sharetable_go", "yes")
		check.wait(function() return history() == 0 end)
		eq(skynet.getenv "lib_sharetable_last", ("long"):rep(100))
	end
	if core.atclose then	-- ours
		check.case("a version lives as long as finalizers", finalizers)
	end
	check.case("queryall", function()
		local all = sharetable.queryall()
		assert(all.t and all.s and all.u and all.r)
		local some = sharetable.queryall { "t", "none" }
		eq(some.t.a, 1)
		eq(some.none, nil)
	end)
end)
