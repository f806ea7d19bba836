-- What storm.c publishes: a table with a version everywhere, so that a torn or mixed one shows.
local version = ...
local data = {
	version = version,
	name = "name" .. version,
	flag = true,
	list = {},
	map = {},
	nested = { deeper = { version = version, text = ("long "):rep(20) .. version } },
	call = function(a, b) local add = function(x) return a + x end return add(b) end,
	["a key of more than forty characters, which is a long string"] = version,
}
for i = 1, 40 do
	data.list[i] = version + i
	data.map["key" .. i] = "value" .. version + i
end
for i = 31, 40 do data.list[i] = nil end	-- the border is not at the end of the array
return data
