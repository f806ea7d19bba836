-- Answers every message; some ask for more.
local core = require "skynet.core"

local TEXT, RESPONSE = 0, 1

local function forwarder(_, message, size, session, source)
	core.send(source, RESPONSE, session, "forwarded " .. core.tostring(message, size))
	core.trash(message, size)
end

local function handler(kind, message, size, session, source)
	assert(kind == TEXT)
	local text = core.tostring(message, size)
	if text == "fail" then
		error "as told"
	end
	core.send(source, RESPONSE, session, "got " .. text)
	if text == "change" then
		core.callback(forwarder, true)
	end
end

core.callback(handler)
