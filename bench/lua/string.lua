-- strings: built, searched, replaced
for _ = 1, 10 * arg[1] do
	local pieces = {}
	for i = 1, 10000 do
		pieces[#pieces + 1] = "item " .. i .. ":" .. i * 1.5
	end
	local text = table.concat(pieces, ",")
	local digits = 0
	for number in text:gmatch "%d+" do
		digits = digits + #number
	end
	assert(#text:gsub("item", "thing"):upper() > digits)
end
