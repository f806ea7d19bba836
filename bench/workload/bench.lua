-- What the Lua workloads share. Settings are keys of the config file; what was measured is a line
-- "RESULT name value unit" on stdout, which the driver reads.

local skynet = require "skynet"
require "skynet.manager"

local bench = {}

function bench.setting(key)
	return assert(math.tointeger(tonumber(skynet.getenv(key) or "")), "no setting " .. key)
end

-- Seconds of a steady clock.
function bench.now()
	return skynet.hpc() / 1e9
end

function bench.result(name, value, unit)
	print(string.format("RESULT %s %.6g %s", name, value, unit))
end

-- Says that this node does not have what the workload measures.
function bench.skip(why)
	print("SKIPPED " .. why)
end

function bench.median(list)
	table.sort(list)
	local half = #list // 2
	return #list % 2 == 1 and list[half + 1] or (list[half] + list[half + 1]) / 2
end

-- Runs the workload and ends the node. An error ends it too, and then the driver misses the result.
function bench.main(run)
	skynet.start(function()
		skynet.fork(function()
			local ok, err = xpcall(run, debug.traceback)
			if not ok then
				io.stderr:write("bench: ", tostring(err), "\n")
			end
			skynet.abort()
		end)
	end)
end

-- A service that answers with handlers[command](...); a handler without result leaves a send unanswered.
function bench.service(handlers)
	skynet.start(function()
		skynet.dispatch("lua", function(session, _, command, ...)
			if session == 0 then
				handlers[command](...)
			else
				skynet.ret(skynet.pack(handlers[command](...)))
			end
		end)
	end)
end

return bench
