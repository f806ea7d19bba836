/*
 * Functions, strings and tables shared between states: marking, comparing, refusing to change them,
 * and the pool of strings.
 *
 * A short string exists once in a state, so Lua compares addresses. Copies of different states meet
 * only if one of them is shared. Two that are equal have equal hashes, because the states have one
 * seed; their contents are compared the first time, and then the copy that is not shared takes over
 * the id of the other. Only its own state sees that copy, hence no atomics.
 */

#define LUA_CORE

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "share.h"

#include "lapi.h"
#include "ldebug.h"
#include "ldo.h"
#include "lfunc.h"
#include "lmem.h"
#include "lstring.h"
#include "lvm.h"

#if LUA_VERSION_NUM == 504
#define is_short(ts) ((ts)->shrlen != 0xFF)
#define string_size(ts, len) sizelstring(len)
#else
#define is_short(ts) strisshr(ts)
#define string_size(ts, len) (is_short(ts) ? sizestrshr(len) : luaS_sizelngstr(len, LSTRREG))
#endif

/* ---- the seed ---- */

static _Atomic unsigned int the_seed;

/* The first candidate becomes the seed of all states. */
unsigned int luaR_seed(unsigned int candidate) {
	unsigned int none = 0;
	if (candidate == 0)
		candidate = 1;
	if (atomic_compare_exchange_strong(&the_seed, &none, candidate))
		return candidate;
	return none;
}

unsigned int share_seed(void) {
	return atomic_load(&the_seed);
}

/* ---- strings ---- */

/* Ids count down, so that they look like nothing else in a core dump. 0 is none. */
static size_t new_id(void) {
	static _Atomic size_t used;
	return ~(size_t)0 - atomic_fetch_add_explicit(&used, 1, memory_order_relaxed);
}

/* Two objects with one hash and not one id. */
int luaR_eqshrstr(TString *a, TString *b) {
	int a_shared = isshared(a), b_shared = isshared(b);
	if (!a_shared && !b_shared)
		return 0;
	if (a->shrlen != b->shrlen || memcmp(getshrstr(a), getshrstr(b), (size_t)a->shrlen) != 0)
		return 0;
	if (!a_shared)
		a->id = b->id;
	else if (!b_shared)
		b->id = a->id;
	return 1;
}

/* The pool: a hash table with chains through u.hnext for short strings. Long ones have their length
   there, so an entry holds both. */
struct pooled {
	struct pooled *next;
	TString *string;
};

