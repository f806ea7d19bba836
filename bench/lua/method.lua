-- objects: made, and their methods called
local point = {}
point.__index = point

function point.new(x, y)
	return setmetatable({ x = x, y = y }, point)
end

function point:add(other)
	return point.new(self.x + other.x, self.y + other.y)
end

function point:length2()
	return self.x * self.x + self.y * self.y
end

local p, step, sum = point.new(0, 0), point.new(1, 2), 0
for _ = 1, 300000 * arg[1] do
	p = p:add(step)
	sum = sum + p:length2()
end
assert(sum > 0)
