-- coroutines: switched, made, ended
local next_number = coroutine.wrap(function()
	local i = 0
	while true do
		i = i + 1
		coroutine.yield(i)
	end
end)
for i = 1, 300000 * arg[1] do
	assert(next_number() == i)
end
for i = 1, 5000 * arg[1] do
	coroutine.resume(coroutine.create(function(...)
		return ...
	end), i)
end
