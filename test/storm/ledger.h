/*
 * What a service of the storm keeps books with: numbers for each partner, and a source of chance.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A table from numbers other than 0 to numbers; what was never set is 0. */
struct table {
	uint32_t *entries; /* key, value, key, value ... */
	size_t room, used;
};

static inline uint32_t *
table_find(uint32_t *entries, size_t room, uint32_t key) {
	size_t at = (key * UINT32_C(2654435769)) & (room - 1);

	while (entries[2 * at] != 0 && entries[2 * at] != key)
		at = (at + 1) & (room - 1);
	return &entries[2 * at];
}

/* The place of a key's value, good until the next call. */
static inline uint32_t *
table_at(struct table *t, uint32_t key) {
	uint32_t *found;

	if (2 * t->used >= t->room) {
		size_t room = t->room ? 2 * t->room : 16, i;
		uint32_t *entries = calloc(room, 2 * sizeof(*entries));

		if (entries == NULL)
			abort();
		for (i = 0; i < t->room; i++) {
			if (t->entries[2 * i] != 0)
				memcpy(table_find(entries, room, t->entries[2 * i]), &t->entries[2 * i],
					2 * sizeof(*entries));
		}
		free(t->entries);
		t->entries = entries;
		t->room = room;
	}
	found = table_find(t->entries, t->room, key);
	if (found[0] == 0) {
		found[0] = key;
		t->used++;
	}
	return &found[1];
}

/* Chance, the same for the same seed: below n, and one time in n. */
struct chance {
	uint64_t state;
};

static inline void
chance_seed(struct chance *c, uint64_t seed, uint32_t stream) {
	c->state = (seed + stream) * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static inline uint32_t
below(struct chance *c, uint32_t n) {
	c->state ^= c->state >> 12;
	c->state ^= c->state << 25;
	c->state ^= c->state >> 27;
	return (uint32_t)((c->state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % n;
}

static inline int
one_in(struct chance *c, uint32_t n) {
	return below(c, n) == 0;
}

#endif
