-- tables: filled, walked, thrown away
for _ = 1, 12 * arg[1] do
	local list, map = {}, {}
	for i = 1, 20000 do
		list[i] = i
		map["k" .. i % 500] = i
	end
	local sum = 0
	for _, value in ipairs(list) do
		sum = sum + value
	end
	for _, value in pairs(map) do
		sum = sum + value
	end
	assert(sum > 0)
end
