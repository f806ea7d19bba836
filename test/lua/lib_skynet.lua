-- Module skynet: its surface, addresses, protocols, sending, calling, replying.

local skynet = require "skynet"
local core = require "skynet.core"

local mode = ...

if mode == "peer" then
	-- answers as it is told
	local kept = {}
	local act = {}

	function act.echo(...) skynet.retpack(...) end
	function act.nothing() end
	function act.raw() skynet.ret("raw bytes") end
	function act.empty() skynet.ret() end
	function act.ignore() skynet.ignoreret() end
	function act.context() skynet.retpack(skynet.context()) end
	function act.twice()
		local first = skynet.ret(skynet.pack "one")
		local ok, reason = pcall(skynet.ret, skynet.pack "two")
		kept.twice = { first, ok, reason, (skynet.context()) }
	end
	function act.forked()
		skynet.fork(function()
			kept.forked = table.pack(skynet.context())
			kept.forked_ret = select(2, pcall(skynet.ret))
			kept.forked_response = select(2, pcall(skynet.response))
		end)
		skynet.ret()
	end
	function act.keep(pack) kept.response = skynet.response(pack and skynet.packstring) end
	function act.use(...) skynet.retpack(kept.response(...)) end
	function act.use_raising() skynet.retpack(pcall(kept.response, true, function() end)) end
	function act.kept(name) skynet.retpack(kept[name]) end
	function act.send_result()
		kept.session0 = { skynet.context(), skynet.ret(skynet.pack(1)) }
	end
	function act.response0()
		local r = skynet.response()
		kept.response0 = { select("#", r("TEST")), select("#", r(true, 1)), select("#", r(true, 1)) }
	end
	function act.ret_unpackable() skynet.retpack(print) end
	function act.ret_bad() skynet.ret({}) end

	skynet.register_protocol { name = "text", id = skynet.PTYPE_TEXT, unpack = skynet.tostring,
		dispatch = function(_, _, text) kept.text = text end }
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, what, ...) act[what](...) end)
	end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, raises, results, case = check.eq, check.raises, check.results, check.case

local NAMES = [[
PTYPE_CLIENT PTYPE_DEBUG PTYPE_ERROR PTYPE_HARBOR PTYPE_LUA PTYPE_MULTICAST PTYPE_QUEUE PTYPE_RESPONSE PTYPE_SNAX
PTYPE_SOCKET PTYPE_SYSTEM PTYPE_TEXT PTYPE_TRACE _proto address cache call context dispatch dispatch_message
dispatch_unknown_request dispatch_unknown_response endless error exit fork genid getenv harbor hpc ignoreret info_func
init init_service killthread localname memlimit mqlen newservice now pack packstring pcall queryservice rawcall rawsend
redirect register_protocol request response ret retpack self send setenv sleep start starttime stat task term time
timeout tostring trace trace_timeout tracecall tracelog traceproto tracetag trash uniqtask uniqueservice unpack wait
wakeup yield
launch kill abort register name forward_type filter monitor]]

local function surface()
	case("exported names", function()
		for name in NAMES:gmatch "%S+" do
			assert(skynet[name] ~= nil, name)
		end
	end)
	case("message classes", function()
		for id, name in ipairs { "RESPONSE", "MULTICAST", "CLIENT", "SYSTEM", "HARBOR", "SOCKET", "ERROR", "QUEUE",
			"DEBUG", "LUA", "SNAX", "TRACE" } do
			eq(skynet["PTYPE_" .. name], id, name)
		end
		eq(skynet.PTYPE_TEXT, 0)
	end)
	case("built-in protocols", function()
		for name, id in pairs { lua = 10, response = 1, error = 7, debug = 9 } do
			eq(skynet._proto[name].id, id, name)
			assert(rawequal(skynet._proto[id], skynet._proto[name]), name)
		end
	end)
	case("one table for every require", function()
		assert(rawequal(skynet, require "skynet"))
		assert(rawequal(skynet, require "skynet.manager"))
		assert(rawequal(skynet.queue, nil) or type(skynet.queue) == "function")
		local queue = require "skynet.queue"
		assert(rawequal(queue, skynet.queue))
	end)
	case("exported names of the other modules", function()
		local modules = {
			["skynet.coroutine"] = "close create isyieldable resume running status thread wrap yield",
			["skynet.service"] = "close new query",
			["skynet.harbor"] = "connect globalname link linkmaster queryname",
			["skynet.datacenter"] = "get set wait",
			["skynet.debug"] = "init reg_debugcmd",
			["skynet.require"] = "init init_all require",
			["skynet.socket"] = "abandon bind block close close_fd disconnected header invalid limit listen lwrite "
				.. "netstat onclose open pause read readall readline resolve sendto shutdown start stdin udp udp_address "
				.. "udp_connect udp_dial udp_listen warning write",
			["skynet.multicast"] = "new",
			["skynet.remotedebug"] = "start",
		}
		for module, names in pairs(modules) do
			local exported = require(module)
			for name in names:gmatch "%S+" do
				assert(type(exported[name]) == "function", module .. "." .. name)
			end
		end
		for _, module in ipairs { "skynet.queue", "skynet.inject", "skynet.injectcode" } do
			eq(type(require(module)), "function", module)
		end
	end)
