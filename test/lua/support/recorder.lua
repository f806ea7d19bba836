-- A log service that prints like the stock one and can be asked for the lines it has seen. A case that wants it says
--   -- config: logservice = "snlua"
--   -- config: logger = "support/recorder"
-- and calls it under its name, ".logger".

local skynet = require "skynet"
require "skynet.manager"

local lines = {}

skynet.register_protocol {
	name = "text",
	id = skynet.PTYPE_TEXT,
	unpack = skynet.tostring,
	dispatch = function(_, source, text)
		table.insert(lines, { source = source, text = text })
		io.write(string.format("[:%08x] %s\n", source, text))
		io.flush()
	end,
}

skynet.register_protocol {
	name = "SYSTEM",
	id = skynet.PTYPE_SYSTEM,
	unpack = function() end,
	dispatch = function() end,
}

local command = {}

--- The texts of a source, or of all without one, since the last call for it.
function command.take(source)
	local texts, rest = {}, {}
	for _, line in ipairs(lines) do
		if source == nil or line.source == source then
			table.insert(texts, line.text)
		else
			table.insert(rest, line)
		end
	end
	lines = rest
	return texts
end

-- Not in the function that starts it, which may run after the first call has come.
skynet.dispatch("lua", function(_, _, name, ...)
	skynet.retpack(command[name](...))
end)

skynet.start(function() end)
