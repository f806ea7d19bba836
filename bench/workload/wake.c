/*
 * A service sends and then works on for 60 ms: when does the receiver start, while another core has
 * nothing to do?
 *
 * Settings: count (samples).
 */
#include "bench.h"

#include <string.h>

#define NUDGE PTYPE_CLIENT
#define SEEN PTYPE_SYSTEM

#define WORK 60000000

struct wake {
	uint32_t receiver;
	int64_t sent;
	long count;
	long have;
	int64_t *sample;
};

struct wake *
wake_create(void)
{
	return calloc(1, sizeof(struct wake));
}

void
wake_release(struct wake *self)
{
	free(self->sample);
	free(self);
}

static void
report(struct wake *self)
{
	qsort(self->sample, (size_t)self->count, sizeof(int64_t), bench_compare);
	bench_result("p50", (double)bench_quantile(self->sample, self->count, 0.5) / 1e3, "us");
	bench_result("p99", (double)bench_quantile(self->sample, self->count, 0.99) / 1e3, "us");
}

static int
sender(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct wake *self = ud;
	(void)session, (void)source;
	if (type == BEGIN) {
		self->receiver = bench_launch(ctx, "wake receiver");
	} else if (type == SEEN && sz == sizeof(int64_t)) {
		int64_t at;
		memcpy(&at, msg, sizeof(at));
		self->sample[self->have++] = at - self->sent;
		if (self->have == self->count) {
			report(self);
			bench_end(ctx);
			return 0;
		}
	} else {
		return 0;
	}
	self->sent = bench_now();
	skynet_send(ctx, 0, self->receiver, NUDGE, 0, NULL, 0);
	while (bench_now() - self->sent < WORK)
		;
	return 0;
}

static int
receiver(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	int64_t at = bench_now();
	(void)ud, (void)session, (void)msg, (void)sz;
	if (type == NUDGE)
		skynet_send(ctx, 0, source, SEEN, 0, &at, sizeof(at));
	return 0;
}

int
wake_init(struct wake *self, struct skynet_context *ctx, const char *parm)
{
	if (strcmp(parm, "receiver") == 0) {
		skynet_callback(ctx, self, receiver);
	} else {
		self->count = bench_setting(ctx, "count");
		self->sample = malloc((size_t)self->count * sizeof(int64_t));
		if (self->sample == NULL)
			bench_give_up("no memory");
		skynet_callback(ctx, self, sender);
		bench_begin(ctx);
	}
	return 0;
}
