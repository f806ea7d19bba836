-- foreign: also
-- skynet.profile and skynet.codecache: what they have of Lua's own functions is that, whatever a script put in
-- their place before it asks for the modules.

local resume, wrap, standard = coroutine.resume, coroutine.wrap, loadfile
local check = dofile "./test/lua/support/check.lua"

local eq = check.eq

check.run(function()
	local function mine() error "this is not the standard function" end
	coroutine.resume, coroutine.wrap, loadfile = mine, mine, mine
	local ok, profile, codecache = pcall(function()
		return package.loaded["skynet.profile"] or package.preload["skynet.profile"](),
			package.loaded["skynet.codecache"] or package.preload["skynet.codecache"]()
	end)
	coroutine.resume, coroutine.wrap, loadfile = resume, wrap, standard
	assert(ok, profile)

	check.case("profile", function()
		eq(profile.resume == resume, true)
		eq(profile.wrap == wrap, true)
		eq(require "skynet.profile".resume == resume, true)
		eq(require "skynet.profile".wrap == wrap, true)
		profile.start()
		eq(math.type(profile.stop()), "float")
	end)
	check.case("codecache", function()
		eq(codecache.loadfile == standard, true)
		eq(require "skynet.codecache".loadfile == standard, true)
		eq(type(codecache.clear), "function")
		eq(type(codecache.mode), "function")
	end)
end)
