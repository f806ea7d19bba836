-- skynet.service: named singletons made from a function; service_provider keeps them, each runs in a service_cell.

local skynet = require "skynet"

local M = {}

local provider
local function ask(...)
	provider = provider or skynet.uniqueservice "service_provider"
	return skynet.call(provider, "lua", ...)
end

local known = {}	-- name -> handle, of those that query has found

-- A function travels as byte code, so nothing but the globals may be captured.
local function code_of(func)
	assert(type(func) == "function")
	local info = debug.getinfo(func, "u")
	assert(info.nups == 1 and debug.getupvalue(func, 1) == "_ENV")
	return string.dump(func)
end

function M.new(name, mainfunc, ...)
	local handle, booting = ask("test", name)
	if handle then
		return handle
	elseif booting then
		return ask("query", name)
	end
	return ask("launch", name, code_of(mainfunc), ...)
end

function M.query(name)
	if not known[name] then
		known[name] = ask("query", name)
	end
	return known[name]
end

function M.close(name)
	local handle = ask("close", name)
	if not handle then
		return false
	end
	known[name] = nil
	skynet.kill(handle)
	return true
end

return M
