-- Service debug_console over TCP: its commands and the exact texts that tools read.
-- config: console = $PORT1

local skynet = require "skynet"
local socket = require "skynet.socket"

local mode = ...

if mode == "peer" then
	local command = {}
	function command.echo(...) return ... end
	skynet.info_func(function(...) return { n = select("#", ...), z = "zz", ... } end)
	skynet.start(function()
		skynet.dispatch("lua", function(_, _, name, ...) skynet.retpack(command[name](...)) end)
	end)
	return
elseif mode == "exits" then
	skynet.start(function() skynet.exit() end)
	return
end

local check = dofile "./test/lua/support/check.lua"
local eq, case = check.eq, check.case

local port = tonumber(skynet.getenv "console")
local connection

local function connect()
	local id = assert(socket.open("127.0.0.1", port))
	eq(socket.readline(id), "Welcome to skynet console")
	return id
end

-- Types a line; returns the lines of the reply before the last one, and the last one.
local function type_line(text)
	socket.write(connection, text .. "\n")
	local lines = {}
	while true do
		local line = assert(socket.readline(connection))
		if line:find "^<CMD %a+>$" then
			return lines, line
		end
		table.insert(lines, line)
	end
end

local function reply(text, ...)
	local lines, verdict = type_line(text)
	eq(lines, { ... })
	eq(verdict, "<CMD OK>")
end

