-- skynet.request and select: parallel calls.

local skynet = require "skynet"

local mode = ...

if mode == "peer" then
	local act = {}
	function act.echo(...) skynet.retpack(...) end
	function act.after(ti, ...) skynet.sleep(ti) skynet.retpack(...) end
	function act.raise() error "raised on purpose" end
	function act.never() skynet.response() end
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, what, ...) act[what](...) end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, case = check.eq, check.raises, check.case

-- What the loop sees: a list of { name of the entry, first value or false or "invalid" }.
local function collect(object, timeout)
	local seen = {}
	for entry, answer in object:select(timeout) do
		local value
		if answer == nil then
			value = "invalid"
		else
			value = answer and answer[1]
		end
		table.insert(seen, { entry.name, value })
	end
	return seen
end

check.run(function()
	local peer = skynet.newservice("lib_request", "peer")

	case("none", function()
		eq(collect(skynet.request()), {})
	end)
	case("in order of arrival", function()
		local object = skynet.request { peer, "lua", "after", 20, "a", name = "a" }
			{ peer, "lua", "after", 10, "b", name = "b" }
			{ peer, "lua", "echo", "c", name = "c" }
		eq(collect(object), { { "c", "c" }, { "b", "b" }, { "a", "a" } })
		eq(object.timeout, nil)
	end)
	case("answers are packed tables", function()
		for entry, answer in skynet.request():add { peer, "lua", "echo", 1, nil, 3, n = 6 }:select() do
			eq(entry[4], 1)
			eq(answer, { 1, nil, 3, n = 3 })
		end
		for _, answer in skynet.request { peer, "lua", "echo" }:select() do
			eq(answer, { n = 0 })
		end
	end)
	case("nils at the end of the arguments", function()
		for _, answer in skynet.request { peer, "lua", "echo", 1, nil, nil, n = 6 }:select() do
			eq(answer.n, 3)
		end
	end)
	case("failures and bad addresses", function()
		local seen = collect(skynet.request { peer, "lua", "raise", name = "raise" }
			{ 0xfffff0, "lua", "echo", 1, name = "nobody" } { peer, "lua", "echo", 2, name = "echo" })
		eq(seen[1], { "nobody", "invalid" })
		table.sort(seen, function(a, b) return a[1] < b[1] end)
		eq(seen, { { "echo", 2 }, { "nobody", "invalid" }, { "raise", false } })
	end)
	case("timeout", function()
		local object = skynet.request { peer, "lua", "after", 1, "in time", name = "a" } { peer, "lua", "never", name = "b" }
		local before = skynet.now()
		eq(collect(object, 300), { { "a", "in time" } })
		eq(object.timeout, true)
		assert(skynet.now() - before >= 300)
	end)
	case("timeout that is not needed", function()
		local object = skynet.request { peer, "lua", "echo", 1, name = "a" }
		eq(collect(object, 2000), { { "a", 1 } })
		eq(object.timeout, nil)
	end)
	case("the body may block", function()
		local sum = 0
		local object = skynet.request()
		for i = 1, 10 do object { peer, "lua", "echo", i } end
		for _, answer in object:select() do
			skynet.sleep(1)
			sum = sum + skynet.call(peer, "lua", "echo", answer[1])
		end
		eq(sum, 55)
	end)
	case("break closes: late answers are dropped", function()
		local unknown = 0
		local old = skynet.dispatch_unknown_response(function() unknown = unknown + 1 end)
		local object = skynet.request()
		for i = 1, 5 do object { peer, "lua", "after", i, i } end
		for _ in object:select(100) do break end
		skynet.sleep(20)
		eq(unknown, 0)
		skynet.dispatch_unknown_response(old)
	end)
	case("an error in the body closes, too", function()
		local object = skynet.request { peer, "lua", "after", 2, 1 } { peer, "lua", "after", 2, 2 }
		raises("in the body", function()
			for _ in object:select() do error "in the body" end
		end)
		skynet.sleep(5)
	end)
	case("misuse", function()
		raises("assertion failed!", function() skynet.request():add(1) end)
		raises("assertion failed!", function() skynet.request() "text" end)
		local object = skynet.request { peer, "lua", "echo" }
		collect(object)
		raises("assertion failed!", object.select, object)
		raises("assertion failed!", object.add, object, { peer, "lua", "echo" })
	end)
	case("service that exits meanwhile", function()
		local victim = skynet.newservice("lib_request", "peer")
		skynet.timeout(2, function() skynet.send(victim, "debug", "EXIT") end)
		eq(collect(skynet.request { victim, "lua", "never", name = "a" } { victim, "lua", "never", name = "b" },
			1000)[2][2], false)
	end)
	case("term", function()
		skynet.timeout(2, function() skynet.term(peer) end)
		local seen = collect(skynet.request { peer, "lua", "never", name = "a" } { peer, "lua", "never", name = "b" }, 1000)
		eq(#seen, 2)
		eq(seen[1][2], false)
	end)
	case("nested", function()
		local seen = {}
		for _, outer in skynet.request { peer, "lua", "echo", 1 } { peer, "lua", "echo", 2 }:select() do
			for _, inner in skynet.request { peer, "lua", "echo", outer[1] * 10 }:select() do
				table.insert(seen, inner[1])
			end
		end
		table.sort(seen)
		eq(seen, { 10, 20 })
	end)
	case("many", function()
		local object, sum = skynet.request(), 0
		for i = 1, 1000 do object { peer, "lua", "echo", i } end
		for _, answer in object:select() do sum = sum + answer[1] end
		eq(sum, 500500)
	end)
end)
