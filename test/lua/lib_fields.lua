-- Module skynet: its fields are there whatever a service used first, or replaced.

local skynet = require "skynet"

-- A service that has used nothing but start and dispatch, and has one message for each thing that may follow.
if ... == "plain" then
	local handler = {}
	function handler.ok() skynet.ret() end
	function handler.raise() error "on purpose" end
	function handler.forget() end
	function handler.yield() coroutine.yield() end
	function handler.exit() skynet.exit() end
	function handler.error(source) skynet.ret(skynet.pack(pcall(skynet.call, source, "lua", "none"))) end
	skynet.start(function()
		skynet.dispatch("lua", function(_, source, name) handler[name](source) end)
	end)
	return
elseif ... == "replaced" then
	local exits = 0
	function skynet.exit() exits = exits + 1 end
	skynet.start(function()
		skynet.dispatch("lua", function()
			skynet.exit()
			local walked
			for name, value in pairs(skynet) do
				if name == "exit" then
					walked = value
				end
			end
			skynet.ret(skynet.pack(exits, rawequal(walked, skynet.exit)))
		end)
	end)
	return
elseif ... == "pathless" then
	package.path, package.cpath = "", ""
	skynet.start(function() end)
	return
elseif ... == "raises" then
	skynet.start(function() error "on purpose" end)
	return
end

-- first of all, before anything in this service uses one of them
local walked = {}
for name, value in pairs(skynet) do
	assert(walked[name] == nil, name)
	walked[name] = value
end

local check = dofile "./test/lua/support/check.lua"
local eq, case = check.eq, check.case

local NAMES = [[
PTYPE_CLIENT PTYPE_DEBUG PTYPE_ERROR PTYPE_HARBOR PTYPE_LUA PTYPE_MULTICAST PTYPE_QUEUE PTYPE_RESPONSE PTYPE_SNAX
PTYPE_SOCKET PTYPE_SYSTEM PTYPE_TEXT PTYPE_TRACE _proto address cache call context dispatch dispatch_message
dispatch_unknown_request dispatch_unknown_response endless error exit fork genid getenv harbor hpc ignoreret info_func
init init_service killthread localname memlimit mqlen newservice now pack packstring pcall queryservice rawcall rawsend
redirect register_protocol request response ret retpack self send setenv sleep start starttime stat task term time
timeout tostring trace trace_timeout tracecall tracelog traceproto tracetag trash uniqtask uniqueservice unpack wait
wakeup yield]]

skynet.register_protocol { name = "client", id = skynet.PTYPE_CLIENT }

check.run(function()
	case("pairs shows every field, the same as an access", function()
		for name in NAMES:gmatch "%S+" do
			assert(walked[name] ~= nil, name)
			assert(rawequal(walked[name], skynet[name]), name)
		end
	end)
	case("fields that do not exist", function()
		eq(skynet.no_such_field, nil)
		eq(skynet.PTYPE_NONE, nil)
		eq(skynet.PTYPE_, nil)
		eq(skynet[1], nil)
		eq(skynet[skynet], nil)
		eq(skynet.command, nil)
		eq(skynet.api, nil)
	end)
	case("a function that was replaced before it was used", function()
		eq({ skynet.call(skynet.newservice("lib_fields", "replaced"), "lua") }, { 1, true })
	end)
	case("a start function that raises", function()
		eq(pcall(skynet.newservice, "lib_fields", "raises"), false)
	end)

	case("a debug message to a service without a path", function()
		eq(type(skynet.call(skynet.newservice("lib_fields", "pathless"), "debug", "STAT")), "table")
	end)

	-- each with a service of its own, that has used nothing yet
	local function plain()
		return skynet.newservice("lib_fields", "plain")
	end
	case("a handler that raises", function()
		local service = plain()
		eq(pcall(skynet.call, service, "lua", "raise"), false)
		skynet.call(service, "lua", "ok")
	end)
	case("a handler that does not answer", function()
		local service = plain()
		skynet.fork(pcall, skynet.call, service, "lua", "forget")
		skynet.sleep(1)
		skynet.call(service, "lua", "ok")
	end)
	case("a handler that yields by itself", function()
		local service = plain()
		skynet.send(service, "lua", "yield")
		skynet.call(service, "lua", "ok")
	end)
	case("a handler whose call fails", function()
		local reply = table.pack(skynet.call(plain(), "lua", "error"))
		eq(reply[1], false)
	end)
	case("exit", function()
		local service = plain()
		eq(pcall(skynet.call, service, "lua", "exit"), false)
		eq(pcall(skynet.call, service, "lua", "ok"), false)
	end)
	case("a message of a protocol that nobody handles", function()
		local service = plain()
		eq(pcall(skynet.rawcall, service, "client", "x"), false)
		skynet.call(service, "lua", "ok")
	end)
	case("an answer that nobody waits for", function()
		local service = plain()
		skynet.redirect(service, skynet.self(), "response", 77, "x")
		skynet.call(service, "lua", "ok")
	end)
	case("an error that nobody waits for", function()
		local service = plain()
		skynet.redirect(service, skynet.self(), "error", 77, "")
		skynet.redirect(service, skynet.self(), "error", 0, "")
		skynet.call(service, "lua", "ok")
	end)
	case("a trace tag", function()
		skynet.tracecall("tag", plain(), "lua", skynet.pack "ok")
	end)
	case("questions of the debug console", function()
		local service = plain()
		skynet.call(service, "debug", "PING")
		eq(skynet.call(service, "debug", "SUPPORT", "lua"), true)
		eq(skynet.call(service, "debug", "TASK"), {})
		eq(pcall(skynet.call, plain(), "debug", "NO_SUCH"), false)
	end)
end)
