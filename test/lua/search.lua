-- package.searchpath and require: a file that is gone is not found, though its code is in the code cache.

local skynet = require "skynet"
local check = dofile "./test/lua/support/check.lua"

local eq = check.eq

check.run(function()
	local base = os.tmpname()
	os.remove(base)
	local first, second = base .. "_1_?.lua", base .. "_2_?.lua"
	local path = first .. ";" .. second
	local function file(pattern)
		return (pattern:gsub("%?", "mod"))
	end
	local function write(pattern, text)
		local f = assert(io.open(file(pattern), "w"))
		f:write(text)
		f:close()
	end
	local function load()
		package.loaded.mod = nil
		return (require "mod")
	end
	local before = package.path
	package.path = path .. ";" .. before

	check.case("a file that is removed", function()
		write(first, "return 'first'")
		write(second, "return 'second'")
		eq(load(), "first")
		eq(package.searchpath("mod", path), file(first))
		os.remove(file(first))
		eq(package.searchpath("mod", path), file(second))
		eq(load(), "second")
		os.remove(file(second))
		local found, text = package.searchpath("mod", path)
		eq(found, nil)
		eq(text, ("no file '%s'\n\tno file '%s'"):format(file(first), file(second)))
		package.loaded.mod = nil
		check.raises("module 'mod' not found", require, "mod")
	end)
	check.case("a folder in its place is found, as in any Lua", function()
		os.execute(("mkdir %s"):format(file(first)))
		write(second, "return 'second'")
		eq(package.searchpath("mod", path), file(first))
		eq(load(), "first")	-- the code cache asks for names only
		os.execute(("rmdir %s"):format(file(first)))
		os.remove(file(second))
	end)
	check.case("a folder that was no file", function()
		local folder = base .. "_3"
		os.execute(("mkdir %s"):format(folder))
		eq(package.searchpath("mod", folder .. ";" .. first), folder)
		package.path = folder .. ";" .. before
		package.loaded.mod = nil
		check.raises("cannot read", require, "mod")
		os.execute(("rmdir %s"):format(folder))
	end)
	package.path = before
end)
