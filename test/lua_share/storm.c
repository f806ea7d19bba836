/*
 * Threads that make states, load the same files, drop them from the cache, publish tables and use those
 * of the others, and close the states again. What a thread finds wrong ends the process.
 *
 *   storm FOLDER ROUNDS THREADS
 */

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua.h"

#include "lauxlib.h"
#include "lualib.h"

#include "lgc.h"
#include "lobject.h"
#include "lstate.h"

#define TABLES 6

/* A table that all may read, in a state of its own. */
struct shared {
	lua_State *owner;
	const void *table;
	int users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared *published[TABLES];

static const char *folder;
static int rounds;

static void fail(const char *format, ...) {
	va_list args;
	va_start(args, format);
	fprintf(stderr, "storm: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	_Exit(1);
}

/* Runs FOLDER/NAME with one number; it leaves `results` values. */
static void run(lua_State *L, const char *name, lua_Integer argument, int results) {
	char path[1024];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	if (luaL_loadfile(L, path) != LUA_OK)
		fail("%s", lua_tostring(L, -1));
	lua_pushinteger(L, argument);
	if (lua_pcall(L, 1, results, 0) != LUA_OK)
		fail("%s", lua_tostring(L, -1));
}

static void release(struct shared *s) {
	pthread_mutex_lock(&lock);
	int last = --s->users == 0;
	pthread_mutex_unlock(&lock);
	if (last) {
		lua_close(s->owner);
		free(s);
	}
}

/* Marks the value on the top of the stack and what it contains, as the sharetable library does. */
static void share(lua_State *L) {
	int type = lua_type(L, -1);
	if (type == LUA_TSTRING)
		lua_sharestring(L, -1);
	if (type != LUA_TFUNCTION && type != LUA_TTABLE)
		return;
	GCObject *object = (GCObject *)lua_topointer(L, -1);
	if (isshared(object))
		return;
	if (type == LUA_TFUNCTION) {
		lua_sharefunction(L, -1);
		makeshared(object);
		return;
	}
	makeshared(object);
	luaL_checkstack(L, 4, NULL);
	for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
		share(L);
		lua_pushvalue(L, -2);
		share(L);
		lua_pop(L, 1);
	}
}

static void publish(int index, int version) {
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	/* a function of the cache that is shared once more would keep its file for ever */
	lua_pushliteral(L, "OFF");
	luaL_requiref(L, "skynet.codecache", luaopen_cache, 0);
	lua_getfield(L, -1, "mode");
	lua_pushvalue(L, -3);
	lua_call(L, 1, 0);
	run(L, "data.lua", version, 1);
	lua_gc(L, LUA_GCCOLLECT);
	lua_gc(L, LUA_GCSTOP);
	share(L);
	struct shared *s = malloc(sizeof *s);
	s->owner = L;
	s->table = lua_topointer(L, -1);
	s->users = 1;
	pthread_mutex_lock(&lock);
	struct shared *old = published[index];
	published[index] = s;
	pthread_mutex_unlock(&lock);
	if (old != NULL)
		release(old);
}

/* The tables that a state has asked for, in its registry. */
static int forget(lua_State *L) {
	struct shared **held = lua_touserdata(L, 1);
	release(*held);
	return 0;
}

static int query(lua_State *L) {
	int index = (int)luaL_checkinteger(L, 1) % TABLES;
	struct shared **held = lua_newuserdatauv(L, sizeof *held, 0);
	pthread_mutex_lock(&lock);
	*held = published[index];
	(*held)->users++;
	pthread_mutex_unlock(&lock);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, forget);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	luaL_ref(L, LUA_REGISTRYINDEX);
	lua_clonetable(L, (*held)->table);
	return 1;
}

static int republish(lua_State *L) {
	publish((int)luaL_checkinteger(L, 1) % TABLES, (int)luaL_checkinteger(L, 2));
	return 0;
}

static lua_State *new_state(void) {
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	luaL_requiref(L, "skynet.codecache", luaopen_cache, 0);
	lua_pop(L, 1);
	lua_register(L, "query", query);
	lua_register(L, "republish", republish);
	lua_pushstring(L, folder);
	lua_setglobal(L, "FOLDER");
	return L;
}

static void *work(void *argument) {
	int number = (int)(size_t)argument;
	for (int i = 0; i < rounds; i++) {
		lua_State *L = new_state();
		run(L, "client.lua", number * 1000003 + i, 0);
		lua_close(L);
	}
	return NULL;
}

int main(int argc, char **argv) {
	pthread_t threads[64];
	if (argc != 4)
		fail("usage: storm FOLDER ROUNDS THREADS");
	folder = argv[1];
	rounds = atoi(argv[2]);
	int count = atoi(argv[3]);
	luaL_initcodecache();
	for (int i = 0; i < TABLES; i++)
		publish(i, i);
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, work, (void *)(size_t)(i + 1));
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < TABLES; i++)
		release(published[i]);
	/* nobody is left: all compiled files must go */
	lua_State *L = new_state();
	run(L, "last.lua", 0, 0);
	lua_close(L);
	puts("storm passed");
	return 0;
}
