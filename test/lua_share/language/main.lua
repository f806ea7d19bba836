-- Cases of the language and its library, for the changed and the unchanged Lua: both must print the same. Nothing
-- here prints an address, a time or an order that hashes decide.
collectgarbage((...))

local function try(f, ...)
	local r = table.pack(pcall(f, ...))
	for i = 1, r.n do r[i] = type(r[i]) == "table" and "table" or tostring(r[i]) end
	print(table.concat(r, " "))
end

local function each(t)
	local keys = {}
	for k in pairs(t) do table.insert(keys, tostring(k)) end
	table.sort(keys)
	return table.concat(keys, " ")
end

for round = 1, 2 do
	-- files: a module twice, a chunk with an environment, errors
	package.loaded.part, package.path = nil, "./?.lua"
	local part = require "part"
	print(part.kind, part["ki" .. "nd"], part.sum { 1, 2, 3 }, each(part))
	local env = { setmetatable = setmetatable, pairs = pairs }
	local f = assert(loadfile("part.lua", "t", env))
	print(debug.getupvalue(f, 1), select(2, debug.getupvalue(f, 1)) == env, f().kind, f() == f())
	print(assert(loadfile "part.lua") == loadfile "part.lua")
	print(loadfile "none.lua")
	print(loadfile "wrong.lua")
	try(dofile, "wrong.lua")
	print(pcall(part.fail))
	print(debug.getinfo(part.sum, "S").short_src, debug.getinfo(part.sum, "S").linedefined)
	print((debug.traceback("trace", 1):gsub("\n.*", "")))
	local copy = load(string.dump(part.pure))
	print(copy(20), copy ~= part.pure)
	for k, v in pairs(debug.getinfo(part.sum, "L").activelines) do assert(v and k > 0) end
	print(debug.getlocal(part.sum, 1))
	part.counter, part.other = part.count(), part.count()
	print(part.counter(), part.counter(), part.other())
	collectgarbage()
	print(part.counter(), part.text, #part.text)
end

-- strings as keys and values, short and long, made in several ways
local part = require "part"
local names = { "kind", "sum", "text", "a name that has more than forty characters in it, so a long one", "", "x" }
for _, name in ipairs(names) do
	local made = table.concat { name:sub(1, 3), name:sub(4) }
	local t = { [name] = 1, [made .. "!"] = 2 }
	print(t[made], t[name .. "!"], rawequal(made, name), made == name, made < name, made .. "" == name, #made)
	t[made] = nil
	print(next(t), rawlen(t), t[name])
	print(part.fields[made], part.has(made), part.set(made, name) == name)
end
print(each(part.fields), select("#", table.unpack(names)))

-- tables: borders, traversal with deletion, metamethods that come and go
for n = 0, 12 do
	local t = {}
	for i = 1, n do t[i] = i end
	t[n] = nil
	print(#t, t[n], select("#", table.unpack(t)))
	for k in pairs(t) do t[k] = nil end
	print(next(t), #t)
end
local log = {}
local meta = {}
local o = setmetatable({}, meta)
print(o.x, #o)
function meta.__index(_, k) return k .. k end
print(o.x)
function meta.__newindex(t, k, v) rawset(t, k, v + 1) end
o.y = 1
print(o.y, rawget(o, "y"), rawget(o, "z"))
function meta.__len() return 42 end
function meta.__eq() return true end
function meta.__lt(a) return a == o end
function meta.__concat(a, b) return "c" end
function meta.__call(_, ...) return select("#", ...) end
function meta.__close() table.insert(log, "closed") end
print(#o, o == setmetatable({}, meta), o < 1, o .. "", o(1, nil, nil))
do local c <close> = o end
print(log[1])
try(function() return o + 1 end)
try(function() return {} .. "" end)
try(function() local t = nil; t.x = 1 end)
try(function() local t = {}; t.x.y = 1 end)
try(function() return #5 end)
try(function() return 1 < "2" end)
try(rawset, 1, 2, 3)
try(setmetatable, 1, {})
try(next, {}, "none")
try(function() local t = {}; t[nil] = 1 end)
try(function() local t = {}; t[0 / 0] = 1 end)
try(setmetatable, setmetatable({}, { __metatable = 1 }), {})
try(error, { 1 })
try(error)

-- coroutines, goto, integers, strings
local co = coroutine.wrap(function(a)
	for i = 1, 3 do a = coroutine.yield(a, i) end
	return "end"
end)
print(co(1), co(2), co(3), co(4))
try(co)
for i = 1, 3 do
	if i == 2 then goto continue end
	print(i)
	::continue::
end
print(7 // 2, -7 // 2, 7 % -3, 2 ^ 10, 1 << 62, ~0, 3 | 4, math.maxinteger + 1 == math.mininteger, 10 / 2)
print(string.format("%5d|%-5s|%q|%.3f|%x", 42, "ab", "a\nb", 1 / 3, 255), ("x"):rep(3, ","), ("abc"):byte(1, -1))
print(("key=value"):match "(%w+)=(%w+)", ("hello"):gsub("l", { l = "L" }), tostring(1e15), 1e100, 2 ^ 53)
print(utf8.char(228, 8364), utf8.len "äö", table.concat({ 1, 2, 3 }, "-", 2), math.type(1), math.type(1.0))
local sorted = {}
for i = 1, 50 do sorted[i] = (i * 37) % 50 end
table.sort(sorted)
print(table.concat(sorted, ","))
print(select(-1, 1, 2, 3), table.unpack(table.move({ 1, 2, 3 }, 1, 3, 2)))

-- the collector: weak tables, finalizers, many objects in both modes
local weak = setmetatable({}, { __mode = "k" })
for i = 1, 100 do weak[{}] = i end
weak[log] = "kept"
collectgarbage()
local n = 0
for _ in pairs(weak) do n = n + 1 end
print(n, weak[log])
local finished = 0
for i = 1, 50 do setmetatable({}, { __gc = function() finished = finished + 1 end }) end
collectgarbage()
collectgarbage()
print(finished)
for mode = 1, 4 do
	collectgarbage(mode % 2 == 0 and "generational" or "incremental")
	local list = {}
	for i = 1, 20000 do list[i % 500 + 1] = { i, text = "s" .. i, f = function() return i end } end
	local sum = 0
	for i = 1, 500 do sum = sum + list[i][1] + list[i].f() + #list[i].text end
	collectgarbage "step"
	print(sum)
end
