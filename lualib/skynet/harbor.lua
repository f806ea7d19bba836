-- skynet.harbor: names and links between the nodes of a harbor network; a face of the local `.cslave`.

local skynet = require "skynet"

local function ask(...)
	return skynet.call(".cslave", "lua", ...)
end

local M = {}

function M.globalname(name, handle)
	skynet.send(".cslave", "lua", "REGISTER", name, handle or skynet.self())
end

function M.queryname(name)
	return ask("QUERYNAME", name)
end

function M.link(id)
	ask("LINK", id)
end

function M.connect(id)
	ask("CONNECT", id)
end

function M.linkmaster()
	ask "LINKMASTER"
end

return M
