-- One player: answers the lines of one connection.
--
-- A line is a word and its arguments, in a packet with a two-byte length: LOGIN name, SET key value,
-- GET key, WHO, SAY text, QUIT, STOP. Lines the player did not ask for begin with CHAT or TICK.
local skynet = require "skynet"
local socket = require "skynet.socket"

local connection, watchdog, store
local player -- the name, once logged in

local function tell(line)
	socket.write(connection, string.pack(">s2", line))
end

local command = {}

function command.LOGIN(name)
	if name == "" then
		return "ERROR a name is missing"
	end
	if not skynet.call(watchdog, "lua", "login", skynet.self(), name) then
		return "ERROR the name is taken"
	end
	player = name
	return "OK welcome " .. name
end

function command.SET(arguments)
	local key, value = arguments:match "^(%S+) (.+)$"
	if not key then
		return "ERROR SET wants a key and a value"
	end
	local before = skynet.call(store, "lua", "set", key, value)
	return before and "OK was " .. before or "OK new"
end

function command.GET(key)
	return "VALUE " .. (skynet.call(store, "lua", "get", key) or "(none)")
end

function command.WHO()
	return "PLAYERS " .. table.concat(skynet.call(watchdog, "lua", "who"), " ")
end

function command.SAY(text)
	skynet.send(watchdog, "lua", "tell_all", string.format("CHAT %s: %s", player, text))
	return "OK said"
end

function command.QUIT()
	skynet.timeout(1, function()
		skynet.send(watchdog, "lua", "hang_up", connection)
	end)
	return "BYE " .. player
end

function command.STOP()
	skynet.send(watchdog, "lua", "stop")
	return "OK the server stops"
end

local function answer(line)
	local word, arguments = line:match "^(%u+) ?(.*)$"
	local handler = command[word]
	if not handler then
		return "ERROR unknown command"
	elseif not player and word ~= "LOGIN" and word ~= "STOP" then
		return "ERROR log in first"
	end
	return handler(arguments)
end

skynet.register_protocol {
	name = "client",
	id = skynet.PTYPE_CLIENT,
	unpack = skynet.tostring,
	dispatch = function(_, _, line)
		skynet.ignoreret() -- the session is the connection, nobody waits for it
		tell(answer(line))
	end,
}

local request = {}

function request.serve(fd, gate, owner)
	connection, watchdog = fd, owner
	store = skynet.queryservice "store"
	skynet.call(gate, "lua", "forward", fd)
end

function request.tell(line)
	tell(line)
end

function request.leave()
	skynet.exit()
end

skynet.start(function()
	skynet.dispatch("lua", function(session, _, name, ...)
		local result = request[name](...)
		if session ~= 0 then
			skynet.retpack(result)
		end
	end)
end)
