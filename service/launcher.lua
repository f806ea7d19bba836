-- launcher (`.launcher`): starts Lua services, keeps the list of them, and asks all of them questions.

local skynet = require "skynet"
local core = require "skynet.core"
require "skynet.manager"

local services = {}	-- handle -> "snlua name args"
local launching = {}	-- handle -> { respond = answers the LAUNCH request, session, source = of that request }

local command = {}	-- (source, args...) -> reply; NO_REPLY when it answers by itself or not at all
local NO_REPLY = {}

-- Numbers, ":hex" and ".name" -> handle; nil for anything else.
local function handle_of(address)
	if type(address) ~= "string" then
		return address
	end
	local digits = address:match "^:(%x+)$"
	return digits and tonumber(digits, 16) or skynet.localname(address)
end

-- A service that was being launched is ready (ok) or will never be.
local function finish_launch(handle, ok, ...)
	local launch = launching[handle]
	if launch then
		launching[handle] = nil
		launch.respond(ok, ...)
	end
end

local function launch_service(module, ...)
	local words = table.pack(...)
	for i = 1, words.n do
		words[i] = tostring(words[i])
	end
	local param = table.concat(words, " ")
	local session, source = skynet.context()
	local respond = skynet.response()
	local handle = skynet.launch(module, param)
	if handle then
		services[handle] = module .. " " .. param
		launching[handle] = { respond = respond, session = session, source = source }
	else
		respond(false)
	end
	return handle
end

function command.LAUNCH(_, ...)
	launch_service(...)
	return NO_REPLY
end

function command.LOGLAUNCH(_, ...)
	local handle = launch_service(...)
	if handle then
		core.command("LOGON", skynet.address(handle))
	end
	return NO_REPLY
end

function command.LAUNCHOK(source)
	finish_launch(source, true, source)
	return NO_REPLY
end

function command.ERROR(source)
	finish_launch(source, false)
	services[source] = nil
	return NO_REPLY
end

function command.REMOVE(_, handle, killed)
	services[handle] = nil
	finish_launch(handle, not killed)
	return NO_REPLY
end

function command.QUERY(source, session)
	for handle, launch in pairs(launching) do
		if launch.source == source and launch.session == session then
			return handle
		end
	end
end

function command.KILL(_, address)
	local description = tostring(services[address])
	local handle = handle_of(address)
	skynet.kill(address)
	if handle then
		services[handle] = nil
		finish_launch(handle, false)
	end
	return { [skynet.address(address)] = description }
end

-- A copy of the list, for those who block while they go through it.
local function snapshot()
	local copy = {}
	for handle, description in pairs(services) do
		copy[handle] = description
	end
	return copy
end

function command.LIST()
	local list = {}
	for handle, description in pairs(services) do
		list[skynet.address(handle)] = description
	end
	return list
end

-- Puts one debug question to every service.  Returns address -> what `present(answer, description)` makes of it;
-- the answer is a packed table, or the text ERROR or TIMEOUT.  `ti` in cs, nil = wait for all.
local function ask_all(question, ti, present)
	local asked, result = snapshot(), {}
	local request = skynet.request()
	for handle in pairs(asked) do
		request:add { handle, "debug", question }
	end
	for entry, answer in request:select(ti) do
		local handle = entry[1]
		result[skynet.address(handle)] = present(answer or "ERROR", asked[handle])
		asked[handle] = nil
	end
	for handle, description in pairs(asked) do
		result[skynet.address(handle)] = present("TIMEOUT", description)
	end
	return result
end

local function stat_table(answer)
	return type(answer) == "table" and answer[1] or answer
end

local function memory_line(answer, description)
	if type(answer) == "table" then
		return string.format("%.2f Kb (%s)", answer[1], description)
	end
	return string.format("%s (%s)", answer, description)
end

function command.STAT(_, ti)
	return ask_all("STAT", ti, stat_table)
end

function command.MEM(_, ti)
	return ask_all("MEM", ti, memory_line)
end

function command.GC(source, ti)
	for handle in pairs(services) do
		skynet.send(handle, "debug", "GC")
	end
	return command.MEM(source, ti)
end

-- C services report by text.
skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	unpack = core.tostring,
	dispatch = function(_, source, text)
		if text == "" then
			command.LAUNCHOK(source)
		elseif text == "ERROR" then
			command.ERROR(source)
		else
			error("Invalid text command " .. text)
		end
	end,
}

-- Scripts that are injected into the launcher find the table by its name: `command`.
skynet.dispatch("lua", function(_, source, name, ...)
	local f = command[string.upper(name)]
	if not f then
		skynet.retpack { "Unknown command" }
		return
	end
	local reply = f(source, ...)
	if reply ~= NO_REPLY then
		skynet.retpack(reply)
	end
end)

skynet.start(function() end)
