/*
 * The file loader that every state uses, with a process-wide cache of compiled files, and the module
 * `skynet.codecache`.
 *
 * build.rs renames Lua's own loader to luaL_loadfilex_; the luaL_loadfilex defined here stands in
 * its place, so that `loadfile`, `dofile` and `require` come by. A file is compiled in a state made
 * for that and copied into a chunk; every load then makes a closure of the chunk.
 */

#define LUA_CORE

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share.h"

#include "lauxlib.h"
#include "lualib.h"

/* Seen by the core, which is linked with it, but not by modules. */
#define l_hidden __attribute__((visibility("hidden")))

/* The registry key of a state's mode: the address of this variable. */
static const char mode_key = 0;

enum { MODE_OFF, MODE_EXIST, MODE_ON };

static const char *const mode_names[] = { "OFF", "EXIST", "ON", NULL };

/* ---- the cache ---- */

/* What a file looked like when it was read. All zero: it was not there. */
struct look {
	long long size, seconds, nanoseconds;
	unsigned long long device, inode;
};

struct entry {
	struct entry *next;
	struct chunk *chunk;
	struct look look;
	char name[];
};

#define SLOTS 1024

static struct {
	pthread_mutex_t lock;
	struct entry *slots[SLOTS];
	size_t count;
	size_t age; /* grows when something is forgotten */
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Kept for those who call it: the lock needs no preparation. */
LUALIB_API void luaL_initcodecache(void) {
}

static struct look look_at(const char *name) {
	struct look look;
	struct stat st;
	memset(&look, 0, sizeof look);
	if (stat(name, &st) == 0) {
		look.size = st.st_size;
		look.seconds = st.st_mtime;
#ifdef __APPLE__
		look.nanoseconds = st.st_mtimespec.tv_nsec;
#else
		look.nanoseconds = st.st_mtim.tv_nsec;
#endif
		look.device = st.st_dev;
		look.inode = st.st_ino;
	}
	return look;
}

/* Where the entry for `name` is linked, or would be; under the lock. */
static struct entry **place_of(const char *name) {
	unsigned int hash = 2166136261u;
	for (const char *c = name; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	struct entry **at = &cache.slots[hash % SLOTS];
	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static void unlink_entry(struct entry **at) {
	struct entry *entry = *at;
	*at = entry->next;
	cache.count--;
	chunk_drop(entry->chunk);
	free(entry);
}

/* The chunk of a file, with the caller as a user, or NULL; and the age of the cache. */
static struct chunk *cache_find(const char *name, size_t *age) {
	struct chunk *chunk = NULL;
	pthread_mutex_lock(&cache.lock);
	*age = cache.age;
	struct entry *entry = *place_of(name);
	if (entry != NULL) {
		chunk = entry->chunk;
		chunk_keep(chunk);
	}
	pthread_mutex_unlock(&cache.lock);
	return chunk;
}

/*
 * Puts a chunk into the cache and returns it; if somebody was faster, theirs instead. Not if something was
 * forgotten since the cache had that age: the file may have been read before it was replaced.
 */
static struct chunk *cache_store(const char *name, const struct look *look, struct chunk *chunk, size_t age) {
	size_t length = strlen(name) + 1;
	struct entry *fresh = malloc(sizeof *fresh + length);
	struct chunk *other = NULL;
	pthread_mutex_lock(&cache.lock);
	struct entry **at = place_of(name);
	if (*at != NULL) {
		other = (*at)->chunk;
		chunk_keep(other);
	} else if (fresh != NULL && age == cache.age) { /* without memory it is just not cached */
		fresh->next = NULL;
		fresh->chunk = chunk;
		fresh->look = *look;
		memcpy(fresh->name, name, length);
		chunk_keep(chunk);
		*at = fresh;
		fresh = NULL;
		cache.count++;
	}
	pthread_mutex_unlock(&cache.lock);
	free(fresh);
	if (other == NULL)
		return chunk;
	chunk_drop(chunk);
	return other;
}

/* ---- loading ---- */

static void *allocate(void *ud, void *block, size_t old, size_t new) {
	(void)ud;
	(void)old;
	if (new == 0) {
		free(block);
		return NULL;
	}
	return realloc(block, new);
}

static int no_memory(lua_State *L) {
	lua_pushliteral(L, "New state failed");
	return LUA_ERRMEM;
}

static int push_text(lua_State *L) {
	lua_pushstring(L, lua_touserdata(L, 1));
	return 1;
}

/* Compiles a file. On success it has a chunk, otherwise the message is pushed. */
static int compile(lua_State *L, const char *name, const char *mode, struct chunk **chunk) {
#if LUA_VERSION_NUM == 504
	lua_State *other = lua_newstate(allocate, NULL);
#else
	lua_State *other = lua_newstate(allocate, NULL, G(L)->seed);
#endif
	if (other == NULL)
		return no_memory(L);
	lua_gc(other, LUA_GCSTOP, 0);
	int status = luaL_loadfilex_(other, name, mode);
	if (status == LUA_OK) {
		*chunk = chunk_new(clLvalue(s2v(other->top.p - 1))->p);
		if (*chunk == NULL)
			status = LUA_ERRMEM;
	}
	if (status != LUA_OK) {
		/* protected, as it may not fit, and the other state must be closed */
		const char *text = status == LUA_ERRMEM ? "not enough memory" : lua_tostring(other, -1);
		lua_pushcfunction(L, push_text);
		lua_pushlightuserdata(L, (void *)text);
		int pushed = lua_pcall(L, 1, 1, 0);
		if (pushed != LUA_OK)
			status = pushed;
	}
	lua_close(other);
	return status;
}

static int mode_of(lua_State *L) {
	int type = lua_rawgetp(L, LUA_REGISTRYINDEX, &mode_key);
	int mode = type == LUA_TNUMBER ? (int)lua_tointeger(L, -1) : MODE_ON;
	lua_pop(L, 1);
	return mode;
}

LUALIB_API int luaL_loadfilex(lua_State *L, const char *filename, const char *mode) {
	struct chunk *chunk;
	/* the strings of a chunk have the hashes of the common seed */
	if (filename == NULL || !share_has_seed(L))
		return luaL_loadfilex_(L, filename, mode);
	luaR_opening(G(L), 0);
	int caching = mode_of(L);
	if (caching == MODE_OFF)
		return luaL_loadfilex_(L, filename, mode);
	size_t age;
	chunk = cache_find(filename, &age);
	if (chunk == NULL) {
		if (caching == MODE_EXIST)
			return luaL_loadfilex_(L, filename, mode);
		struct look look = look_at(filename);
		if (look.inode == 0) /* most likely one of the places where a file could be */
			return luaL_loadfilex_(L, filename, mode);
		int status = compile(L, filename, mode, &chunk);
		if (status != LUA_OK)
			return status;
		chunk = cache_store(filename, &look, chunk, age);
	}
	if (!chunk_push(L, chunk, NULL)) {
		chunk_drop(chunk);
		return no_memory(L);
	}
	return LUA_OK;
}

/* Whether `require` finds a file that it will not read: then it need not be opened, which takes twice as long as to
   ask for it. */
LUAI_FUNC int luaR_cached(lua_State *L, const char *name) {
	if (!share_has_seed(L) || mode_of(L) == MODE_OFF)
		return 0;
	pthread_mutex_lock(&cache.lock);
	int found = *place_of(name) != NULL;
	pthread_mutex_unlock(&cache.lock);
	return found && access(name, R_OK) == 0;
}

/* ---- the module ---- */

/* mode() -> the current mode; mode(name) sets it */
static int cache_mode(lua_State *L) {
	if (!lua_isnoneornil(L, 1)) {
		lua_pushinteger(L, luaL_checkoption(L, 1, NULL, mode_names));
		lua_rawsetp(L, LUA_REGISTRYINDEX, &mode_key);
		return 0;
	}
	lua_pushstring(L, mode_names[mode_of(L)]);
	return 1;
}

/* clear() forgets all files */
static int cache_clear(lua_State *L) {
	(void)L;
	pthread_mutex_lock(&cache.lock);
	cache.age++;
	for (int i = 0; i < SLOTS; i++) {
		while (cache.slots[i] != NULL)
			unlink_entry(&cache.slots[i]);
	}
	pthread_mutex_unlock(&cache.lock);
	return 0;
}

/* drop(name) forgets one file -> whether it was there */
static int cache_drop(lua_State *L) {
	const char *name = luaL_checkstring(L, 1);
	pthread_mutex_lock(&cache.lock);
	struct entry **at = place_of(name);
	int found = *at != NULL;
	cache.age++;
	if (found)
		unlink_entry(at);
	pthread_mutex_unlock(&cache.lock);
	lua_pushboolean(L, found);
	return 1;
}

/* refresh() forgets the files that are not what was read -> their number */
static int cache_refresh(lua_State *L) {
	lua_Integer changed = 0;
	pthread_mutex_lock(&cache.lock);
	cache.age++;
	for (int i = 0; i < SLOTS; i++) {
		struct entry **at = &cache.slots[i];
		while (*at != NULL) {
			struct look now = look_at((*at)->name);
			if (memcmp(&now, &(*at)->look, sizeof now) == 0) {
				at = &(*at)->next;
			} else {
				unlink_entry(at);
				changed++;
			}
		}
	}
	pthread_mutex_unlock(&cache.lock);
	lua_pushinteger(L, changed);
	return 1;
}

/* What states share: compiled files, strings and tables. For the core, which adds up where memory is. */
l_hidden size_t luaR_sharedbytes(void) {
	size_t count, chunks, strings;
	chunk_size(&count, &chunks);
	share_pool_size(&count, &strings);
	return chunks + strings + share_table_bytes();
}

/* stat() -> table: files cached, compiled files in memory and their bytes, strings and theirs */
static int cache_stat(lua_State *L) {
	size_t count, bytes;
	lua_createtable(L, 0, 5);
	pthread_mutex_lock(&cache.lock);
	count = cache.count;
	pthread_mutex_unlock(&cache.lock);
	lua_pushinteger(L, (lua_Integer)count);
	lua_setfield(L, -2, "files");
	chunk_size(&count, &bytes);
	lua_pushinteger(L, (lua_Integer)count);
	lua_setfield(L, -2, "chunks");
	lua_pushinteger(L, (lua_Integer)bytes);
	lua_setfield(L, -2, "chunkbytes");
	share_pool_size(&count, &bytes);
	lua_pushinteger(L, (lua_Integer)count);
	lua_setfield(L, -2, "strings");
	lua_pushinteger(L, (lua_Integer)bytes);
	lua_setfield(L, -2, "stringbytes");
	return 1;
}

LUAMOD_API int luaopen_cache(lua_State *L) {
	const luaL_Reg functions[] = {
		{ "clear", cache_clear },
		{ "mode", cache_mode },
		{ "drop", cache_drop },
		{ "refresh", cache_refresh },
		{ "stat", cache_stat },
		{ NULL, NULL },
	};
	luaL_checkversion(L);
	luaL_newlib(L, functions);
	lua_getglobal(L, "loadfile");
	lua_setfield(L, -2, "loadfile");
	return 1;
}
