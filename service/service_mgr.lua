-- service_mgr (`.service`; on the standalone node also the global name SERVICE): unique services, one per node or
-- one per network.  The latter have keys that begin with `@` and live on the standalone node.

local skynet = require "skynet"
require "skynet.manager"

local STACK_TIMEOUT <const> = 200	-- cs that LIST waits for a service to show its stack

-- key -> entry, which has one of
--   handle	the service
--   failure	why there is none; remembered for good
--   maker	{ thread, session, source }: the request that is launching it
-- and waiters = list of { respond, session, source }
local entries = {}

local command = {}

local function entry_of(key)
	local entry = entries[key]
	if not entry then
		entry = { waiters = {} }
		entries[key] = entry
	end
	return entry
end

-- Answers the current request now or when the entry is settled.
local function answer_or_wait(entry)
	if entry.handle or entry.failure then
		skynet.retpack(entry.handle, entry.failure)
		return
	end
	local session, source = skynet.context()
	table.insert(entry.waiters, { respond = skynet.response(), session = session, source = source })
end

local function settle(entry, handle, failure)
	entry.handle, entry.failure, entry.maker = handle, failure, nil
	local waiters = entry.waiters
	entry.waiters = {}
	for _, waiter in ipairs(waiters) do
		waiter.respond(true, handle, failure)
	end
end

-- make(...) creates the service if nobody has done so.
local function launch(key, make, ...)
	local entry = entry_of(key)
	if entry.handle or entry.failure or entry.maker then
		answer_or_wait(entry)
		return
	end
	local session, source = skynet.context()
	entry.maker = { thread = coroutine.running(), session = session, source = source }
	local ok, result = pcall(make, ...)
	if ok and result == nil then
		ok, result = false, key .. " exited while it started"
	end
	if ok then
		settle(entry, result)
	else
		settle(entry, nil, tostring(result))
	end
	skynet.retpack(entry.handle, entry.failure)
end

-- The key of a service name; all snax services are instances of `snaxd`, so the first argument tells them apart.
local function key_of(name, sub)
	if name == "snaxd" or name == "@snaxd" then
		return name .. "." .. sub
	end
	return name
end

local function plain_name(name)
	return (name:gsub("^@", ""))
end

function command.LAUNCH(name, ...)
	local service = plain_name(name)
	if service == "snaxd" then
		launch(key_of(name, (...)), require "skynet.snax".rawnewservice, ...)
	else
		launch(name, skynet.newservice, service, ...)
	end
end

function command.QUERY(name, sub)
	answer_or_wait(entry_of(key_of(name, sub)))
end

-- ---------------------------------------------------------------- LIST

-- Asks for stacks at once.  questions: list of { address, "debug", "TASK", which }; returns question -> text.
local function ask_stacks(questions)
	local stacks = {}
	local request = skynet.request()
	for _, question in ipairs(questions) do
		request:add(question)
	end
	for question, answer in request:select(STACK_TIMEOUT) do
		stacks[question] = answer and tostring(answer[1])
	end
	return stacks
end

local function describe(entry)
	if entry.handle then
		return skynet.address(entry.handle)
	elseif entry.failure then
		return "Error: " .. entry.failure
	end

	local questions, lines = {}, {}
	local function add(format, address, which)
		local question = { address, "debug", "TASK", which }
		table.insert(questions, question)
		table.insert(lines, { format = format, question = question })
	end

	local maker = entry.maker
	if maker then
		local session = skynet.task(maker.thread)
		local handle = session and skynet.call(".launcher", "lua", "QUERY", session)
		if handle then
			add("Init as %s\n%s", handle, "init")
		end
		add("Launching from %s\n%s", maker.source, maker.session)
	end
	if #entry.waiters > 0 then
		table.insert(lines, "Querying:")
		for _, waiter in ipairs(entry.waiters) do
			add("%s %s", waiter.source, waiter.session)
		end
	end

	local stacks = ask_stacks(questions)
	for i, line in ipairs(lines) do
		local question = line.question
		if question then
			lines[i] = line.format:format(skynet.address(question[1]), stacks[question] or "no answer")
		end
	end
	return table.concat(lines, "\n")
end

local function list_here()
	local keys = {}
	for key in pairs(entries) do
		keys[#keys + 1] = key
	end
	local result = {}
	for _, key in ipairs(keys) do
		result[key] = describe(entries[key])
	end
	return result
end

-- ---------------------------------------------------------------- the network

local function standalone_commands()
	local managers = {}	-- harbor id -> service_mgr of that node

	function command.GLAUNCH(name, ...)
		command.LAUNCH("@" .. name, ...)
	end

	function command.GQUERY(name, sub)
		command.QUERY("@" .. name, sub)
	end

	function command.REPORT(handle)
		managers[skynet.harbor(handle)] = handle
		skynet.ret()
	end

	function command.LIST()
		local result = list_here()
		for id, manager in pairs(managers) do
			for key, text in pairs(skynet.call(manager, "lua", "LIST")) do
				result[key .. "@" .. id] = text
			end
		end
		skynet.retpack(result)
	end
end

local function member_commands()
	local function ask_network(kind, name, ...)
		return assert(skynet.call("SERVICE", "lua", kind, name, ...))
	end

	function command.GLAUNCH(name, ...)
		name = "@" .. name
		launch(key_of(name, (...)), ask_network, "LAUNCH", name, ...)
	end

	-- One question to the network serves all who wait here.
	function command.GQUERY(name, sub)
		name = "@" .. name
		local entry = entry_of(key_of(name, sub))
		answer_or_wait(entry)
		if not (entry.handle or entry.failure or entry.asking) then
			entry.asking = true
			local ok, result = pcall(ask_network, "QUERY", name, sub)
			entry.asking = nil
			if ok then
				settle(entry, result)
			else
				settle(entry, nil, tostring(result))
			end
		end
	end

	function command.LIST()
		skynet.retpack(list_here())
	end
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		local f = command[name]
		if f then
			f(...)
		else
			skynet.retpack(nil, "Invalid command " .. tostring(name))
		end
	end)

	local other = skynet.localname ".service"
	if other then
		skynet.error(".service is already register by ", skynet.address(other))
		skynet.exit()
	end
	skynet.register ".service"

	if skynet.getenv "standalone" then
		skynet.register "SERVICE"
		standalone_commands()
	else
		member_commands()
		skynet.call("SERVICE", "lua", "REPORT", skynet.self())
	end
end)