static struct {
	pthread_mutex_t lock;
	struct pooled **slots;
	size_t size; /* a power of two, or 0 */
	size_t count;
	size_t bytes;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned int hash_of(TString *ts) {
	return is_short(ts) ? ts->hash : luaS_hashlongstr(ts);
}

/* The entry equal to `ts`; under the lock. */
static TString *pool_find(TString *ts, unsigned int hash) {
	size_t len = tsslen(ts);
	if (pool.size == 0)
		return NULL;
	for (struct pooled *at = pool.slots[hash & (pool.size - 1)]; at != NULL; at = at->next) {
		TString *one = at->string;
		if (one->hash == hash && one->tt == ts->tt && tsslen(one) == len &&
			memcmp(getstr(one), getstr(ts), len) == 0)
			return one;
	}
	return NULL;
}

static int pool_grow(void) {
	size_t size = pool.size == 0 ? 1024 : pool.size * 2;
	struct pooled **slots = calloc(size, sizeof *slots);
	if (slots == NULL)
		return pool.size != 0; /* longer chains will do */
	for (size_t i = 0; i < pool.size; i++) {
		for (struct pooled *at = pool.slots[i], *next; at != NULL; at = next) {
			struct pooled **slot = &slots[at->string->hash & (size - 1)];
			next = at->next;
			at->next = *slot;
			*slot = at;
		}
	}
	free(pool.slots);
	pool.slots = slots;
	pool.size = size;
	return 1;
}

/* A string object of no state. */
static TString *copy_string(TString *ts) {
	size_t len = tsslen(ts);
	size_t size = string_size(ts, len);
	TString *copy = malloc(size);
	if (copy == NULL)
		return NULL;
	memset(copy, 0, size);
	copy->tt = ts->tt;
	copy->marked = G_SHARED;
	copy->hash = ts->hash;
	copy->extra = is_short(ts) ? 0 : ts->extra;
#if LUA_VERSION_NUM == 504
	copy->shrlen = ts->shrlen;
#else
	copy->shrlen = is_short(ts) ? ts->shrlen : LSTRREG;
	if (!is_short(ts))
		copy->contents = (char *)copy + offsetof(TString, falloc);
#endif
	if (!is_short(ts))
		copy->u.lnglen = len;
	memcpy(getstr(copy), getstr(ts), len + 1);
	copy->id = new_id();
	pool.bytes += size;
	return copy;
}

TString *share_pooled(TString *ts) {
	TString *found;
	if (ts == NULL)
		return NULL;
	unsigned int hash = hash_of(ts);
	pthread_mutex_lock(&pool.lock);
	found = pool_find(ts, hash);
	if (found == NULL && (pool.count < pool.size || pool_grow())) {
		struct pooled *entry = malloc(sizeof *entry);
		if (entry != NULL && (found = copy_string(ts)) != NULL) {
			struct pooled **slot = &pool.slots[hash & (pool.size - 1)];
			entry->string = found;
			entry->next = *slot;
			*slot = entry;
			pool.count++;
			pool.bytes += sizeof *entry;
		} else {
			free(entry);
		}
	}
	pthread_mutex_unlock(&pool.lock);
	return found;
}

void share_pool_size(size_t *count, size_t *bytes) {
	pthread_mutex_lock(&pool.lock);
	*count = pool.count;
	*bytes = pool.bytes + pool.size * sizeof *pool.slots;
	pthread_mutex_unlock(&pool.lock);
}

/* Marks a string where it is. With the id of the pooled one, functions of the cache find it in tables
   without a look at its content. */
static void share_string(TString *ts) {
	if (ts == NULL || isshared(ts))
		return;
	unsigned int hash = hash_of(ts); /* a long one has it from now on */
	if (ts->id == 0) {
		pthread_mutex_lock(&pool.lock);
		TString *known = pool_find(ts, hash);
		pthread_mutex_unlock(&pool.lock);
		ts->id = known != NULL ? known->id : new_id();
	}
	makeshared(ts);
}

LUA_API void lua_sharestring(lua_State *L, int index) {
	if (lua_type(L, index) != LUA_TSTRING)
		luaG_runerror(L, "need a string to share");
	share_string((TString *)lua_topointer(L, index));
}

/* ---- functions ---- */

static void share_proto(Proto *f) {
	if (f == NULL || isshared(f))
		return;
	share_string(f->source);
	for (int i = 0; i < f->sizek; i++) {
		if (ttisstring(&f->k[i]))
			share_string(tsvalue(&f->k[i]));
	}
	for (int i = 0; i < f->sizeupvalues; i++)
		share_string(f->upvalues[i].name);
	for (int i = 0; i < f->sizelocvars; i++)
		share_string(f->locvars[i].varname);
	for (int i = 0; i < f->sizep; i++)
		share_proto(f->p[i]);
	makeshared(f);
}

LUA_API void lua_sharefunction(lua_State *L, int index) {
	if (!lua_isfunction(L, index) || lua_iscfunction(L, index))
		luaG_runerror(L, "Only Lua function can share");
	const LClosure *closure = lua_topointer(L, index);
	struct chunk *chunk = chunk_of(closure->p);
	if (chunk != NULL)
		chunk_pin(chunk);
	share_proto(closure->p);
}

void share_push(lua_State *L, Proto *f) {
	LClosure *closure = luaF_newLclosure(L, f->sizeupvalues);
	setclLvalue2s(L, L->top.p, closure);
	api_incr_top(L);
	closure->p = f;
	luaF_initupvals(L, closure);
	if (f->sizeupvalues >= 1) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
		lua_setupvalue(L, -2, 1);
	}
	luaC_checkGC(L);
}

LUA_API void lua_clonefunction(lua_State *L, const void *fp) {
	Proto *f = ((const LClosure *)fp)->p;
	struct chunk *chunk = chunk_of(f);
	if (!isshared(f))
		luaG_runerror(L, "Not a shared function");
	if (chunk == NULL) {
		share_push(L, f);
	} else {
		chunk_keep(chunk);
		if (!chunk_push(L, chunk, f)) {
			chunk_drop(chunk);
			luaM_error(L);
		}
	}
}

/* ---- tables ---- */

LUA_API void lua_clonetable(lua_State *L, const void *tp) {
	Table *t = (Table *)tp;
	if (!isshared(t))
		luaG_runerror(L, "Not a shared table");
	sethvalue2s(L, L->top.p, t);
	api_incr_top(L);
}

l_noret luaR_refuse(lua_State *L, const TValue *t) {
	luaG_typeerror(L, t, "change");
}

l_noret luaR_refuseraw(lua_State *L) {
	luaG_runerror(L, "attempt to change a shared table");
}
