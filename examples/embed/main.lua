-- The Lua service of the embedding example: asks the program's own service for greetings and ends the node.

local skynet = require "skynet"
require "skynet.manager"

skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	pack = function(text) return text end,
	unpack = skynet.tostring,
}

skynet.start(function()
	local greeter = assert(skynet.launch("greeter", "Good morning"))
	for _, name in ipairs { "Ada", "Grace", "Barbara" } do
		skynet.error(skynet.call(greeter, "text", name))
	end
	-- Time for the log service to write: messages that wait when a node ends are dropped.
	skynet.sleep(10)
	skynet.abort()
end)
