-- skynet.queue: critical sections.

local skynet = require "skynet"
local queue = require "skynet.queue"
local check = dofile "./test/lua/support/check.lua"

local eq, raises, results, case = check.eq, check.raises, check.results, check.case

check.run(function()
	case("results", function()
		local section = queue()
		results(table.pack(section(function(...) return ... end, 1, nil, 3, nil)), 1, nil, 3, nil)
		results(table.pack(section(function() end)))
	end)
	case("first come, first served", function()
		local section, log = queue(), {}
		local done = 0
		for i = 1, 5 do
			skynet.fork(function()
				section(function()
					table.insert(log, "in " .. i)
					skynet.sleep(1)
					table.insert(log, "out " .. i)
				end)
				done = done + 1
			end)
		end
		check.wait(function() return done == 5 end)
		local want = {}
		for i = 1, 5 do
			table.insert(want, "in " .. i)
			table.insert(want, "out " .. i)
		end
		eq(log, want)
	end)
	case("re-entrant", function()
		local section, log = queue(), {}
		skynet.fork(function()
			skynet.yield()
			section(table.insert, log, "other")
		end)
		section(function()
			skynet.sleep(1)
			section(function()
				skynet.sleep(1)
				section(table.insert, log, "innermost")
			end)
			skynet.sleep(1)
			table.insert(log, "outermost")
		end)
		skynet.sleep(2)
		eq(log, { "innermost", "outermost", "other" })
	end)
	case("an error releases", function()
		local section, log = queue(), {}
		skynet.fork(function()
			skynet.yield()
			section(table.insert, log, "next")
		end)
		local reason = raises("on purpose", section, function()
			skynet.sleep(2)
			error "on purpose"
		end)
		assert(reason:find "stack traceback:", reason)
		skynet.sleep(1)
		eq(log, { "next" })
		results(table.pack(section(function() return "free" end)), "free")
	end)
	case("an error in a nested call", function()
		local section = queue()
		section(function()
			eq(pcall(section, error, "inner"), false)
			local entered = false
			skynet.fork(section, function() entered = true end)
			skynet.sleep(1)
			eq(entered, false, "still inside")
		end)
		results(table.pack(section(function() return "free" end)), "free")
	end)
	case("sections are independent", function()
		local a, b = queue(), queue()
		local log = {}
		skynet.fork(a, function() skynet.sleep(5) table.insert(log, "a") end)
		skynet.sleep(1)
		b(table.insert, log, "b")
		check.wait(function() return #log == 2 end)
		eq(log, { "b", "a" })
	end)
	case("the constructor is in the skynet table", function()
		eq(skynet.queue, queue)
	end)
end)
