-- What the test services share: named cases, comparisons, the verdict line that the runner waits for.
-- Load it with dofile "./test/lua/support/check.lua" from a service whose file name is the name of the test.

local skynet = require "skynet"
require "skynet.manager"

local check = {}

local passed, failed = 0, 0

--- Runs one case; an error in it is its failure.
function check.case(name, f, ...)
	local ok, err = xpcall(f, debug.traceback, ...)
	if ok then
		passed = passed + 1
		skynet.error("ok " .. name)
	else
		failed = failed + 1
		skynet.error("FAIL " .. name .. ": " .. tostring(err))
	end
end

local show
function show(value)
	if type(value) == "string" then
		return #value > 200 and string.format("%q... (%d bytes)", value:sub(1, 200), #value) or string.format("%q", value)
	elseif math.type(value) == "float" then
		return string.format("%.17g (float)", value)
	elseif type(value) == "table" then
		local parts = {}
		for k, v in next, value do
			if #parts == 20 then
				table.insert(parts, "...")
				break
			end
			local deep = type(v) == "table" and tostring(v) or show(v)
			table.insert(parts, string.format("[%s]=%s", tostring(k), deep))
		end
		return "{" .. table.concat(parts, ", ") .. "}"
	end
	return tostring(value)
end

local function same(a, b)
	if type(a) ~= type(b) or math.type(a) ~= math.type(b) then
		return false
	end
	if type(a) == "table" then
		for k, v in next, a do
			if not same(v, b[k]) then return false end
		end
		for k in next, b do
			if a[k] == nil then return false end
		end
		return true
	end
	return a == b or (a ~= a and b ~= b)
end

check.same = same

--- Fails unless both are equal, tables by content and numbers by subtype.
function check.eq(got, want, what)
	if not same(got, want) then
		error(string.format("%s: got %s, want %s", what or "value", show(got), show(want)), 2)
	end
end

--- Fails unless the values returned are exactly these, their number included.
function check.results(got, ...)
	local want = table.pack(...)
	check.eq(got.n, want.n, "number of results")
	for i = 1, want.n do
		check.eq(got[i], want[i], "result " .. i)
	end
end

--- Fails unless f(...) raises an error that contains `text`.
function check.raises(text, f, ...)
	local ok, err = pcall(f, ...)
	if ok then
		error("no error, want: " .. text, 2)
	end
	if not tostring(err):find(text, 1, true) then
		error(string.format("error %s, want %s", show(tostring(err)), show(text)), 2)
	end
	return err
end

--- Fails if doing f() over and over leaves message heap blocks behind, more than `slack` bytes (16) each time. Says
--- nothing where the heap is not counted.
function check.no_leak(times, f, slack)
	local memory = require "skynet.memory"
	for _ = 1, 10 do f() end
	collectgarbage()
	collectgarbage()
	local before = memory.current()
	for _ = 1, times do f() end
	collectgarbage()
	collectgarbage()
	local grown = memory.current() - before
	if grown > (slack or 16) * times then
		error(string.format("%d bytes are left after %d times", grown, times), 2)
	end
end

function check.hex(bytes)
	return (bytes:gsub(".", function(c) return string.format("%02x ", c:byte()) end):gsub(" $", ""))
end

function check.bytes(hex)
	return (hex:gsub("%s", ""):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

--- Tries until f() gives something true, for at most `seconds`.
function check.wait(f, seconds, what)
	for _ = 1, (seconds or 5) * 100 do
		local value = f()
		if value then return value end
		skynet.sleep(1)
	end
	error((what or "condition") .. " did not come about", 2)
end

--- Writes the verdict and ends the node.
function check.finish()
	local verdict = failed == 0 and "PASSED " .. passed or "FAILED " .. failed
	skynet.error(string.format("TEST %s %s", SERVICE_NAME, verdict))
	-- The log service goes first when the node ends: give it time to write.
	skynet.sleep(20)
	skynet.abort()
end

--- Runs a test service: `main` makes its cases.
function check.run(main)
	skynet.start(function()
		skynet.fork(function()
			local ok, err = xpcall(main, debug.traceback)
			if not ok then
				failed = failed + 1
				skynet.error("FAIL the test itself: " .. tostring(err))
			end
			check.finish()
		end)
	end)
end

return check