end

local function environment()
	case("self, address, harbor", function()
		eq(skynet.self(), 8)
		eq(skynet.address(8), ":00000008")
		eq(skynet.address ":8", ":8")
		eq(skynet.address ".name", ".name")
		results(table.pack(skynet.harbor(8)), 0, false)
		results(table.pack(skynet.harbor(0x05000001)), 5, true)
	end)
	case("localname", function()
		eq(skynet.localname ".launcher", 3)
		eq(skynet.localname ".nobody", nil)
		eq(skynet.localname "DATACENTER", nil)
	end)
	case("getenv and setenv", function()
		eq(skynet.getenv "harbor", "0")
		eq(skynet.getenv "standalone", "true")
		eq(skynet.getenv "no such key", nil)
		skynet.setenv("lib_skynet_key", "a value")
		eq(skynet.getenv "lib_skynet_key", "a value")
		raises("Can't setenv exist key : lib_skynet_key", skynet.setenv, "lib_skynet_key", "other")
		eq(skynet.getenv "lib_skynet_key", "a value")
	end)
	case("clocks", function()
		eq(math.type(skynet.now()), "integer")
		eq(math.type(skynet.starttime()), "integer")
		local time = skynet.time()
		eq(math.type(time), "float")
		assert(math.abs(time - os.time()) < 5)
		local before = skynet.hpc()
		eq(math.type(before), "integer")
		assert(skynet.hpc() >= before)
	end)
	case("stat", function()
		eq(skynet.mqlen(), 0)
		eq(math.type(skynet.stat "message"), "integer")
		assert(skynet.stat "cpu" >= 0)
		assert(skynet.stat "time" >= 0)
		eq(skynet.stat "no such figure", 0)
		eq(skynet.endless(), false)
	end)
	case("memlimit only in the main chunk", function()
		eq(type(skynet.memlimit), "function")
	end)
	case("pcall", function()
		eq(skynet.pcall, pcall)
	end)
end

