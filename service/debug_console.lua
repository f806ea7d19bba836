-- debug_console `[ip] port`: a telnet console (also a crude HTTP server) to look into the node while it runs.
-- Tools read the output: its texts and layout are part of the interface.

local skynet = require "skynet"
local core = require "skynet.core"
local socket = require "skynet.socket"
local memory = require "skynet.memory"
local codecache = require "skynet.codecache"
require "skynet.manager"

local DEFAULT_TIMEOUT <const> = 300	-- cs that list-like commands wait for the services
local BODY_LIMIT <const> = 8192	-- bytes of an HTTP request body

-- name -> { help = text, run = function(client, word...) }; with `raw` the function gets (client, address, rest of
-- the line).  What it returns is printed.
local commands = {}

local function define(name, help, run, raw)
	commands[name] = { help = help, run = run, raw = raw }
end

-- ---------------------------------------------------------------- output

-- Keys of a table as text, in order, and text -> value.
local function by_text(t)
	local names, values = {}, {}
	for key, value in pairs(t) do
		local name = tostring(key)
		names[#names + 1] = name
		values[name] = value
	end
	table.sort(names)
	return names, values
end

local function as_text(value)
	if type(value) ~= "table" then
		return tostring(value)
	end
	local names, values = by_text(value)
	local fields = {}
	for i, name in ipairs(names) do
		fields[i] = name .. ":" .. tostring(values[name])
	end
	return table.concat(fields, "\t")
end

local function print_result(client, result)
	if result == nil then
		return
	elseif type(result) ~= "table" then
		client.print(tostring(result))
		return
	end
	local names, values = by_text(result)
	for _, name in ipairs(names) do
		client.print(name .. "\t" .. as_text(values[name]))
	end
end

-- ---------------------------------------------------------------- arguments

-- ".name", ":hex" (as it is) or hex digits of a service of this node
local function address_of(text)
	local first = (text or ""):sub(1, 1)
	if first == ":" then
		return text
	elseif first == "." then
		return assert(skynet.localname(text), "Not a valid name")
	end
	local number = assert(tonumber(text or "", 16), "Need an address")
	return number | skynet.harbor(skynet.self()) << 24
end

local function timeout_of(text)
	local ti = text and assert(tonumber(text), "Need a number") or DEFAULT_TIMEOUT
	return ti > 0 and ti or nil
end

-- ---------------------------------------------------------------- commands: the node

define("help", "This help message", function()
	local texts = {}
	for name, command in pairs(commands) do
		texts[name] = command.help
	end
	return texts
end)

local function ask_launcher(...)
	return skynet.call(".launcher", "lua", ...)
end

define("list", "List all the service", function()
	return ask_launcher "LIST"
end)

define("stat", "Dump all stats", function(_, ti)
	return ask_launcher("STAT", timeout_of(ti))
end)

define("mem", "mem : show memory status", function(_, ti)
	return ask_launcher("MEM", timeout_of(ti))
end)

define("gc", "gc : force every lua service do garbage collect", function(_, ti)
	return ask_launcher("GC", timeout_of(ti))
end)

define("service", "List unique service", function()
	return skynet.call("SERVICE", "lua", "LIST")
end)

local function launch_result(name, ok, handle)
	if not ok then
		return "Failed"
	elseif not handle then
		return "Exit"
	end
	return { [skynet.address(handle)] = name }
end

define("start", "lanuch a new lua service", function(_, name, ...)
	return launch_result(name, pcall(skynet.newservice, name or "", ...))
end)

define("log", "launch a new lua service with log", function(_, name, ...)
	return launch_result(name, pcall(ask_launcher, "LOGLAUNCH", "snlua", name or "", ...))
end)

define("snax", "lanuch a new snax service", function(_, name, ...)
	return launch_result(name, pcall(function(...)
		return require "skynet.snax".newservice(name, ...).handle
	end, ...))
end)

define("clearcache", "clear lua code cache", function()
	codecache.clear()
end)

define("getenv", "getenv name : skynet.getenv(name)", function(_, name)
	return { [assert(name, "need a name")] = tostring(skynet.getenv(name)) }
end)

define("setenv", "setenv name value: skynet.setenv(name,value)", function(_, name, value)
	skynet.setenv(assert(name, "need a name"), assert(value, "need a value"))
end)

-- ---------------------------------------------------------------- commands: one service

local function ask_service(address, ...)
	return skynet.call(address_of(address), "debug", ...)
end

define("info", "info address : get service infomation", function(_, address, ...)
	return ask_service(address, "INFO", ...)
end)

define("task", "task address : show service task detail", function(_, address)
	return ask_service(address, "TASK")
end)

define("uniqtask", "task address : show service unique task detail", function(_, address)
	return ask_service(address, "UNIQTASK")
end)

define("killtask", "killtask address threadname : threadname listed by task", function(_, address, name)
	return ask_service(address, "KILLTASK", assert(name, "need a thread name"))
end)

define("exit", "exit address : kill a lua service", function(_, address)
	skynet.send(address_of(address), "debug", "EXIT")
end)

define("kill", "kill address : kill service", function(_, address)
	return ask_launcher("KILL", address_of(address))
end)

define("ping", "ping address", function(_, address)
	local sent = skynet.now()
	ask_service(address, "PING")
	return skynet.now() - sent
end)

define("inject", "inject address luascript.lua", function(_, address, filename, ...)
	address = address_of(address)
	local file = io.open(assert(filename, "need a file name"), "rb")
	if not file then
		return "Can't open " .. filename
	end
	local source = file:read "a"
	file:close()
	local ok, output = skynet.call(address, "debug", "RUN", source, filename, ...)
	if not ok then
		error(output, 0)
	end
	return output
end)

define("dbgcmd", "run address debug command", function(_, address, ...)
	return ask_service(address, ...)
end)

define("call", "call address ...", function(_, address, expression)
	address = address_of(address)
	assert(expression ~= "", "need arguments")
	local code = assert(load("return " .. expression, "=(call)", "t", {}), "Invalid arguments")
	local values = table.pack(pcall(code))
	assert(table.unpack(values, 1, 2))
	return table.pack(skynet.call(address, "lua", table.unpack(values, 2, values.n)))
end, true)

define("trace", "trace address [proto] [on|off]", function(_, address, proto, switch)
	address = address_of(address)
	if switch == nil and (proto == "on" or proto == "off") then
		proto, switch = nil, proto
	end
	local flag
	if switch ~= nil then
		flag = switch == "on" or switch == "true"
	end
	skynet.call(address, "debug", "TRACELOG", proto or "lua", flag)
end)

-- For the kernel's commands: they take no numbers.
local function address_text(address)
	return skynet.address(address_of(address))
end

define("signal", "signal address sig", function(_, address, signal)
	core.command("SIGNAL", signal and address_text(address) .. " " .. signal or address_text(address))
end)

define("logon", "logon address", function(_, address)
	core.command("LOGON", address_text(address))
end)

define("logoff", "logoff address", function(_, address)
	core.command("LOGOFF", address_text(address))
end)

-- Hands the client's lines to a debug_agent until the session is over.
define("debug", "debug address : debug a lua service", function(client, address)
	address = address_of(address)
	local agent = skynet.newservice "debug_agent"
	local reader
	reader = skynet.fork(function()
		local line
		repeat
			-- a client that has gone away must not leave the service in debug mode
			line = client.readline() or "cont"
			skynet.send(agent, "lua", "cmd", line)
		until line == "cont"
		reader = nil
	end)
	local ok, finished, reason = pcall(skynet.call, agent, "lua", "start", address, client.id)
	if reader then
		skynet.killthread(reader)	-- it would take the next command
	end
	if not (ok and finished) then
		error(reason or finished, 0)
	end
end)

-- ---------------------------------------------------------------- commands: memory and sockets

define("cmem", "Show C memory info", function()
	local rows = {}
	-- Services that have ended and left something; an executable of upstream's cannot tell them apart.
	local left = memory.left and memory.left() or {}
	for handle, bytes in pairs(memory.info()) do
		rows[skynet.address(handle)] = not left[handle] and bytes or nil
	end
	for handle, account in pairs(left) do
		rows[skynet.address(handle) .. " (ended)"] = account.bytes
	end
	rows.total = memory.total()
	rows.block = memory.block()
	return rows
end)

define("jmem", "Show jemalloc mem stats", function()
	local rows = {}
	for name, bytes in pairs(memory.jestat()) do
		rows[name] = string.format("%11d  %8.2f Mb", bytes, bytes / 2 ^ 20)
	end
	return rows
end)

-- Figure of `memory.map()`, and what people call it. The sum is above the line; what follows is part of it.
local MEMORY_PARTS <const> = {
	{ "lua", "Lua memory of services" }, { "lua_ended", "Lua memory of ended services" },
	{ "c", "malloc blocks of services" }, { "c_ended", "malloc blocks of ended services" },
	{ "c_nobody", "malloc blocks of nobody" }, { "uncounted", "allocated, not counted" },
	{ "thread_caches", "free, in thread caches" }, { "fragments", "free, between blocks" },
	{ "free_pages", "free pages" }, { "metadata", "allocator" }, { "files", "program and libraries" },
	{ "stacks", "stacks" }, { "other", "other" }, { "untouched", "not touched yet" },
}
local MEMORY_REST <const> = {
	{ "messages", "of malloc blocks: messages that wait" }, { "shared", "of malloc blocks: shared by Lua states" },
	{ "retained", "addresses kept, without memory" },
}
local LARGEST <const> = 10	-- services

define("memory", "memory [n] : show where the memory is, and the n largest services", function(client, n)
	n = n and assert(math.tointeger(tonumber(n)), "Need a number") or LARGEST
	local map = memory.map and memory.map()
	if not map then
		error("This core does not say", 0)
	end
	local function line(what, bytes)
		client.print(string.format("%-40s %14d %10.2f Mb", what, bytes, bytes / 2 ^ 20))
	end
	for _, part in ipairs(MEMORY_PARTS) do
		local sign = part[1] == "untouched" and -1 or 1
		line(part[2], sign * map[part[1]])
	end
	line("sum", map.sum)
	line("resident", map.resident)
	for _, part in ipairs(MEMORY_REST) do
		line(part[2], map[part[1]])
	end
	local handles = {}
	for handle in pairs(map.services) do
		handles[#handles + 1] = handle
	end
	local function bytes(handle)
		return map.services[handle].lua + map.services[handle].c
	end
	table.sort(handles, function(a, b)
		local x, y = bytes(a), bytes(b)
		return x > y or x == y and a < b
	end)
	for i = 1, math.min(n, #handles) do
		local service = map.services[handles[i]]
		client.print(string.format("%s\tlua:%d\tc:%d\tmessages:%d",
			skynet.address(handles[i]), service.lua, service.c, service.messages))
	end
end)

define("dumpheap", "dumpheap : dump heap profilling", function()
	memory.dumpheap()
end)

define("profactive", "profactive [on|off] : active/deactive jemalloc heap profilling", function(_, switch)
	if switch then
		memory.profactive(switch == "on" or switch == "true")
	end
	return "heap profilling is " .. (memory.profactive() and "active" or "deactive")
end)

local function size_text(bytes)
	if bytes == 0 then
		return nil	-- not shown
	elseif bytes < 1024 then
		return bytes
	elseif bytes < 1024 * 1024 then
		return bytes / 1024 .. "K"
	end
	return bytes / (1024 * 1024) .. "M"
end

-- How long ago, in cs, as "1.5s", "m:s" or "h:m:s"
local function age_text(age)
	if age < 6000 then
		return age / 100 .. "s"
	end
	local minutes, seconds = age // 6000, age % 6000 / 100
	local hours = minutes // 60
	local text = string.format("%d:%.2gs", minutes % 60, seconds)
	return hours > 0 and hours .. ":" .. text or text
end

define("netstat", "netstat : show netstat", function()
	local list = socket.netstat()
	local now = skynet.now()
	for _, row in ipairs(list) do
		row.address = skynet.address(row.address)
		for _, name in ipairs { "read", "write", "wbuffer" } do
			row[name] = row[name] and size_text(row[name])
		end
		for _, name in ipairs { "rtime", "wtime" } do
			row[name] = row[name] and age_text(now - row[name])
		end
	end
	return list
end)

-- ---------------------------------------------------------------- clients

local function execute(client, line)
	local words = {}
	for word in line:gmatch "%S+" do
		words[#words + 1] = word
	end
	local command = commands[words[1]]
	if not command then
		client.print "Invalid command, type help for command list\n"
		client.print "<CMD Error>"
		return
	end
	local ok, result
	if command.raw then
		ok, result = pcall(command.run, client, words[2], line:match "^%s*%S+%s+%S+%s*(.-)%s*$" or "")
	else
		ok, result = pcall(command.run, client, table.unpack(words, 2))
	end
	if ok then
		print_result(client, result)
		client.print "<CMD OK>"
	else
		client.print(tostring(result))
		client.print "<CMD Error>"
	end
end

-- The body of an HTTP request whose first line has been read.
local function read_body(client)
	local length = 0
	while true do
		local line = client.readline()
		if not line or line:match "^%s*$" then
			break
		end
		length = tonumber(line:lower():match "^content%-length:%s*(%d+)") or length
	end
	assert(length <= BODY_LIMIT, "request body too large")
	return length > 0 and assert(socket.read(client.id, length)) or ""
end

local function serve(client)
	client.print "Welcome to skynet console"
	skynet.error(client.address, "connected")
	while true do
		local line = client.readline()
		if not line then
			return
		end
		local path = line:match "^GET%s+/?(%S*)"
		if path and line:sub(1, 4) == "GET " then
			read_body(client)
			execute(client, (path:gsub("/", " ")))
			return
		elseif line:sub(1, 5) == "POST " then
			execute(client, read_body(client))
			return
		elseif line ~= "" then
			execute(client, line)
		end
	end
end

local function accept(id, address)
	assert(socket.start(id))
	local client = {
		id = id,
		address = address,
		print = function(text)
			socket.write(id, text .. "\n")
		end,
		readline = function()
			return socket.readline(id, "\n") or nil
		end,
	}
	local ok, reason = pcall(serve, client)
	if not ok then
		skynet.error(id, reason)
	end
	skynet.error(address, "disconnect")
	socket.close(id)
end

local arguments = table.pack(...)
assert(arguments.n <= 2)
local ip = arguments.n == 2 and arguments[1] or "127.0.0.1"
local port = tonumber(arguments[arguments.n])

skynet.start(function()
	local listener = socket.listen(ip, port)
	skynet.error("Start debug console at " .. ip .. ":" .. port)
	socket.start(listener, accept)
end)
