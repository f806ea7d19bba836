-- One state's life in storm.c. The number decides what it does.
local seed = ...
local cache = require "skynet.codecache"
math.randomseed(seed)
local random = math.random
if random(2) == 1 then collectgarbage "generational" end

local function refused(what, f, ...)
	local ok, text = pcall(f, ...)
	assert(not ok and text:find(what, 1, true), text)
end

local function own(text) return table.concat { text:sub(1, 2), text:sub(3) } end

local counters = {}

local function code()
	local load = assert(loadfile(FOLDER .. "/module.lua"))
	local M = load()
	local object = M.new("me")
	object:add("one", 1):add(own "two", 2)
	assert(object:sum() == 3 and object.items.two == 2 and object[own "name"] == "me")
	assert(M[own "kind"] == own "module" and rawequal(M.kind, own "module"))
	assert(next({ kind = 1 }, own "kind") == nil)
	local counter = M.counter()
	assert(counter() == 1)
	counters[random(8)] = counter
	for _, c in pairs(counters) do
		local n, text = c()
		assert(n >= 1 and text == M.text and #text > 40)
	end
	return M
end

local function data(M)
	local t = query(random(0, 5))
	local version = t[own "version"]
	local v, name, deep, absent = M.field(t)
	assert(v == version and deep == version and absent == nil and name == "name" .. version)
	assert(t[own "a key of more than forty characters, which is a long string"] == version)
	local n = #t.list
	assert(t.list[n] and t.list[n + 1] == nil)
	for i = 1, 30 do assert(t.list[i] == version + i) end
	local count = 0
	for k, value in pairs(t.map) do
		count = count + 1
		assert(value == "value" .. (version + k:match "%d+"))
	end
	assert(count == 40 and next(t.map, own "key1") ~= 0)
	assert(t.call(version, 1) == version + 1)
	refused("a table value", function() t.version = 0 end)
	refused("a table value", function() t.fresh = 0 end)
	refused("a table value", function() t.list[1] = 0 end)
	refused("a table value", table.insert, t.list, 1)
	refused("attempt to change a shared table", rawset, t, own "version", 0)
	refused("attempt to change a shared table", rawset, t, {}, 0)
	refused("can't setmetatable to shared table", setmetatable, t, {})
	-- as a metatable it must not be written to either, where Lua notes which events it lacks
	local o = setmetatable({}, t)
	assert(o == o and #o == 0 and o.x == nil and not pcall(function() return o + 1 end))
	local copy = {}
	for k, value in pairs(t) do copy[k] = value end
	assert(copy.version == version and copy[own "name"] == name)
	return t
end

local kept = {}
for _ = 1, 6 do
	local M = code()
	kept[random(4)] = data(M)
	local what = random(12)
	if what == 1 then
		cache.clear()
	elseif what == 2 then
		cache.drop(FOLDER .. "/module.lua")
	elseif what == 3 then
		assert(cache.refresh() >= 0)
	elseif what == 4 then
		republish(random(0, 5), random(1000))
	elseif what == 5 then
		counters = {}
	elseif what == 6 then
		cache.mode(({ "ON", "OFF", "EXIST" })[random(3)])
	elseif what < 9 then
		collectgarbage(({ "generational", "incremental", "collect", "step" })[random(4)])
	end
	for _, t in pairs(kept) do assert(t.nested.deeper.text:match "%d+$" + 0 == t.version) end
end
