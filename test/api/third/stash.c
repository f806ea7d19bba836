/*
 * Keeps the messages it gets: the callback returns 1 and the memory is its own. Every type that the
 * framework leaves to projects, 12 to 127, is kept; the text "return" sends all of them back, oldest
 * first and with their types, without a copy; the text "drop" frees them on a thread of its own.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"

#define FIRST_TYPE 12
#define LAST_TYPE 127

struct kept {
	int type;
	void *msg;
	size_t sz;
};

struct stash {
	struct kept *all;
	int count;
	int room;
};

struct stash *stash_create(void);
void stash_release(struct stash *s);
int stash_init(struct stash *s, struct skynet_context *ctx, const char *parm);

struct stash *
stash_create(void)
{
	return (struct stash *)calloc(1, sizeof(struct stash));
}

static void *
drop_all(void *ud)
{
	struct stash *s = (struct stash *)ud;
	int i;
	for (i = 0; i < s->count; i++)
		skynet_free(s->all[i].msg);
	s->count = 0;
	return NULL;
}

void
stash_release(struct stash *s)
{
	drop_all(s);
	free(s->all);
	free(s);
}

static int
keep(struct stash *s, int type, const void *msg, size_t sz)
{
	if (s->count == s->room) {
		s->room = s->room * 2 + 8;
		s->all = (struct kept *)realloc(s->all, (size_t)s->room * sizeof *s->all);
	}
	s->all[s->count].type = type;
	s->all[s->count].msg = (void *)msg;
	s->all[s->count].sz = sz;
	s->count++;
	return 1;
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct stash *s = (struct stash *)ud;
	char text[32];
	int i, n = s->count;
	pthread_t thread;
	if (type >= FIRST_TYPE && type <= LAST_TYPE)
		return keep(s, type, msg, sz);
	if (type != PTYPE_TEXT)
		return 0;
	if (sz == 6 && memcmp(msg, "return", 6) == 0) {
		for (i = 0; i < s->count; i++) {
			struct kept *k = &s->all[i];
			skynet_send(ctx, 0, source, k->type | PTYPE_TAG_DONTCOPY, i + 1, k->msg, k->sz);
		}
		s->count = 0;
	} else if (sz == 4 && memcmp(msg, "drop", 4) == 0) {
		if (pthread_create(&thread, NULL, drop_all, s) == 0)
			pthread_join(thread, NULL);
	}
	n = snprintf(text, sizeof text, "%d", n);
	skynet_send(ctx, 0, source, PTYPE_RESPONSE, session, text, (size_t)n);
	return 0;
}

int
stash_init(struct stash *s, struct skynet_context *ctx, const char *parm)
{
	(void)parm;
	skynet_callback(ctx, s, on_message);
	return 0;
}

#ifdef __cplusplus
}
#endif
