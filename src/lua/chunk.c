/*
 * Chunks: the functions of one compiled file, outside any state.
 *
 * A chunk is one block of memory: the prototypes, their code, constants and debug information. Its
 * strings are pooled ones. It counts its users, which are the code cache and states, not closures: a
 * state is one user however many closures it makes. The state finds out at the end of every full
 * marking whether a closure that it still has belongs to the chunk, and stops being a user if none
 * does. (A minor collection does not look at old closures, so it decides nothing.)
 */

#define LUA_CORE

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "share.h"

/* Set on the prototypes of chunks; in these, `gclist` is the chunk. Nobody else uses the bit. */
#define CHUNK_BIT TESTBIT

struct chunk {
	atomic_size_t users;
	atomic_int pinned;
	size_t size;
	Proto *main;
};

/* How many chunks there are. */
static struct {
	pthread_mutex_t lock;
	size_t count;
	size_t bytes;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- copying ---- */

/* A place in the block. Without a block it only counts. */
struct place {
	struct chunk *block;
	size_t used;
	int failed;
};

static void *take(struct place *at, size_t size) {
	size_t begin = at->used;
	at->used += (size + 15) & ~(size_t)15;
	return at->block != NULL && size != 0 ? (char *)at->block + begin : NULL;
}

static void *copy_array(struct place *at, const void *from, size_t size) {
	void *to = take(at, size);
	if (to != NULL)
		memcpy(to, from, size);
	return to;
}

static TString *pooled(struct place *at, TString *ts) {
	TString *result = share_pooled(ts);
	if (ts != NULL && result == NULL)
		at->failed = 1;
	return result;
}

#define COPY(field, size) copy_array(at, f->field, (size_t)f->size * sizeof *f->field)

static Proto *copy_proto(struct place *at, const Proto *f) {
	Proto *to = take(at, sizeof *to);
	Proto copy = *f;
	copy.next = NULL;
	copy.marked = G_SHARED | bitmask(CHUNK_BIT);
	copy.gclist = (GCObject *)at->block;
#if LUA_VERSION_NUM >= 505
	copy.flag &= (lu_byte)~PF_FIXED;
#endif
	copy.code = COPY(code, sizecode);
	copy.k = COPY(k, sizek);
	copy.upvalues = COPY(upvalues, sizeupvalues);
	copy.locvars = COPY(locvars, sizelocvars);
	copy.lineinfo = COPY(lineinfo, sizelineinfo);
	copy.abslineinfo = COPY(abslineinfo, sizeabslineinfo);
	copy.p = COPY(p, sizep);
	for (int i = 0; i < f->sizep; i++) {
		Proto *inner = copy_proto(at, f->p[i]);
		if (to != NULL)
			copy.p[i] = inner;
	}
	if (to == NULL)
		return NULL;
	copy.source = pooled(at, f->source);
	for (int i = 0; i < f->sizek; i++) {
		TString *ts = ttisstring(&f->k[i]) ? pooled(at, tsvalue(&f->k[i])) : NULL;
		if (ts != NULL)
			val_(&copy.k[i]).gc = obj2gco(ts);
	}
	for (int i = 0; i < f->sizeupvalues; i++)
		copy.upvalues[i].name = pooled(at, f->upvalues[i].name);
	for (int i = 0; i < f->sizelocvars; i++)
		copy.locvars[i].varname = pooled(at, f->locvars[i].varname);
	*to = copy;
	return to;
}

/* ---- chunks ---- */

struct chunk *chunk_new(const Proto *f) {
	struct place at = { NULL, 0, 0 };
	take(&at, sizeof(struct chunk));
	copy_proto(&at, f);
	struct chunk *c = malloc(at.used);
	if (c == NULL)
		return NULL;
	c->size = at.used;
	at.block = c;
	at.used = 0;
	take(&at, sizeof(struct chunk));
	c->main = copy_proto(&at, f);
	atomic_init(&c->users, 1);
	atomic_init(&c->pinned, 0);
	if (at.failed) {
		free(c);
		return NULL;
	}
	pthread_mutex_lock(&all.lock);
	all.count++;
	all.bytes += c->size;
	pthread_mutex_unlock(&all.lock);
	return c;
}

void chunk_keep(struct chunk *c) {
	atomic_fetch_add_explicit(&c->users, 1, memory_order_relaxed);
}

void chunk_drop(struct chunk *c) {
	if (atomic_fetch_sub_explicit(&c->users, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&all.lock);
	all.count--;
	all.bytes -= c->size;
	pthread_mutex_unlock(&all.lock);
	free(c);
}

struct chunk *chunk_of(const Proto *f) {
	return isshared(f) && testbit(f->marked, CHUNK_BIT) ? (struct chunk *)f->gclist : NULL;
}

void chunk_pin(struct chunk *c) {
	if (!atomic_exchange(&c->pinned, 1))
		chunk_keep(c);
}

void chunk_size(size_t *count, size_t *bytes) {
	pthread_mutex_lock(&all.lock);
	*count = all.count;
	*bytes = all.bytes;
	pthread_mutex_unlock(&all.lock);
}

/* ---- what a state uses ---- */

/* How a state knows that it still uses a chunk. */
enum { UNSEEN, SEEN, BUSY /* a closure is being made */, MARKS = 3 };

/* The chunks that a state uses: a hash table of their addresses with linear probing, never quite full. */
struct ChunkUses {
	unsigned int size; /* a power of two */
	unsigned int count;
	int full; /* this marking started with all roots */
	uintptr_t list[]; /* a chunk and its mark, or 0 */
};

static struct chunk *chunk_in(uintptr_t use) {
	return (struct chunk *)(use & ~(uintptr_t)MARKS);
}

/* Where a chunk is, unless others were there before. */
static unsigned int home(const struct ChunkUses *uses, const struct chunk *c) {
	return (unsigned int)(((uint64_t)(uintptr_t)c >> 4) * 0x9E3779B97F4A7C15u >> 32) & (uses->size - 1);
}

/* The place of a chunk, or the empty one where it belongs. */
static uintptr_t *place_in(struct ChunkUses *uses, const struct chunk *c) {
	unsigned int i = home(uses, c);
	while (uses->list[i] != 0 && chunk_in(uses->list[i]) != c)
		i = (i + 1) & (uses->size - 1);
	return &uses->list[i];
}

/* Room for one more, or NULL without memory. */
static struct ChunkUses *with_room(global_State *g) {
	struct ChunkUses *old = g->chunks;
	if (old != NULL && (old->count + 1) * 4 <= old->size * 3)
		return old;
	unsigned int size = old == NULL ? 16 : old->size * 2;
	struct ChunkUses *uses = calloc(1, sizeof *uses + size * sizeof uses->list[0]);
	if (uses == NULL)
		return NULL;
	uses->size = size;
	for (unsigned int i = 0; old != NULL && i < old->size; i++) {
		if (old->list[i] != 0)
			*place_in(uses, chunk_in(old->list[i])) = old->list[i];
	}
	if (old != NULL) {
		uses->count = old->count;
		uses->full = old->full;
		free(old);
	}
	g->chunks = uses;
	return uses;
}

/* Takes out what is at a place. What follows moves up, as far as its home allows. */
static void take_out(struct ChunkUses *uses, unsigned int hole) {
	unsigned int mask = uses->size - 1;
	for (unsigned int i = (hole + 1) & mask; uses->list[i] != 0; i = (i + 1) & mask) {
		unsigned int from_home = (i - home(uses, chunk_in(uses->list[i]))) & mask;
		if (from_home >= ((i - hole) & mask)) {
			uses->list[hole] = uses->list[i];
			hole = i;
		}
	}
	uses->list[hole] = 0;
	uses->count--;
}

int chunk_push(lua_State *L, struct chunk *c, Proto *f) {
	global_State *g = G(L);
	struct ChunkUses *uses = with_room(g);
	if (uses == NULL)
		return 0;
	uintptr_t *use = place_in(uses, c);
	if (*use != 0)
		chunk_drop(c); /* the state is a user already */
	else
		uses->count++;
	*use = (uintptr_t)c | BUSY;
	share_push(L, f != NULL ? f : c->main);
	/* a collection may have moved it */
	*place_in(g->chunks, c) = (uintptr_t)c | SEEN;
	return 1;
}

/* A marking of everything begins. */
void luaR_startuse(global_State *g) {
	struct ChunkUses *uses = g->chunks;
	if (uses == NULL)
		return;
	uses->full = 1;
	for (unsigned int i = 0; i < uses->size; i++) {
		uintptr_t mark = uses->list[i] & MARKS;
		/* a closure is being made only during an emergency collection; otherwise memory lacked for it */
		if (mark == SEEN || (mark == BUSY && !g->gcemergency))
			uses->list[i] = (uintptr_t)chunk_in(uses->list[i]) | UNSEEN;
	}
}

/* A closure of shared function `f` is marked. */
void luaR_use(global_State *g, Proto *f) {
	struct chunk *c = chunk_of(f);
	struct ChunkUses *uses = g->chunks;
	if (c == NULL || uses == NULL)
		return;
	/* a closure made by a function of a shared table is of a chunk that is pinned, and not listed */
	uintptr_t *use = place_in(uses, c);
	if (*use == ((uintptr_t)c | UNSEEN))
		*use = (uintptr_t)c | SEEN;
}

/* A marking ends. */
void luaR_enduse(global_State *g) {
	struct ChunkUses *uses = g->chunks;
	if (uses == NULL || !uses->full)
		return;
	uses->full = 0;
	for (unsigned int i = 0; i < uses->size;) {
		uintptr_t use = uses->list[i];
		if (use != 0 && (use & MARKS) == UNSEEN) {
			chunk_drop(chunk_in(use));
			take_out(uses, i); /* another one may be here now */
		} else {
			i++;
		}
	}
}

/* The state closes; its closures are gone. */
void luaR_leave(global_State *g) {
	struct ChunkUses *uses = g->chunks;
	if (uses == NULL)
		return;
	for (unsigned int i = 0; i < uses->size; i++) {
		if (uses->list[i] != 0)
			chunk_drop(chunk_in(uses->list[i]));
	}
	free(uses);
	g->chunks = NULL;
}
