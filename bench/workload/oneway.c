/*
 * One callback sends many copies of 16 bytes to another service; the time runs until the last one is
 * handled.
 *
 * Settings: count.
 */
#include "bench.h"

#include <string.h>

#define DATA PTYPE_CLIENT

/* What is sent: 16 bytes. */
struct data {
	int64_t start;
	int64_t number;
};

struct oneway {
	int64_t start;
	long count;
	long seen;
};

struct oneway *
oneway_create(void)
{
	return calloc(1, sizeof(struct oneway));
}

void
oneway_release(struct oneway *self)
{
	free(self);
}

static int
sender(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct oneway *self = ud;
	struct data data;
	uint32_t to;
	(void)type, (void)session, (void)source, (void)msg, (void)sz;
	to = bench_launch(ctx, "oneway receiver");
	data.start = bench_now();
	for (data.number = 1; data.number <= self->count; data.number++)
		skynet_send(ctx, 0, to, DATA, 0, &data, sizeof(data));
	return 0;
}

static int
receiver(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct oneway *self = ud;
	struct data data;
	(void)session, (void)source;
	if (type != DATA || sz != sizeof(data))
		return 0;
	memcpy(&data, msg, sizeof(data));
	if (data.number != ++self->seen)
		bench_give_up("a message is lost or out of order");
	if (self->seen == self->count) {
		double seconds = (double)(bench_now() - data.start) / 1e9;
		bench_result("rate", (double)self->count / seconds, "msg/s");
		bench_end(ctx);
	}
	return 0;
}

int
oneway_init(struct oneway *self, struct skynet_context *ctx, const char *parm)
{
	self->count = bench_setting(ctx, "count");
	if (strcmp(parm, "receiver") == 0) {
		skynet_callback(ctx, self, receiver);
	} else {
		skynet_callback(ctx, self, sender);
		bench_begin(ctx);
	}
	return 0;
}
