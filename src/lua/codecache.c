/*
 * The file loader that every state uses and the module `skynet.codecache`.
 *
 * build.rs renames Lua's own loader to luaL_loadfilex_; the luaL_loadfilex defined here stands in
 * its place, so that `loadfile`, `dofile` and `require` come by. It does not cache yet: each mode
 * loads the file anew, which no caller can tell apart from a cache except by the time it takes.
 */

#define LUA_LIB

#include "lua.h"

#include "lauxlib.h"
#include "lualib.h"

/* The registry key of a state's mode: the address of this variable. */
static const char mode_key = 0;

static const char *const mode_names[] = { "OFF", "EXIST", "ON", NULL };

#define MODE_DEFAULT "ON"

LUALIB_API void luaL_initcodecache(void) {
}

LUALIB_API int luaL_loadfilex(lua_State *L, const char *filename, const char *mode) {
	return luaL_loadfilex_(L, filename, mode);
}

/* mode() -> the current mode; mode(name) sets it */
static int cache_mode(lua_State *L) {
	if (!lua_isnoneornil(L, 1)) {
		int option = luaL_checkoption(L, 1, NULL, mode_names);
		lua_pushstring(L, mode_names[option]);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &mode_key);
		return 0;
	}
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &mode_key) != LUA_TSTRING)
		lua_pushliteral(L, MODE_DEFAULT);
	return 1;
}

/* clear() forgets what is cached */
static int cache_clear(lua_State *L) {
	(void)L;
	return 0;
}

LUAMOD_API int luaopen_cache(lua_State *L) {
	const luaL_Reg functions[] = {
		{ "clear", cache_clear },
		{ "mode", cache_mode },
		{ NULL, NULL },
	};
	luaL_checkversion(L);
	luaL_newlib(L, functions);
	lua_getglobal(L, "loadfile");
	lua_setfield(L, -2, "loadfile");
	return 1;
}
