/* A C module as projects write them: built against 3rd/lua alone, its Lua symbols left undefined. */

#include "lauxlib.h"
#include "lua.h"

static int add(lua_State *L) {
	lua_pushinteger(L, luaL_checkinteger(L, 1) + luaL_checkinteger(L, 2));
	return 1;
}

int luaopen_sample_module(lua_State *L) {
	static const luaL_Reg functions[] = { { "add", add }, { NULL, NULL } };
	luaL_checkversion(L);
	luaL_newlib(L, functions);
	return 1;
}
