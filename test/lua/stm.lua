-- skynet.stm: a value with one writer and readers in this and in other services.

local skynet = require "skynet"
local core = require "skynet.core"
local stm = require "skynet.stm"
local driver = require "skynet.socketdriver"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results = check.eq, check.raises, check.results

if (...) == "reader" then
	-- The other side: sums up what it has read until the writer is gone.
	skynet.start(function()
		local reader
		skynet.dispatch("lua", function(_, _, command, handle)
			if command == "open" then
				reader = stm.newcopy(handle)
				skynet.ret(skynet.pack(reader(core.tostring)))
			elseif command == "read" then
				skynet.ret(skynet.pack(reader(core.tostring)))
			else
				-- Every value is a number and as many bytes: nothing torn, nothing going backwards.
				local last = 0
				while last < handle do
					local fresh, text = reader(core.tostring)
					if fresh then
						local n, rest = text:match "^(%d+) (.*)$"
						n = tonumber(n)
						assert(n > last, "older than what was seen")
						assert(rest == ("x"):rep(n % 100), "torn")
						last = n
					else
						skynet.yield()
					end
				end
				skynet.ret(skynet.pack(last))
			end
		end)
	end)
	return
end

check.run(function()
	check.case("fields", function()
		local names = {}
		for name in pairs(stm) do table.insert(names, name) end
		table.sort(names)
		eq(table.concat(names, " "), "copy new newcopy")
	end)
	check.case("new, copy, read, write", function()
		local writer = stm.new "one"
		local reader = stm.newcopy(stm.copy(writer))
		results(table.pack(reader(core.tostring)), true, "one")
		results(table.pack(reader(core.tostring)), false)
		results(table.pack(writer "two"))
		results(table.pack(reader(function(ptr, size, ...)
			return core.tostring(ptr, size), select("#", ...), ...
		end, "extra", "not seen")), true, "two", 1, "extra")
		writer(driver.str2p "three")
		results(table.pack(reader(function(_, size, ud) return size, ud end)), true, 5, nil)
		results(table.pack(reader(function() end)), false)
		writer ""
		results(table.pack(reader(function(_, size) return size end)), true, 0)
		writer "same"
		results(table.pack(reader(function() end)), true)
		writer "same"
		results(table.pack(reader(core.tostring)), true, "same")
	end)
	check.case("from a block", function()
		local writer = stm.new(driver.str2p "block")
		eq({ stm.newcopy(stm.copy(writer))(core.tostring) }, { true, "block" })
	end)
	check.case("several readers", function()
		local writer = stm.new "v1"
		local a, b = stm.newcopy(stm.copy(writer)), stm.newcopy(stm.copy(writer))
		eq({ a(core.tostring) }, { true, "v1" })
		writer "v2"
		eq({ b(core.tostring) }, { true, "v2" })
		eq({ a(core.tostring) }, { true, "v2" })
		eq({ b(core.tostring) }, { false })
	end)
	check.case("an error counts as seen", function()
		local writer = stm.new "x"
		local reader = stm.newcopy(stm.copy(writer))
		raises("oops", reader, function() error "oops" end)
		results(table.pack(reader(core.tostring)), false)
	end)
	check.case("the writer goes", function()
		local writer = stm.new "last"
		local seen, unseen = stm.newcopy(stm.copy(writer)), stm.newcopy(stm.copy(writer))
		eq({ seen(core.tostring) }, { true, "last" })
		writer = nil
		collectgarbage()
		collectgarbage()
		results(table.pack(seen(core.tostring)), false)
		results(table.pack(unseen(core.tostring)), false)
		results(table.pack(unseen(core.tostring)), false)
	end)
	check.case("a handle outlives the writer", function()
		local handle = stm.copy(stm.new "x")
		collectgarbage()
		collectgarbage()
		results(table.pack(stm.newcopy(handle)(core.tostring)), false)
	end)
	check.case("readers go first", function()
		local writer = stm.new "x"
		for _ = 1, 100 do
			local reader = stm.newcopy(stm.copy(writer))
			reader(core.tostring)
		end
		collectgarbage()
		writer "y"
		eq({ stm.newcopy(stm.copy(writer))(core.tostring) }, { true, "y" })
	end)
	check.case("nothing is lost", function()
		check.no_leak(300, function()
			local writer = stm.new(("x"):rep(1000))
			local reader, idle = stm.newcopy(stm.copy(writer)), stm.newcopy(stm.copy(writer))
			reader(core.tostring)
			writer(driver.str2p(("y"):rep(1000)))
			writer "z"
			pcall(reader, error)
			if math.random(2) == 1 then
				writer = nil
				collectgarbage()
				idle(core.tostring)
			end
		end)
	end)
	check.case("metatables", function()
		local writer = stm.new "x"
		local reader = stm.newcopy(stm.copy(writer))
		for _, object in ipairs { writer, reader } do
			local names = {}
			for name in pairs(getmetatable(object)) do table.insert(names, name) end
			table.sort(names)
			eq(table.concat(names, " "), "__call __gc")
		end
	end)
	check.case("wrong arguments", function()
		local writer = stm.new "x"
		local reader = stm.newcopy(stm.copy(writer))
		raises("(string expected, got no value)", stm.new)
		raises("(string expected, got nil)", stm.new, nil)
		raises("(string expected, got no value)", writer)
		raises("(number expected, got no value)", writer, (driver.str2p "lost"))
		raises("(function expected, got no value)", reader)
		raises("(function expected, got nil)", reader, nil)
	end)
	check.case("another service", function()
		local other = skynet.newservice("stm", "reader")
		local writer = stm.new "0 "
		results(table.pack(skynet.call(other, "lua", "open", stm.copy(writer))), true, "0 ")
		results(table.pack(skynet.call(other, "lua", "read")), false)
		writer "1 x"
		results(table.pack(skynet.call(other, "lua", "read")), true, "1 x")
		local done
		skynet.fork(function()
			done = skynet.call(other, "lua", "follow", 20000)
		end)
		skynet.yield()
		for n = 2, 20000 do
			writer(n .. " " .. ("x"):rep(n % 100))
			if n % 500 == 0 then skynet.yield() end
		end
		check.wait(function() return done end, 20, "last value")
		eq(done, 20000)
		writer = nil
		collectgarbage()
		collectgarbage()
		results(table.pack(skynet.call(other, "lua", "read")), false)
	end)
end)
