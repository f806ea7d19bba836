-- The loader script (config key `lualoader`): the first Lua code of every Lua service.
-- snlua calls it with the service's whole argument string; it finds the service script, prepares the module
-- search paths and runs the script with the remaining words.

local words = {}
for word in (...):gmatch "%S+" do
	words[#words + 1] = word
end

SERVICE_NAME = words[1]

-- First pattern of the `;` separated list whose file loads; the patterns are tried in order.
local function find_script(name, patterns)
	local complaints = {}
	for pattern in patterns:gmatch "[^;]+" do
		local chunk, complaint = loadfile((pattern:gsub("%?", function() return name end)))
		if chunk then
			return chunk, pattern
		end
		complaints[#complaints + 1] = complaint
	end
	error(table.concat(complaints, "\n"))
end

local script, pattern = find_script(SERVICE_NAME, LUA_SERVICE)

package.path, package.cpath = LUA_PATH, LUA_CPATH

local folder, file = pattern:match "^(.*/)([^/]*)$"
if folder and not file:find("?", 1, true) then
	-- a service with a folder of its own, such as ./test/?/init.lua: its modules lie beside the script
	folder = folder:gsub("%?", function() return SERVICE_NAME end)
	package.path = folder .. "?.lua;" .. package.path
end
SERVICE_PATH = folder

local preload = LUA_PRELOAD
LUA_PATH, LUA_CPATH, LUA_SERVICE, LUA_PRELOAD = nil, nil, nil, nil

if preload then
	assert(loadfile(preload))(table.unpack(words))
end

_G.require = require "skynet.require".require

script(table.unpack(words, 2))
