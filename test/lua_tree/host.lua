-- Run by host.c in two states: the code cache and the other functions that stock Lua lacks.
local file = ...
local cache = require "skynet.codecache"

-- Every state starts with the default, whatever another one has chosen.
assert(cache.mode() == "ON")
assert(cache.mode(nil) == "ON")
for _, mode in ipairs { "OFF", "EXIST", "ON", "EXIST" } do
	assert(select("#", cache.mode(mode)) == 0)
	assert(cache.mode() == mode)
end
for _, bad in ipairs { "on", 1, false, {} } do
	local ok, message = pcall(cache.mode, bad)
	assert(not ok and message:find("bad argument #1", 1, true), message)
end
assert(cache.mode() == "EXIST")

-- In every mode a load gives a new function, and clear leaves loaded ones alone.
assert(cache.loadfile == loadfile)
for _, mode in ipairs { "OFF", "EXIST", "ON" } do
	cache.mode(mode)
	local a, b = assert(loadfile(file)), assert(loadfile(file))
	assert(a ~= b)
	assert(select("#", cache.clear()) == 0)
	assert(a() == 1 and a() == 2 and b() == 1)
	assert(dofile(file) == 1)
end

-- Errors are those of stock Lua.
local f, message = loadfile "/nonexistent/file.lua"
assert(f == nil and message == "cannot open /nonexistent/file.lua: No such file or directory", message)
f, message = loadfile(file, "b")
assert(cache.mode() == "ON" or f == nil)

-- The loader that knows no cache.
local status, chunk = host.load_uncached(file)
assert(status == 0 and chunk() == 1)
status, message = host.load_uncached(file, "b")
assert(status ~= 0 and message:find("attempt to load a text chunk (mode is 'b')", 1, true), message)

-- Sharing: what is not shared is refused, and so is what cannot be.
local function refused(what, f, ...)
	local ok, why = pcall(f, ...)
	assert(not ok and why:find(what, 1, true), why)
end
refused("Not a shared function", host.clone_function, chunk)
refused("Only Lua function can share", host.share_function, print)
refused("Only Lua function can share", host.share_function, 1)
refused("need a string to share", host.share_string, {})
refused("Not a shared table", host.clone_table, {})
host.share_string "x"
host.share_string(("long"):rep(20))
host.share_function(chunk)
local copy = host.clone_function(chunk)
assert(copy ~= chunk and select(2, debug.getupvalue(copy, 1)) == _G)
assert(copy() == 1)
collectgarbage()
assert(("x"):rep(2):sub(1, 1) == "x" and copy() == 2)
