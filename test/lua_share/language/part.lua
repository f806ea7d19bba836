-- A module of main.lua.
local M = { kind = "part", text = ("a text of some length "):rep(4), fields = { kind = 1, sum = 2, [""] = 3 } }

function M.sum(list)
	local n = 0
	for _, v in pairs(list) do n = n + v end
	return n
end

function M.pure(a) return a * 2 + 1 end

function M.count()
	local n = 0
	return function() n = n + 1 return n end
end

function M.has(name) return M.fields[name] ~= nil, M[name] ~= nil end

function M.set(name, value)
	M.fields[name] = value
	return M.fields[name]
end

function M.fail()
	local absent
	return absent.field
end

return M
