-- At the end of storm.c no file but this one is used, and after `clear` not even that by the cache.
local cache = require "skynet.codecache"
cache.clear()
collectgarbage()
local stat = cache.stat()
assert(stat.files == 0 and stat.chunks == 1, stat.files .. " files, " .. stat.chunks .. " chunks")
assert(stat.chunkbytes > 0 and stat.strings > 0)

-- what a closure needs stays, whatever the cache forgets
local M = dofile(FOLDER .. "/module.lua")
local counter = M.counter()
assert(cache.stat().chunks == 2 and cache.drop(FOLDER .. "/module.lua") and not cache.drop "none")
M = nil
collectgarbage()
assert(cache.stat().chunks == 2 and counter() == 1)
counter = nil
collectgarbage()
assert(cache.stat().chunks == 1)