local function protocols()
	case("register_protocol keeps the table", function()
		local class = { name = "lib_proto", id = 200, pack = skynet.pack, unpack = skynet.unpack }
		skynet.register_protocol(class)
		assert(rawequal(skynet._proto.lib_proto, class))
		local got
		class.dispatch = function(session, source, ...) got = { session, source, ... } end
		eq(skynet.send(skynet.self(), "lib_proto", 1, "x"), 0)
		skynet.sleep(1)
		eq(got, { 0, 8, 1, "x" })
	end)
	case("name or id in use", function()
		raises("assertion failed!", skynet.register_protocol, { name = "lua", id = 201 })
		raises("assertion failed!", skynet.register_protocol, { name = "lib_other", id = skynet.PTYPE_LUA })
	end)
	case("dispatch", function()
		local function first() end
		local function second() end
		eq(skynet.dispatch "lib_none", nil)
		eq(skynet.dispatch "lua", nil)
		eq(skynet.dispatch("lua", first), nil)
		eq(skynet.dispatch "lua", first)
		eq(skynet.dispatch("lua", second), first)
		assert(not pcall(skynet.dispatch, "lib_none", first))
	end)
	case("string and pointer messages", function()
		local texts = {}
		skynet.register_protocol { name = "lib_raw", id = 202, unpack = skynet.tostring,
			dispatch = function(_, _, text) table.insert(texts, text) end }
		eq(skynet.rawsend(skynet.self(), "lib_raw", "a string"), 0)
		eq(skynet.rawsend(skynet.self(), "lib_raw", ""), 0)
		eq(skynet.rawsend(skynet.self(), "lib_raw", skynet.pack "packed"), 0)
		eq(skynet.redirect(skynet.self(), 0x123, "lib_raw", 0, "redirected"), 0)
		skynet.sleep(1)
		eq(texts, { "a string", "", skynet.packstring "packed", "redirected" })
		raises("invalid param table", skynet.rawsend, skynet.self(), "lib_raw", {})
		raises("invalid param nil", skynet.rawsend, skynet.self(), "lib_raw", nil)
	end)
	case("redirect allocates a session", function()
		local got
		skynet.register_protocol { name = "lib_session", id = 203, unpack = skynet.tostring,
			dispatch = function(session, source) got = { session, source } skynet.ignoreret() end }
		local session = skynet.redirect(skynet.self(), 0x123, "lib_session", nil, "")
		assert(math.type(session) == "integer" and session > 0)
		skynet.sleep(1)
		eq(got, { session, 0x123 })
	end)
end

local function unknown_messages()
	case("dispatch_unknown_request", function()
		local got = {}
		local old = skynet.dispatch_unknown_request(function(session, address, msg, size, proto)
			table.insert(got, { session, address, skynet.tostring(msg, size), proto })
		end)
		eq(type(old), "function")
		core.send(skynet.self(), 240, 0, "unregistered")
		skynet.register_protocol { name = "lib_deaf", id = 241 }
		core.send(skynet.self(), 241, 0, "no handler")
		skynet.sleep(1)
		eq(got, { { 0, 8, "unregistered", 240 }, { 0, 8, "no handler", "lib_deaf" } })
		assert(skynet.dispatch_unknown_request(old) ~= old)
	end)
	case("requests nobody handles fail", function()
		skynet.register_protocol { name = "lib_deaf2", id = 242, pack = skynet.pack, unpack = skynet.unpack }
		raises("call failed", skynet.call, skynet.self(), "lib_deaf2")
	end)
	case("dispatch_unknown_response", function()
		local got = {}
		local old = skynet.dispatch_unknown_response(function(session, address, msg, size)
			table.insert(got, { session, address, skynet.tostring(msg, size) })
		end)
		core.send(skynet.self(), skynet.PTYPE_RESPONSE, 0x7ffffff0, "late")
		skynet.sleep(1)
		eq(got, { { 0x7ffffff0, 8, "late" } })
		skynet.dispatch_unknown_response(old)
	end)
	case("the default handlers raise, and the service lives on", function()
		core.send(skynet.self(), skynet.PTYPE_RESPONSE, 0x7ffffff0, "late")
		core.send(skynet.self(), 243, 0, "unknown")
		skynet.sleep(1)
	end)
end