-- The reply is an error whose text ends with `text`.
local function complaint(line, text)
	local lines, verdict = type_line(line)
	assert(lines[#lines]:sub(-#text) == text, lines[#lines])
	eq(verdict, "<CMD Error>")
end

local function has(lines, pattern)
	for _, line in ipairs(lines) do
		if line:find(pattern) then return true end
	end
	error(string.format("no line like %s in: %s", pattern, table.concat(lines, " | ")), 2)
end

local HELP = {
	"call\tcall address ...", "clearcache\tclear lua code cache", "cmem\tShow C memory info",
	"dbgcmd\trun address debug command", "debug\tdebug address : debug a lua service",
	"dumpheap\tdumpheap : dump heap profilling", "exit\texit address : kill a lua service",
	"gc\tgc : force every lua service do garbage collect", "getenv\tgetenv name : skynet.getenv(name)",
	"help\tThis help message", "info\tinfo address : get service infomation", "inject\tinject address luascript.lua",
	"jmem\tShow jemalloc mem stats", "kill\tkill address : kill service",
	"killtask\tkilltask address threadname : threadname listed by task", "list\tList all the service",
	"log\tlaunch a new lua service with log", "logoff\tlogoff address", "logon\tlogon address",
	"mem\tmem : show memory status", "netstat\tnetstat : show netstat", "ping\tping address",
	"profactive\tprofactive [on|off] : active/deactive jemalloc heap profilling", "service\tList unique service",
	"setenv\tsetenv name value: skynet.setenv(name,value)", "signal\tsignal address sig",
	"snax\tlanuch a new snax service", "start\tlanuch a new lua service", "stat\tDump all stats",
	"task\ttask address : show service task detail", "trace\ttrace address [proto] [on|off]",
	"uniqtask\ttask address : show service unique task detail",
}

local function node(console)
	case("help", function()
		if require "skynet.memory".map then	-- our tree
			table.insert(HELP, "memory\tmemory [n] : show where the memory is, and the n largest services")
			table.sort(HELP)
		end
		reply("help", table.unpack(HELP))
	end)
	case("unknown commands", function()
		for _, line in ipairs { "nosuch", "nosuch with words", " ", "\r" } do
			local lines, verdict = type_line(line)
			eq(lines, { "Invalid command, type help for command list", "" })
			eq(verdict, "<CMD Error>")
		end
		socket.write(connection, "\n\n")	-- these are ignored
		reply("getenv none\r", "none\tnil")
	end)
	case("list", function()
		local lines = type_line "list"
		eq(lines[1], ":00000004\tsnlua cdummy")
		has(lines, "^:00000008\tsnlua lib_console$")
		has(lines, string.format("^:%08x\tsnlua debug_console %%d+$", console))
	end)
	case("stat", function()
		for _, line in ipairs { "stat", "stat 100", "stat 0" } do
			has(type_line(line), "^:00000004\tcpu:[%d%.e-]+\tmessage:%d+\tmqlen:%d+\ttask:%d+$")
		end
	end)
	case("mem and gc", function()
		for _, line in ipairs { "mem", "mem 100", "mem 0", "gc" } do
			has(type_line(line), "^:00000004\t%d+%.%d%d Kb %(snlua cdummy%)$")
		end
	end)
	case("start", function()
		local lines = type_line "start lib_console peer x"
		local address = lines[1]:match "^(:%x+)\tlib_console$"
		assert(address, lines[1])
		has(type_line "list", "^" .. address .. "\tsnlua lib_console peer x$")
		type_line("kill " .. address)
		reply("start lib_console exits", "Exit")
		reply("start lib_console_no_such_service", "Failed")
		assert(type_line "log lib_console peer"[1]:find "^:%x+\tlib_console$")
	end)
	case("service", function()
		local handle = skynet.uniqueservice("lib_console", "peer")
		has(type_line "service", string.format("^lib_console\t:%08x$", handle))
	end)
	case("getenv and setenv", function()
		reply("getenv harbor", "harbor\t0")
		reply("setenv lib_console_key value")
		reply("getenv lib_console_key", "lib_console_key\tvalue")
		complaint("setenv lib_console_key other", "Can't setenv exist key : lib_console_key")
	end)
	case("memory", function()
		local lines = type_line "cmem"
		has(lines, "^:%x+\t%d+$")
		local memory = require "skynet.memory"
		if memory.left and next(memory.left()) then
			has(lines, "^:%x+ %(ended%)\t%d+$")
		end
		has(lines, "^block\t%d+$")
		has(lines, "^total\t%d+$")
		if memory.map and memory.map() then
			for _, line in ipairs { "memory", "memory 100" } do
				lines = type_line(line)
				has(lines, "^Lua memory of services +%d+ +%d+%.%d%d Mb$")
				has(lines, "^not touched yet +%-?%d+ +%-?%d+%.%d%d Mb$")
				has(lines, "^sum +%d+ +%d+%.%d%d Mb$")
				has(lines, string.format("^:%08x\tlua:%%d+\tc:%%d+\tmessages:%%d+$", skynet.self()))
			end
			for _, row in ipairs(type_line "memory 0") do
				assert(not row:find "\tlua:", row)
			end
			complaint("memory x", "Need a number")
		elseif memory.map then
			complaint("memory", "This core does not say")
		end
		has(type_line "jmem", "^stats%.allocated\t *%d+ +%d+%.%d%d Mb$")
		assert(type_line "profactive"[1]:find "^heap profilling is %a+$")
		reply "clearcache"
	end)
	case("netstat", function()
		local lines = type_line "netstat"
		local own = string.format("address::%08x", console)
		has(lines, "^%d+\taccept:%d+\t" .. own .. "\tid:%d+\trtime:[%d%.]+s\tsock:127%.0%.0%.1:" .. port .. "\ttype:LISTEN$")
		has(lines, "^%d+\t" .. own .. "\tid:%d+\tpeer:127%.0%.0%.1:%d+\tread:[%d%.]+K?\treading:true\t"
			.. "rtime:[%d%.]+s\ttype:TCP\twrite:[%d%.]+K\twriting:false\twtime:[%d%.]+s$")
	end)
end

local function services(peer)
	local hex = string.format("%x", peer)
	case("address forms", function()
		reply("info " .. hex, "n\t0", "z\tzz")
		reply("info :" .. hex, "n\t0", "z\tzz")
		reply("info .lib_console_peer", "n\t0", "z\tzz")
		complaint("info .lib_console_nobody", "Not a valid name")
		complaint("info zz", "Need an address")
		complaint("info fffff0", "call to invalid address :00fffff0")
		complaint("info :fffff0", "call to invalid address :fffff0")
	end)
	case("info with arguments", function() reply("info " .. hex .. " a b", "1\ta", "2\tb", "n\t2", "z\tzz") end)
	case("ping", function()
		assert(type_line("ping " .. hex)[1]:find "^%d+$")
	end)
	case("task", function()
		local lines = type_line "task 8"
		has(lines, "^thread: 0x%x+ session: %d+\tstack traceback:$")
		lines = type_line "uniqtask 8"
		has(lines, "^1\tsessions:%[%d+%]$")
		has(lines, "^\tstack traceback:$")
		reply("killtask " .. hex .. " nosuch", "Not found")
	end)
	case("call", function()
		reply("call " .. hex .. " 'echo',1,nil,2", "1\t1", "3\t2", "n\t3")
		reply("call " .. hex .. " 'echo'", "n\t0")
		reply("call " .. hex .. " 'echo', 'two  blanks', {a=1,b=2}", "1\ttwo  blanks", "2\ta:1\tb:2", "n\t2")
		complaint("call " .. hex .. " 'nosuch'", "call failed")
		complaint("call " .. hex, "need arguments")
		complaint("call " .. hex .. " )(", "Invalid arguments")
	end)
	case("dbgcmd", function()
		reply("dbgcmd " .. hex .. " PING")
		reply("dbgcmd " .. hex .. " INFO x", "1\tx", "n\t1", "z\tzz")
		complaint("dbgcmd " .. hex .. " NOSUCH", "call failed")
	end)
	case("inject", function()
		local name = os.tmpname()
		local file = assert(io.open(name, "w"))
		file:write "print(SERVICE_NAME, ...) print(_P.lua.command.echo ~= nil)"
		file:close()
		reply("inject " .. hex .. " " .. name .. " a b", "lib_console\ta\tb", "true")
		file = assert(io.open(name, "w"))
		file:write "error 'on purpose'"
		file:close()
		complaint("inject " .. hex .. " " .. name, "on purpose")
		os.remove(name)
		reply("inject " .. hex .. " /no/such/file", "Can't open /no/such/file")
	end)
	case("trace", function()
		reply("trace " .. hex .. " on")
		reply("call " .. hex .. " 'echo',1", "1\t1", "n\t1")
		reply("trace " .. hex .. " lua off")
		reply("trace " .. hex .. " lua")
		complaint("trace " .. hex .. " nosuch on", "call failed")
	end)
	case("signal, logon, logoff", function()
		reply("signal " .. hex .. " 1")
		reply("logon " .. hex)
		reply("logoff " .. hex)
	end)
	case("debug", function()
		local function expect(text) eq(socket.read(connection, #text), text) end
		local prompt = string.format(":%08x>", peer)
		socket.write(connection, "debug " .. hex .. "\n")
		expect(prompt)
		for line, output in pairs {
			["1 + 1"] = "2\t\n",
			["return 1, nil, 'x'"] = "1\tnil\tx\t\n",
			["watch 'nosuch'"] = "No nosuch\t\n",
			["watch 'response'"] = "No dispatch\t\n",
		} do
			socket.write(connection, line .. "\n")
			expect(output .. prompt)
		end
		socket.write(connection, "watch('lua', function(_, _, name) return name == 'echo' end)\n")
		expect("\n" .. prompt)
		local answer
		skynet.fork(function() answer = skynet.call(peer, "lua", "echo", "stopped") end)
		local where = assert(socket.readline(connection, ">"))
		assert(where:find "lib_console%.lua%(%d+%)$", where)
		where = where .. ">"
		eq(answer, nil)
		socket.write(connection, "name\n")
		expect("echo\t\n" .. where)
		socket.write(connection, "...\n")
		expect("stopped\t\n" .. where)
		socket.write(connection, "c\n")
		expect(prompt)
		check.wait(function() return answer end)
		eq(answer, "stopped")
		socket.write(connection, "cont\n")
		eq(socket.readline(connection), "<CMD OK>")
		reply("info " .. hex, "n\t0", "z\tzz")
	end)
	case("exit and kill", function()
		local victim = skynet.newservice("lib_console", "peer")
		reply(string.format("exit %x", victim))
		check.wait(function() return not pcall(skynet.call, victim, "debug", "PING") end)
		victim = skynet.newservice("lib_console", "peer")
		reply(string.format("kill %x", victim), string.format(":%08x\tsnlua lib_console peer", victim))
		reply(string.format("kill %x", victim), string.format(":%08x\tnil", victim))
	end)
end

local function http()
	local function request(text)
		local id = connect()
		socket.write(id, text)
		local answer = socket.readall(id)
		socket.close(id)
		return answer
	end
	case("GET", function()
		eq(request "GET /getenv/harbor HTTP/1.1\r\nHost: x\r\n\r\n", "harbor\t0\n<CMD OK>\n")
		eq(request "GET /nosuch HTTP/1.0\r\n\r\n", "Invalid command, type help for command list\n\n<CMD Error>\n")
	end)
	case("POST", function()
		eq(request "POST / HTTP/1.1\r\nContent-Length: 13\r\n\r\ngetenv harbor", "harbor\t0\n<CMD OK>\n")
	end)
end

check.run(function()
	local console = skynet.newservice("debug_console", port)
	local peer = skynet.newservice("lib_console", "peer")
	skynet.name(".lib_console_peer", peer)
	connection = connect()
	node(console)
	services(peer)
	http()
	case("several clients, and one that hangs up", function()
		local ids = {}
		for i = 1, 5 do ids[i] = connect() end
		for i = 1, 5 do socket.close(ids[i]) end
		reply("getenv harbor", "harbor\t0")
	end)
end)
