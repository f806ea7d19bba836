/*
 * Functions, strings and tables shared between states: the entry points, so that modules which
 * import them load. Sharing itself is not there yet, and whoever asks for it is told.
 */

#define LUA_CORE

#include "lua.h"

#include "lauxlib.h"

static void unsupported(lua_State *L, const char *what) {
	luaL_error(L, "%s: sharing between Lua states is not supported by this build", what);
}

LUA_API void lua_sharefunction(lua_State *L, int index) {
	(void)index;
	unsupported(L, "lua_sharefunction");
}

LUA_API void lua_clonefunction(lua_State *L, const void *fp) {
	(void)fp;
	unsupported(L, "lua_clonefunction");
}

LUA_API void lua_sharestring(lua_State *L, int index) {
	(void)index;
	unsupported(L, "lua_sharestring");
}

LUA_API void lua_clonetable(lua_State *L, const void *tp) {
	(void)tp;
	unsupported(L, "lua_clonetable");
}