local function calling(peer)
	case("send", function()
		eq(skynet.send(peer, "lua", "nothing"), 0)
		results(table.pack(skynet.send(0xfffff0, "lua")))
		results(table.pack(skynet.send(".nobody", "lua")))
		raises("Invalid service address 0", skynet.send, 0, "lua")
		raises("dest address type (nil) must be a string or number.", skynet.send, nil, "lua")
		raises("dest address type (table) must be a string or number.", skynet.send, {}, "lua")
		assert(not pcall(skynet.send, peer, "no such proto"))
		raises("Unsupport type function to serialize", skynet.send, peer, "lua", print)
	end)
	case("address forms", function()
		eq(skynet.call(peer, "lua", "echo", 1), 1)
		eq(skynet.call(string.format(":%x", peer), "lua", "echo", 2), 2)
		skynet.name(".lib_peer", peer)
		eq(skynet.call(".lib_peer", "lua", "echo", 3), 3)
		skynet.name("LIB_PEER", peer)
		eq(skynet.call("LIB_PEER", "lua", "echo", 4), 4)
	end)
	case("call", function()
		results(table.pack(skynet.call(peer, "lua", "echo")))
		results(table.pack(skynet.call(peer, "lua", "echo", nil, 1, nil)), nil, 1, nil)
		results(table.pack(skynet.call(peer, "lua", "empty")))
		raises("call to invalid address :00fffff0", skynet.call, 0xfffff0, "lua")
		raises("call to invalid address .nobody", skynet.call, ".nobody", "lua")
	end)
	case("rawcall", function()
		local msg, size = skynet.rawcall(peer, "lua", skynet.pack "raw")
		eq(skynet.tostring(msg, size), "raw bytes")
		eq(skynet.tostring(skynet.rawcall(peer, "lua", skynet.packstring "raw")), "raw bytes")
		raises("call to invalid address", skynet.rawcall, 0xfffff0, "lua", "")
	end)
	case("tracecall", function()
		local msg, size = skynet.tracecall("lib-tag", peer, "lua", skynet.pack("echo", 5))
		eq(skynet.unpack(msg, size), 5)
		raises("call to invalid address", skynet.tracecall, "lib-tag", 0xfffff0, "lua", "")
	end)
	case("context", function()
		local session, source = skynet.call(peer, "lua", "context")
		assert(math.type(session) == "integer" and session > 0)
		eq(source, skynet.self())
		results(table.pack(skynet.context()), nil, nil)
	end)
	case("ret twice", function()
		eq(skynet.call(peer, "lua", "twice"), "one")
		local kept = skynet.call(peer, "lua", "kept", "twice")
		eq(kept[1], true)
		eq(kept[2], false)
		assert(kept[3]:find "No session$", kept[3])
		eq(kept[4], nil)
	end)
	case("a fork has no request", function()
		skynet.call(peer, "lua", "forked")
		skynet.sleep(1)
		eq(skynet.call(peer, "lua", "kept", "forked"), { n = 2 })
		assert(skynet.call(peer, "lua", "kept", "forked_ret"):find "No session$")
		assert(skynet.call(peer, "lua", "kept", "forked_response"):find "no session$")
	end)
	case("ret of a message without session", function()
		skynet.send(peer, "lua", "send_result")
		skynet.sleep(1)
		eq(skynet.call(peer, "lua", "kept", "session0"), { 0, false })
	end)
	case("what cannot be packed fails the request", function()
		raises("call failed", skynet.call, peer, "lua", "ret_unpackable")
		raises("call failed", skynet.call, peer, "lua", "no such act")
	end)
end

local function responses(peer)
	local answer
	local function keep(...)
		local arguments = table.pack(...)
		answer = nil
		skynet.fork(function()
			answer = table.pack(pcall(skynet.call, peer, "lua", "keep", table.unpack(arguments, 1, arguments.n)))
		end)
		skynet.sleep(1)
		eq(answer, nil, "answer before the response")
	end
	local function use(...)
		return skynet.call(peer, "lua", "use", ...)
	end

	case("response true", function()
		keep()
		eq(use "TEST", true)
		eq(use(true, 1, nil, 3), true)
		skynet.sleep(1)
		results(answer, true, 1, nil, 3)
		eq(use "TEST", false)
		raises("call failed", use, true)
	end)
	case("response false", function()
		keep()
		eq(use(false), true)
		skynet.sleep(1)
		eq(answer[1], false)
		assert(answer[2]:find "call failed$")
		raises("call failed", use, false)
	end)
	case("response with a packer of its own", function()
		keep(true)
		eq(use(true, "x"), true)
		skynet.sleep(1)
		results(answer, true, "x")
	end)
	case("response that cannot be packed stays open", function()
		keep()
		eq(skynet.call(peer, "lua", "use_raising"), false)
		eq(use "TEST", true)
		eq(use(true, "second try"), true)
		skynet.sleep(1)
		results(answer, true, "second try")
	end)
	case("response of a message without session", function()
		skynet.send(peer, "lua", "response0")
		skynet.sleep(1)
		eq(skynet.call(peer, "lua", "kept", "response0"), { 0, 0, 0 })
	end)
end

check.run(function()
	surface()
	environment()
	protocols()
	unknown_messages()
	local peer = skynet.newservice("lib_skynet", "peer")
	calling(peer)
	responses(peer)
end)
