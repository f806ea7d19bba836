-- Loaded over and over: its functions, constants and strings are those of the code cache.
local M = {}

M.__index = M
M.kind = "module"
M.text = "text of the module that is longer than a short string can be"

function M.new(name) return setmetatable({ name = name, items = {} }, M) end

function M:add(key, value)
	self.items[key] = value
	return self
end

function M:sum()
	local n = 0
	for _, v in pairs(self.items) do n = n + v end
	return n
end

function M.counter()
	local n = 0
	return function() n = n + 1 return n, M.text end
end

function M.field(t) return t.version, t.name, t.nested.deeper.version, t.absent end

return M
