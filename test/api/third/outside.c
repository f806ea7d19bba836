/*
 * A service around a library with a thread of its own, which sends, pushes, sets timers and logs from
 * there: a thread that the core did not make. `outside HANDLE ROUNDS`: in each round the thread
 *
 *   sends a copy to HANDLE in the service's name, with the number of the round as session,
 *   pushes an allocated message of type 30 to it,
 *   sends one without a copy, of type 31,
 *   sets a timer for the service itself, which passes the tick on to HANDLE, and
 *   writes a line to the log.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"
#include "skynet_mq.h"
#include "skynet_server.h"
#include "skynet_timer.h"

struct outside {
	struct skynet_context *ctx;
	uint32_t self;
	uint32_t target;
	int rounds;
	pthread_t thread;
	int started;
};

struct outside *outside_create(void);
void outside_release(struct outside *o);
int outside_init(struct outside *o, struct skynet_context *ctx, const char *parm);

struct outside *
outside_create(void)
{
	return (struct outside *)calloc(1, sizeof(struct outside));
}

void
outside_release(struct outside *o)
{
	if (o->started)
		pthread_join(o->thread, NULL);
	free(o);
}

static char *
text_of(const char *what, int round, size_t *len)
{
	char *text = (char *)skynet_malloc(32);
	*len = (size_t)snprintf(text, 32, "%s %d", what, round);
	return text;
}

static void *
work(void *ud)
{
	struct outside *o = (struct outside *)ud;
	struct skynet_message message;
	char copied[32];
	char *text;
	size_t len;
	int round;
	for (round = 1; round <= o->rounds; round++) {
		len = (size_t)snprintf(copied, sizeof copied, "sent %d", round);
		skynet_send(o->ctx, o->self, o->target, 29, round, copied, len);
		text = text_of("pushed", round, &len);
		message.source = o->self;
		message.session = round;
		message.data = text;
		message.sz = len | (size_t)30 << MESSAGE_TYPE_SHIFT;
		if (skynet_context_push(o->target, &message) != 0)
			skynet_free(text);
		text = text_of("given", round, &len);
		skynet_send(o->ctx, o->self, o->target, 31 | PTYPE_TAG_DONTCOPY, round, text, len);
		skynet_timeout(o->self, round % 3, round);
		skynet_error(o->ctx, "round %d of a thread of its own", round);
	}
	return NULL;
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct outside *o = (struct outside *)ud;
	(void)source, (void)msg, (void)sz;
	if (type == PTYPE_RESPONSE)
		skynet_send(ctx, 0, o->target, 32, session, NULL, 0);
	return 0;
}

int
outside_init(struct outside *o, struct skynet_context *ctx, const char *parm)
{
	unsigned target;
	if (parm == NULL || sscanf(parm, "%x %d", &target, &o->rounds) != 2)
		return 1;
	o->ctx = ctx;
	o->target = target;
	o->self = (uint32_t)strtoul(skynet_command(ctx, "REG", NULL) + 1, NULL, 16);
	skynet_callback(ctx, o, on_message);
	o->started = pthread_create(&o->thread, NULL, work, o) == 0;
	return !o->started;
}

#ifdef __cplusplus
}
#endif
