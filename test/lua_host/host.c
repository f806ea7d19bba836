/*
 * `host VALUES SCRIPT`: a service with a Lua state of its own, on whose stack it keeps VALUES numbers for as
 * long as it lives, and prints them when it ends. The script finds skynet.core where snlua would.
 */
#include <stdio.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"
#include "skynet.h"

struct host {
	lua_State *L;
	struct skynet_context *ctx;
};

struct host *
host_create(void) {
	return skynet_malloc(sizeof(struct host));
}

void
host_release(struct host *self) {
	lua_State *L = self->L;
	char text[200];
	int n = snprintf(text, sizeof text, "HOST ends, on its stack:");

	for (int i = 1; i <= lua_gettop(L); i++)
		n += snprintf(text + n, sizeof text - (size_t)n, " %g", lua_tonumber(L, i));
	skynet_error(self->ctx, "%s.", text);
	lua_close(L);
	skynet_free(self);
}

static int
run_script(lua_State *L) {
	const char *script = lua_touserdata(L, 1);
	struct skynet_context *ctx = lua_touserdata(L, 2);

	luaL_openlibs(L);
	lua_pushlightuserdata(L, ctx);
	lua_setfield(L, LUA_REGISTRYINDEX, "skynet_context");
	lua_getglobal(L, "package");
	lua_pushstring(L, skynet_command(ctx, "GETENV", "lua_cpath"));
	lua_setfield(L, -2, "cpath");
	if (luaL_loadfile(L, script) != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 0);
	return 0;
}

int
host_init(struct host *self, struct skynet_context *ctx, const char *parm) {
	char script[100] = "";
	int values = 0;

	self->ctx = ctx;
	self->L = luaL_newstate();
	if (sscanf(parm, "%d %99s", &values, script) != 2)
		return 1;
	for (int i = 1; i <= values; i++)
		lua_pushinteger(self->L, 100 + i);
	lua_pushcfunction(self->L, run_script);
	lua_pushlightuserdata(self->L, script);
	lua_pushlightuserdata(self->L, ctx);
	if (lua_pcall(self->L, 2, 0, 0) != LUA_OK) {
		skynet_error(ctx, "HOST %s", lua_tostring(self->L, -1));
		return 1;
	}
	return 0;
}
