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
#else
#define is_short(ts) strisshr(ts)
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

/*
 * The pool: a hash table that only grows. Adding is done under the lock, looking is not: an entry
 * does not change once it is linked, and a table that became too small stays as it is for those
 * who still look into it (all of them together are smaller than the last).
 */
struct pooled {
	struct pooled *next;
	TString *string;
};

struct table {
	size_t size; /* a power of two */
	/* a byte for each slot, behind the slots: bits for the strings in it, which tell of most strings
	   that they are not there, and stay in the cache of the processor */
	_Atomic unsigned char *bits;
	struct pooled *_Atomic slots[];
};

static unsigned char bit_of(unsigned int hash) {
	return (unsigned char)(1u << (hash >> 29));
}

static struct {
	pthread_mutex_t lock;
	struct table *_Atomic table;
	size_t count;
	size_t names; /* of these, what states put in themselves */
	size_t bytes;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* What one looks for: a short string, or a long one. */
struct wanted {
	const char *text;
	size_t len;
	unsigned int hash;
	lu_byte tt;
};

static struct wanted wanted(TString *ts) {
	unsigned int hash = is_short(ts) ? ts->hash : luaS_hashlongstr(ts);
	return (struct wanted){ getstr(ts), tsslen(ts), hash, ts->tt };
}

static TString *pool_find(const struct wanted *it) {
	struct table *table = atomic_load_explicit(&pool.table, memory_order_acquire);
	if (table == NULL)
		return NULL;
	size_t slot = it->hash & (table->size - 1);
	if (!(atomic_load_explicit(&table->bits[slot], memory_order_relaxed) & bit_of(it->hash)))
		return NULL;
	struct pooled *at = atomic_load_explicit(&table->slots[slot], memory_order_acquire);
	for (; at != NULL; at = at->next) {
		TString *one = at->string;
		if (one->hash == it->hash && one->tt == it->tt && tsslen(one) == it->len &&
			memcmp(getstr(one), it->text, it->len) == 0)
			return one;
	}
	return NULL;
}

/* Links a string; under the lock, or before others see the table. */
static int pool_link(struct table *table, TString *ts) {
	struct pooled *entry = malloc(sizeof *entry);
	if (entry == NULL)
		return 0;
	size_t slot = ts->hash & (table->size - 1);
	entry->string = ts;
	entry->next = atomic_load_explicit(&table->slots[slot], memory_order_relaxed);
	atomic_store_explicit(&table->slots[slot], entry, memory_order_release);
	unsigned char bits = atomic_load_explicit(&table->bits[slot], memory_order_relaxed);
	atomic_store_explicit(&table->bits[slot], bits | bit_of(ts->hash), memory_order_relaxed);
	pool.bytes += sizeof *entry;
	return 1;
}

/* A table with room for more, or the old one without memory: longer chains will do. */
static struct table *pool_table(void) {
	struct table *old = atomic_load_explicit(&pool.table, memory_order_relaxed);
	if (old != NULL && pool.count < old->size / 2)
		return old;
	size_t size = old == NULL ? 2048 : old->size * 2;
	struct table *table;
	size_t bytes = sizeof *table + size * (sizeof table->slots[0] + sizeof table->bits[0]);
	table = calloc(1, bytes);
	if (table == NULL)
		return old;
	table->size = size;
	table->bits = (_Atomic unsigned char *)&table->slots[size];
	for (size_t i = 0; old != NULL && i < old->size; i++) {
		for (struct pooled *at = old->slots[i]; at != NULL; at = at->next) {
			if (!pool_link(table, at->string))
				return old; /* what was linked is lost; there is no memory left for anything */
		}
	}
	pool.bytes += bytes;
	atomic_store_explicit(&pool.table, table, memory_order_release);
	return table;
}

/* A string object of no state. */
static TString *make_string(const struct wanted *it) {
	int is_short = it->tt == LUA_VSHRSTR;
#if LUA_VERSION_NUM == 504
	size_t size = sizelstring(it->len);
#else
	size_t size = is_short ? sizestrshr(it->len) : luaS_sizelngstr(it->len, LSTRREG);
#endif
	TString *ts = malloc(size);
	if (ts == NULL)
		return NULL;
	memset(ts, 0, size);
	ts->tt = it->tt;
	ts->marked = G_SHARED;
	ts->hash = it->hash;
	ts->extra = !is_short; /* a long string has its hash */
#if LUA_VERSION_NUM == 504
	ts->shrlen = is_short ? (lu_byte)it->len : 0xFF;
#else
	ts->shrlen = is_short ? (ls_byte)it->len : LSTRREG;
	if (!is_short)
		ts->contents = (char *)ts + offsetof(TString, falloc);
#endif
	if (!is_short)
		ts->u.lnglen = it->len;
	memcpy(getstr(ts), it->text, it->len);
	ts->id = new_id();
	pool.bytes += size;
	return ts;
}

/* So many strings are names of libraries; more are not, whoever makes them while a library opens. */
#define MOST_NAMES 4096

/* The string of the pool, made if need be. NULL without memory, and if there are too many names. */
static TString *pool_add(const struct wanted *it, int is_name) {
	pthread_mutex_lock(&pool.lock);
	TString *found = pool_find(it);
	int too_many = is_name && pool.names >= MOST_NAMES;
	struct table *table = found == NULL && !too_many ? pool_table() : NULL;
	if (table != NULL && (found = make_string(it)) != NULL) {
		if (pool_link(table, found)) {
			pool.count++;
			pool.names += (size_t)is_name;
		} else {
			free(found);
			found = NULL;
		}
	}
	pthread_mutex_unlock(&pool.lock);
	return found;
}

TString *share_pooled(TString *ts) {
	if (ts == NULL)
		return NULL;
	struct wanted it = wanted(ts);
	TString *found = pool_find(&it);
	return found != NULL ? found : pool_add(&it, 0);
}

void share_pool_size(size_t *count, size_t *bytes) {
	pthread_mutex_lock(&pool.lock);
	*count = pool.count;
	*bytes = pool.bytes;
	pthread_mutex_unlock(&pool.lock);
}

/* ---- strings that states take from the pool ---- */

/*
 * The names of the libraries are the same in every state. A state puts the short strings that it
 * makes into the pool while it opens libraries: from its creation until it loads its first code,
 * and while the open function of a C module runs. What it makes later it only looks up.
 */
enum { ALONE /* another seed */, LOOKS, ADDS };


lu_byte luaR_join(unsigned int seed) {
	return seed != 0 && seed == share_seed() ? ADDS : ALONE;
}

lu_byte luaR_opening(global_State *g, int opening) {
	lu_byte before = g->pooling;
	if (before != ALONE)
		g->pooling = opening ? ADDS : LOOKS;
	return before;
}

/* A short string that the state does not have: from the pool, or NULL. */
TString *luaR_name(global_State *g, const char *text, size_t len, unsigned int hash) {
	if (g->pooling == ALONE)
		return NULL;
	struct wanted it = { text, len, hash, LUA_VSHRSTR };
	TString *found = pool_find(&it);
	return found == NULL && g->pooling == ADDS ? pool_add(&it, 1) : found;
}

/* Makes a reserved word of a string. Every state does so before it reads code, under the lock, so that it
   sees the number in a pooled one, whoever wrote it. */
void luaR_word(TString *ts, lu_byte number) {
	if (!isshared(ts)) {
		ts->extra = number;
		return;
	}
	pthread_mutex_lock(&pool.lock);
	if (ts->extra != number)
		ts->extra = number;
	pthread_mutex_unlock(&pool.lock);
}

/* Calls the loader of a module, which is below its two arguments. */
void luaR_require(lua_State *L) {
	lu_byte before = luaR_opening(G(L), lua_iscfunction(L, -3));
	lua_call(L, 2, 1);
	G(L)->pooling = before;
}

/* Marks a string where it is. With the id of the pooled one, functions of the cache find it in tables
   without a look at its content. */
static void share_string(TString *ts) {
	if (ts == NULL || isshared(ts))
		return;
	struct wanted it = wanted(ts); /* a long one has its hash from now on */
	if (ts->id == 0) {
		TString *known = pool_find(&it);
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

/* ---- for the sharetable library ---- */

static atomic_size_t table_bytes;

LUA_API void skynetx_sharedtables(ptrdiff_t bytes) {
	atomic_fetch_add_explicit(&table_bytes, (size_t)bytes, memory_order_relaxed);
}

size_t share_table_bytes(void) {
	return atomic_load_explicit(&table_bytes, memory_order_relaxed);
}

struct AtClose {
	struct AtClose *next;
	void (*f)(void *ud);
	void *ud;
};

LUA_API int skynetx_atclose(lua_State *L, void (*f)(void *ud), void *ud) {
	struct AtClose *it = malloc(sizeof *it);
	if (it == NULL)
		return 0;
	*it = (struct AtClose){ G(L)->atclose, f, ud };
	G(L)->atclose = it;
	return 1;
}

/* The state has no object any more, and no finalizer runs. */
void luaR_closed(global_State *g) {
	while (g->atclose != NULL) {
		struct AtClose *it = g->atclose;
		g->atclose = it->next;
		it->f(it->ud);
		free(it);
	}
}
