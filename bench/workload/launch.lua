-- Launches services that do nothing, ends them, and launches as many again. Memory is what the first ones take, CPU time
-- (of the process, user and system) is taken from the second launch, when the node has its pages. Setting: count.

local skynet = require "skynet"

if ... == "child" then
	skynet.start(function()
		skynet.dispatch("lua", function()
			skynet.exit()
		end)
	end)
	return
end

local bench = require "bench"

-- Bytes of this process that are in memory.
local function resident()
	local file <close> = assert(io.open "/proc/self/smaps_rollup")
	return tonumber(file:read "a":match "Rss:%s*(%d+) kB") * 1024
end

local function launch(count)
	local children = {}
	for i = 1, count do
		children[i] = skynet.newservice("launch", "child")
	end
	return children
end

local function finish(children)
	local alive = {}
	for _, child in ipairs(children) do
		alive[skynet.address(child)] = true
		skynet.send(child, "lua")
	end
	local function left()
		for address in pairs(skynet.call(".launcher", "lua", "LIST")) do
			if alive[address] then
				return true
			end
		end
	end
	while left() do
		skynet.sleep(1)
	end
end

bench.main(function()
	local count = bench.setting "count"
	-- The code is compiled, and the launcher has its memory.
	finish(launch(count // 100))
	local before = resident()
	local children = launch(count)
	bench.result("rss", (resident() - before) / count / 1024, "KiB")
	finish(children)
	local start = os.clock()
	children = launch(count)
	local ready = os.clock()
	finish(children)
	bench.result("cpu", (ready - start) / count * 1e6, "us")
	bench.result("end-cpu", (os.clock() - ready) / count * 1e6, "us")
end)
