-- service_cell `name`: the service in which a function given to skynet.service runs.

local skynet = require "skynet"

local start = skynet.start

-- The function is handed over once; then its own handlers take the messages.
local function run_code(code, ...)
	local started	-- what the function gave to skynet.start
	function skynet.start(f)
		started = f
	end
	skynet.dispatch("lua", function()
		error "No dispatch function"
	end)
	load(code)(...)
	if started then
		started()
	end
end

start(function()
	skynet.dispatch("lua", function(_, _, command, ...)
		assert(command == "init")
		run_code(...)
		skynet.ret()
	end)
end)
