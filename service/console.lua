-- console: starts what is typed on standard input - `snax name args` a snax service, any other line a Lua service.

local skynet = require "skynet"
local socket = require "skynet.socket"

local function launch(line)
	local words = {}
	for word in line:gmatch "%S+" do
		words[#words + 1] = word
	end
	if words[1] == "snax" then
		pcall(require "skynet.snax".newservice, table.unpack(words, 2))
	elseif words[1] then
		pcall(skynet.newservice, line)
	end
end

skynet.start(function()
	skynet.fork(function()
		local stdin = assert(socket.stdin())
		while true do
			local line = socket.readline(stdin, "\n")
			launch(line or error "standard input has ended")
		end
	end)
end)
