/*
 * A counter with a timer. Texts it understands, answered with a number under the session of the request:
 *
 *   run PERIOD TIMES   counts that often, a period (in centiseconds) apart, and answers when it is done
 *   count              what it has counted so far
 *
 * SIGNAL sets the step it counts by.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"

struct counter {
	int step;	/* set by whatever thread signals */
	int count;
	int period;
	int left;
	int tick;	/* session of the timer that runs */
	uint32_t client;
	int client_session;
};

struct counter *counter_create(void);
void counter_release(struct counter *c);
int counter_init(struct counter *c, struct skynet_context *ctx, const char *parm);
void counter_signal(struct counter *c, int signal);

struct counter *
counter_create(void)
{
	struct counter *c = (struct counter *)skynet_malloc(sizeof *c);
	memset(c, 0, sizeof *c);
	c->step = 1;
	return c;
}

void
counter_release(struct counter *c)
{
	skynet_free(c);
}

void
counter_signal(struct counter *c, int signal)
{
	__atomic_store_n(&c->step, signal, __ATOMIC_RELAXED);
}

static void
answer(struct skynet_context *ctx, struct counter *c, uint32_t client, int session)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%d", c->count);
	skynet_send(ctx, 0, client, PTYPE_RESPONSE, session, text, (size_t)n);
}

static void
arm(struct skynet_context *ctx, struct counter *c)
{
	char text[32];
	snprintf(text, sizeof text, "%d", c->period);
	c->tick = (int)strtol(skynet_command(ctx, "TIMEOUT", text), NULL, 10);
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct counter *c = (struct counter *)ud;
	char text[64];
	if (type == PTYPE_RESPONSE) {
		if (session != c->tick) {
			skynet_error(ctx, "an answer to session %d, which nobody asked for", session);
			return 0;
		}
		c->count += __atomic_load_n(&c->step, __ATOMIC_RELAXED);
		if (--c->left > 0)
			arm(ctx, c);
		else
			answer(ctx, c, c->client, c->client_session);
		return 0;
	}
	if (type != PTYPE_TEXT || sz >= sizeof text)
		return 0;
	memcpy(text, msg, sz);
	text[sz] = '\0';
	if (sscanf(text, "run %d %d", &c->period, &c->left) == 2) {
		c->client = source;
		c->client_session = session;
		arm(ctx, c);
	} else if (strcmp(text, "count") == 0) {
		answer(ctx, c, source, session);
	}
	return 0;
}

int
counter_init(struct counter *c, struct skynet_context *ctx, const char *parm)
{
	if (parm)
		c->count = atoi(parm);
	skynet_callback(ctx, c, on_message);
	return 0;
}

#ifdef __cplusplus
}
#endif
