/*
 * A broker made from the core's inner headers. Its instances share one list of subscribers under a
 * spinlock. Texts it understands: "join" and "leave" for the sender, "post TEXT", which every
 * subscriber gets as a message of type 40 straight into its queue, and "queue", which carries messages
 * through a queue of its own and answers with what came out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"
#include "skynet_handle.h"
#include "skynet_mq.h"
#include "skynet_server.h"
#include "spinlock.h"

#define ROOM 64

/* All zero is a lock that is free. */
static struct {
	struct spinlock lock;
	int count;
	uint32_t handles[ROOM];
} subscribers;

int broker_init(void *inst, struct skynet_context *ctx, const char *parm);

static void
join(uint32_t handle)
{
	SPIN_LOCK(&subscribers)
	if (subscribers.count < ROOM)
		subscribers.handles[subscribers.count++] = handle;
	SPIN_UNLOCK(&subscribers)
}

static void
leave(uint32_t handle)
{
	int i;
	SPIN_LOCK(&subscribers)
	for (i = 0; i < subscribers.count; i++) {
		if (subscribers.handles[i] == handle)
			subscribers.handles[i--] = subscribers.handles[--subscribers.count];
	}
	SPIN_UNLOCK(&subscribers)
}

/* How many got it. */
static int
post(uint32_t source, const void *msg, size_t sz)
{
	uint32_t handles[ROOM];
	int i, n, sent = 0;
	SPIN_LOCK(&subscribers)
	n = subscribers.count;
	memcpy(handles, subscribers.handles, sizeof handles);
	SPIN_UNLOCK(&subscribers)
	for (i = 0; i < n; i++) {
		struct skynet_context *to = skynet_handle_grab(handles[i]);
		void *copy;
		if (to == NULL) {
			leave(handles[i]);
			continue;
		}
		copy = skynet_malloc(sz);
		memcpy(copy, msg, sz);
		skynet_context_send(to, copy, sz, source, 40, i + 1);
		skynet_context_release(to);
		sent++;
	}
	return sent;
}

static void
count_dropped(struct skynet_message *message, void *ud)
{
	skynet_free(message->data);
	++*(int *)ud;
}

/* Ten messages go in, six come out in order, four are dropped with the queue. */
static int
through_a_queue(void)
{
	struct message_queue *q = skynet_mq_create(0x123456);
	struct skynet_message m;
	int i, popped = 0, dropped = 0, length;
	for (i = 0; i < 10; i++) {
		m.source = 1;
		m.session = i;
		m.data = skynet_malloc(8);
		m.sz = 8 | (size_t)PTYPE_TEXT << MESSAGE_TYPE_SHIFT;
		skynet_mq_push(q, &m);
	}
	for (i = 0; i < 6; i++) {
		if (skynet_mq_pop(q, &m) == 0 && m.session == i) {
			popped++;
			skynet_free(m.data);
		}
	}
	length = skynet_mq_length(q);
	if (skynet_mq_handle(q) != 0x123456)
		length = -1;
	skynet_mq_mark_release(q);
	skynet_mq_release(q, count_dropped, &dropped);
	return popped * 100 + length * 10 + dropped;
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	const char *text = (const char *)msg;
	char out[32];
	int n = 0;
	(void)ud;
	if (type != PTYPE_TEXT)
		return 0;
	if (sz == 4 && memcmp(text, "join", 4) == 0)
		join(source);
	else if (sz == 5 && memcmp(text, "leave", 5) == 0)
		leave(source);
	else if (sz > 5 && memcmp(text, "post ", 5) == 0)
		n = post(source, text + 5, sz - 5);
	else if (sz == 5 && memcmp(text, "queue", 5) == 0)
		n = through_a_queue();
	n = snprintf(out, sizeof out, "%d", n);
	skynet_send(ctx, 0, source, PTYPE_RESPONSE, session, out, (size_t)n);
	return 0;
}

/* No _create: what there is to remember belongs to all instances. */
int
broker_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)parm;
	skynet_callback(ctx, inst, on_message);
	return 0;
}

#ifdef __cplusplus
}
#endif
