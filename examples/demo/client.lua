-- A player for the demo: logs in, sets and gets values, chats, and checks every answer.
-- usage: lua client.lua PORT NAME ALL_NAMES...     (NAME "stop" only stops the server)
package.cpath = os.getenv "DEMO_CPATH" or "luaclib/?.so"
local socket = require "client.socket"

local port, me = tonumber(arg[1]), arg[2]
local players = table.move(arg, 3, #arg, 1, {})
local deadline = os.time() + 30

local connection = socket.connect("127.0.0.1", port)
local unread = ""
local chats, ticks = {}, 0

local function show(mark, line)
	io.write(string.format("%-6s %s %s\n", me, mark, line))
	io.flush()
end

local function fail(...)
	show("!", string.format(...))
	os.exit(1)
end

-- The next line from the server; blocks, but not past the deadline.
local function next_line()
	while true do
		local length = #unread >= 2 and string.unpack(">I2", unread)
		if length and #unread >= 2 + length then
			local line = unread:sub(3, 2 + length)
			unread = unread:sub(3 + length)
			return line
		end
		local data = socket.recv(connection)
		if data == "" then
			fail("the server closed the connection")
		elseif data then
			unread = unread .. data
		elseif os.time() > deadline then
			fail("no answer in time")
		else
			socket.usleep(1000)
		end
	end
end

-- The next line that answers a request; what comes in between is kept.
local function next_answer()
	while true do
		local line = next_line()
		local speaker, text = line:match "^CHAT (%w+): (.*)$"
		if speaker then
			chats[speaker] = text
			show("<", line)
		elseif line:match "^TICK %d+$" then
			ticks = ticks + 1
			show("<", line)
		else
			return line
		end
	end
end

local function ask(line, expected)
	show(">", line)
	socket.send(connection, string.pack(">s2", line))
	local got = next_answer()
	show("<", got)
	if expected and got ~= expected then
		fail("expected '%s'", expected)
	end
	return got
end

-- Asks until the answer is the expected one.
local function wait_for(line, expected)
	while true do
		show(">", line)
		socket.send(connection, string.pack(">s2", line))
		local got = next_answer()
		show("<", got)
		if got == expected then
			return
		elseif os.time() > deadline then
			fail("'%s' never came", expected)
		end
		socket.usleep(20000)
	end
end

if me == "stop" then
	ask("STOP", "OK the server stops")
	os.exit(0)
end

table.sort(players)
ask("GET x", "ERROR log in first")
ask("LOGIN " .. me, "OK welcome " .. me)
ask("DANCE", "ERROR unknown command")
ask("GET " .. me, "VALUE (none)")
ask("SET " .. me .. " 1", "OK new")
ask("SET " .. me .. " 2 apples", "OK was 1")
wait_for("WHO", "PLAYERS " .. table.concat(players, " "))
for _, name in ipairs(players) do
	wait_for("GET " .. name, "VALUE 2 apples")
end
ask("SAY hello from " .. me, "OK said")
repeat
	local heard = true
	for _, name in ipairs(players) do
		heard = heard and chats[name] == "hello from " .. name
	end
	if not heard or ticks < 2 then
		socket.usleep(150000)
		ask("GET " .. me, "VALUE 2 apples")
	end
	if os.time() > deadline then
		fail("not everybody was heard")
	end
until heard and ticks >= 2

-- Nobody leaves before all have heard everybody.
ask("SET done-" .. me .. " yes", "OK new")
for _, name in ipairs(players) do
	wait_for("GET done-" .. name, "VALUE yes")
end
ask("QUIT", "BYE " .. me)
socket.close(connection)
