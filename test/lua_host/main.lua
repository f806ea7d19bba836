-- Talks to hosts with different numbers of values on their stacks.
local skynet = require "skynet"
require "skynet.manager"

skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	pack = tostring,
	unpack = skynet.tostring,
}

local function ask(host, text)
	print(skynet.call(host, "text", text))
end

skynet.start(function()
	for values = 0, 3 do
		local host = skynet.launch("host", values, "script" .. values .. ".lua")
		for i = 1, 20 do
			assert(skynet.call(host, "text", i) == "got " .. i)
		end
		skynet.send(host, "text", "fail")
		ask(host, "one")
		ask(host, "change")
		for i = 1, 20 do
			assert(skynet.call(host, "text", i) == "forwarded " .. i)
		end
		ask(host, "last")
		skynet.kill(host)
	end
	print "MAIN done"
end)
