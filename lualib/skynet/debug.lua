-- skynet.debug: proto `debug`, the questions that the launcher and the debug console put to every service.
-- skynet.lua loads and initialises it when the first of them comes.

local M = {}

local extra = {}	-- commands of the service's own
local info	-- the function given to skynet.info_func

function M.reg_debugcmd(name, f)
	extra[name] = f
end

-- skynet.info_func
function M.info_func(f)
	info = f
end

local function built_in(skynet)
	local command = {}
	local collecting = false

	function command.MEM()
		skynet.retpack((collectgarbage "count"))
	end

	function command.GC()
		if not collecting then
			collecting = true
			local size, since = collectgarbage "count", skynet.now()
			collectgarbage "collect"
			collecting = false
			skynet.error(string.format("GC %.2f Kb -> %.2f Kb, cost %.2f sec", size, collectgarbage "count",
				(skynet.now() - since) / 100))
		end
		skynet.ret()
	end

	function command.STAT()
		skynet.retpack {
			task = skynet.task(),
			mqlen = skynet.mqlen(),
			cpu = skynet.stat "cpu",
			message = skynet.stat "message",
		}
	end

	function command.TASK(which)
		if which == nil then
			local all = {}
			skynet.task(all)
			skynet.retpack(all)
		else
			skynet.retpack(skynet.task(tonumber(which) or which))
		end
	end

	function command.UNIQTASK()
		skynet.retpack(skynet.uniqtask())
	end

	function command.KILLTASK(name)
		local thread = skynet.killthread(name)
		if thread then
			skynet.error("Kill " .. tostring(thread))
			skynet.ret()
		else
			skynet.error("Kill " .. name .. " : Not found")
			skynet.retpack "Not found"
		end
	end

	function command.INFO(...)
		if info then
			skynet.retpack(info(...))
		else
			skynet.retpack(nil)
		end
	end

	function command.EXIT()
		skynet.exit()
	end

	function command.RUN(source, filename, ...)
		local inject = require "skynet.inject"
		local ok, lines = inject(skynet, source, filename, table.pack(...),
			skynet.dispatch_message, skynet.register_protocol)
		collectgarbage "collect"	-- the script may have replaced much
		skynet.retpack(ok, table.concat(lines, "\n"))
	end

	function command.TERM(service)
		skynet.term(service)
		skynet.ret()
	end

	function command.REMOTEDEBUG(...)
		require "skynet.remotedebug".start(skynet, ...)
	end

	function command.SUPPORT(name)
		skynet.retpack(skynet.dispatch(name) ~= nil)
	end

	function command.PING()
		skynet.ret()
	end

	function command.LINK()
		skynet.response()	-- skynet.exit answers it
	end

	function command.TRACELOG(name, flag)
		if type(name) ~= "string" then
			name, flag = "lua", name
		end
		skynet.error(string.format("Turn trace log %s for %s", flag, name))
		skynet.traceproto(name, flag)
		skynet.ret()
	end

	return command
end

-- What handles debug messages.
function M.handler(skynet)
	local command = built_in(skynet)
	return function(_, _, name, ...)
		local f = command[name] or extra[name]
		if not f then
			error(name, 0)
		end
		f(...)
	end
end

function M.init(skynet)
	skynet.dispatch("debug", M.handler(skynet))
end

return M
