-- cdummy (`.cslave` of a node that runs alone, harbor 0): keeps the global names, and has no other node to link to.

local skynet = require "skynet"
require "skynet.manager"

local names = {}	-- global name -> handle
local queries = {}	-- global name -> list of responses that wait for it

local harbor_service

local function announce(name, handle)
	skynet.redirect(harbor_service, handle, "harbor", 0, "N " .. name)
end

local command = {}

function command.REGISTER(name, handle)
	assert(names[name] == nil)
	names[name] = handle
	announce(name, handle)
	local waiting = queries[name]
	queries[name] = nil
	for _, respond in ipairs(waiting or {}) do
		respond(true, handle)
	end
end

function command.QUERYNAME(name)
	if name:sub(1, 1) == "." then
		skynet.retpack(skynet.localname(name))
	elseif names[name] then
		skynet.retpack(names[name])
	else
		queries[name] = queries[name] or {}
		table.insert(queries[name], skynet.response())
	end
end

function command.LINK()
	skynet.ret()	-- no harbor is connected, so none will disconnect
end

function command.CONNECT()
	skynet.error "Can't connect to other harbor in single node mode"
	skynet.ignoreret()
end

local function as_is(...)
	return ...
end

-- To and from the harbor service: text that needs no packing.
local function register_text(name, id, dispatch)
	skynet.register_protocol { name = name, id = id, pack = as_is, unpack = skynet.tostring, dispatch = dispatch }
end

register_text("harbor", skynet.PTYPE_HARBOR)

-- The harbor service asks for names it has messages for.
register_text("text", skynet.PTYPE_TEXT, function(_, _, text)
	local kind, name = text:match "^(%a) (.*)$"
	if kind ~= "Q" then
		skynet.error("Unknown command " .. text)
	elseif names[name] then
		announce(name, names[name])
	end
end)

skynet.start(function()
	skynet.dispatch("lua", function(_, _, name, ...)
		assert(command[name])(...)
	end)
	local id = assert(tonumber(skynet.getenv "harbor"))
	harbor_service = assert(skynet.launch("harbor", id, skynet.self()))
end)
