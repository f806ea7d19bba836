-- cmemory: prints how much C memory every service holds, and ends.

local skynet = require "skynet"
local memory = require "skynet.memory"

skynet.start(function()
	memory.dumpinfo()
	for handle, bytes in pairs(memory.info()) do
		print(string.format(":%08x %gK", handle, bytes / 1024))
	end
	print("Total memory:", memory.total())
	print("Total block:", memory.block())
	skynet.exit()
end)
