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
#include <stdlib.h>
#include <string.h>

#include "share.h"

/* Set on the prototypes of chunks; in these, `gclist` is the chunk. Nobody else uses the bit. */
#define CHUNK_BIT TESTBIT

struct chunk {
	atomic_size_t users;
	atomic_int pinned;
	unsigned int slot; /* its place in the list of every state */
	size_t size;
	Proto *main;
};

/* The slots, and how many chunks there are. */
static struct {
	pthread_mutex_t lock;
	unsigned char *taken;
	unsigned int size;
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
			setsvalue(NULL, &copy.k[i], ts);
	}
	for (int i = 0; i < f->sizeupvalues; i++)
		copy.upvalues[i].name = pooled(at, f->upvalues[i].name);
	for (int i = 0; i < f->sizelocvars; i++)
		copy.locvars[i].varname = pooled(at, f->locvars[i].varname);
	*to = copy;
	return to;
}

/* ---- chunks ---- */

/* A slot that no chunk has; under the lock. */
static int free_slot(unsigned int *slot) {
	unsigned int i = 0;
	while (i < all.size && all.taken[i])
		i++;
	if (i == all.size) {
		unsigned int size = all.size == 0 ? 64 : all.size * 2;
		unsigned char *taken = realloc(all.taken, size);
		if (taken == NULL)
			return 0;
		memset(taken + all.size, 0, size - all.size);
		all.taken = taken;
		all.size = size;
	}
	*slot = i;
	return 1;
}

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
	pthread_mutex_lock(&all.lock);
	if (at.failed || !free_slot(&c->slot)) {
		free(c);
		c = NULL;
	} else {
		all.taken[c->slot] = 1;
		all.count++;
		all.bytes += c->size;
	}
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
	all.taken[c->slot] = 0;
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
enum { UNSEEN, SEEN, BUSY /* a closure is being made */ };

struct use {
	struct chunk *chunk; /* NULL: none */
	unsigned char seen;
};

struct ChunkUses {
	unsigned int size;
	int full; /* this marking started with all roots */
	struct use list[]; /* by slot */
};

/* The state's entry for a chunk, with room made for it, or NULL without memory. */
static struct use *use_of(global_State *g, struct chunk *c) {
	struct ChunkUses *uses = g->chunks;
	unsigned int had = uses != NULL ? uses->size : 0;
	if (c->slot >= had) {
		unsigned int size = had == 0 ? 64 : had * 2;
		while (c->slot >= size)
			size *= 2;
		uses = realloc(uses, sizeof *uses + size * sizeof uses->list[0]);
		if (uses == NULL)
			return NULL;
		if (had == 0)
			uses->full = 0;
		memset(uses->list + had, 0, (size - had) * sizeof uses->list[0]);
		uses->size = size;
		g->chunks = uses;
	}
	return &uses->list[c->slot];
}

int chunk_push(lua_State *L, struct chunk *c, Proto *f) {
	global_State *g = G(L);
	struct use *use = use_of(g, c);
	if (use == NULL)
		return 0;
	if (use->chunk == c)
		chunk_drop(c); /* the state is a user already */
	use->chunk = c;
	use->seen = BUSY;
	share_push(L, f != NULL ? f : c->main);
	/* a finalizer may have loaded something, and the list moved */
	g->chunks->list[c->slot].seen = SEEN;
	return 1;
}

/* A marking of everything begins. */
void luaR_startuse(global_State *g) {
	struct ChunkUses *uses = g->chunks;
	if (uses == NULL)
		return;
	uses->full = 1;
	for (unsigned int i = 0; i < uses->size; i++) {
		/* a closure is being made only during an emergency collection; otherwise memory lacked for it */
		if (uses->list[i].seen == SEEN || (uses->list[i].seen == BUSY && !g->gcemergency))
			uses->list[i].seen = UNSEEN;
	}
}

/* A closure of shared function `f` is marked. */
void luaR_use(global_State *g, Proto *f) {
	struct chunk *c = chunk_of(f);
	struct ChunkUses *uses = g->chunks;
	/* a closure made by a function of a shared table is of a chunk that is pinned, and not listed */
	if (c == NULL || uses == NULL || c->slot >= uses->size)
		return;
	struct use *use = &uses->list[c->slot];
	if (use->chunk == c && use->seen == UNSEEN)
		use->seen = SEEN;
}

/* A marking ends. */
void luaR_enduse(global_State *g) {
	struct ChunkUses *uses = g->chunks;
	if (uses == NULL || !uses->full)
		return;
	uses->full = 0;
	for (unsigned int i = 0; i < uses->size; i++) {
		struct use *use = &uses->list[i];
		if (use->chunk != NULL && use->seen == UNSEEN) {
			chunk_drop(use->chunk);
			use->chunk = NULL;
		}
	}
}

/* The state closes; its closures are gone. */
void luaR_leave(global_State *g) {
	struct ChunkUses *uses = g->chunks;
	if (uses == NULL)
		return;
	for (unsigned int i = 0; i < uses->size; i++) {
		if (uses->list[i].chunk != NULL)
			chunk_drop(uses->list[i].chunk);
	}
	free(uses);
	g->chunks = NULL;
}
