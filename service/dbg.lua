-- dbg `command args`: puts one command to the launcher and prints what it answers.

local skynet = require "skynet"

local arguments = table.pack(...)

-- Calls f(key, value) in the order of the keys' text.
local function in_order(t, f)
	local keys = {}
	for key in pairs(t) do
		keys[#keys + 1] = key
	end
	table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
	for _, key in ipairs(keys) do
		f(key, t[key])
	end
end

local function as_text(value)
	if type(value) ~= "table" then
		return tostring(value)
	end
	local fields = {}
	in_order(value, function(name, field)
		fields[#fields + 1] = tostring(name) .. ":" .. tostring(field)
	end)
	return table.concat(fields, "\t")
end

skynet.start(function()
	local answer = skynet.call(".launcher", "lua", table.unpack(arguments, 1, arguments.n))
	if type(answer) == "table" then
		in_order(answer, function(key, value)
			print(key, as_text(value))
		end)
	elseif answer ~= nil then
		print(answer)
	end
	skynet.exit()
end)
