/*
 * host SCRIPT FILE: a program that links 3rd/lua/liblua.a and uses what stock Lua does not have.
 * Two states run SCRIPT with FILE as argument, one after the other while both are alive.
 */

#include <stdio.h>
#include <stdlib.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

/* Internal headers are part of 3rd/lua: the sharetable library includes these. */
#define LUA_CORE
#include "lgc.h"
#include "lstate.h"

#ifndef LUA_CACHELIB
#error "lualib.h does not announce the code cache"
#endif

static int load_uncached(lua_State *L) {
	int status = luaL_loadfilex_(L, luaL_checkstring(L, 1), luaL_optstring(L, 2, NULL));
	lua_pushinteger(L, status);
	lua_insert(L, -2);
	return 2;
}

static int share_function(lua_State *L) {
	lua_sharefunction(L, 1);
	return 0;
}

static int clone_function(lua_State *L) {
	lua_clonefunction(L, lua_topointer(L, 1));
	return 1;
}

static int share_string(lua_State *L) {
	lua_sharestring(L, 1);
	return 0;
}

static int clone_table(lua_State *L) {
	lua_clonetable(L, lua_topointer(L, 1));
	return 1;
}

static lua_State *prepare(const char *script, const char *file) {
	static const luaL_Reg functions[] = {
		{ "load_uncached", load_uncached },
		{ "share_function", share_function },
		{ "clone_function", clone_function },
		{ "share_string", share_string },
		{ "clone_table", clone_table },
		{ NULL, NULL },
	};
	lua_State *L = luaL_newstate();
	if (L == NULL || L->l_G == NULL)
		exit(2);
	luaL_openlibs(L);
	luaL_requiref(L, "skynet.codecache", luaopen_cache, 0);
	luaL_newlib(L, functions);
	lua_setglobal(L, "host");
	if (luaL_loadfile(L, script) != LUA_OK) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		exit(2);
	}
	lua_pushstring(L, file);
	return L;
}

int main(int argc, char **argv) {
	lua_State *states[2];
	int i, status = 0;
	if (argc != 3)
		return 2;
	luaL_initcodecache();
	for (i = 0; i < 2; i++)
		states[i] = prepare(argv[1], argv[2]);
	for (i = 0; i < 2; i++) {
		if (lua_pcall(states[i], 1, 0, 0) != LUA_OK) {
			fprintf(stderr, "state %d: %s\n", i + 1, lua_tostring(states[i], -1));
			status = 1;
		}
	}
	for (i = 0; i < 2; i++)
		lua_close(states[i]);
	return status;
}
