/*
 * Timeouts that are taken back before they are due, as those of requests that are answered in time; a
 * few are always pending. An addition of our core.
 *
 * Settings: count, pending.
 */
#include "bench.h"

/* Milliseconds; longer than the workload runs. */
#define LONG 600000

#pragma weak skynetx_timeout_ms
#pragma weak skynetx_timeout_cancel
extern int skynetx_timeout_ms(uint32_t handle, int ms, int session);
extern int skynetx_timeout_cancel(uint32_t handle, int session);

static void
run(struct skynet_context *ctx)
{
	uint32_t self = bench_self(ctx);
	long count = bench_setting(ctx, "count");
	long pending = bench_setting(ctx, "pending");
	int64_t start = bench_now();
	long i;
	for (i = 1; i <= count + pending; i++) {
		if (i <= count && skynetx_timeout_ms(self, LONG, (int)i) != i)
			bench_give_up("a timeout cannot be set");
		if (i > pending && skynetx_timeout_cancel(self, (int)(i - pending)) != 1)
			bench_give_up("a timeout cannot be taken back");
	}
	bench_result("rate", (double)count / ((double)(bench_now() - start) / 1e9), "pairs/s");
	bench_end(ctx);
}

static int
handle(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	(void)ud, (void)session, (void)source, (void)msg, (void)sz;
	if (type != BEGIN)
		bench_give_up("a timeout fired that was taken back");
	if (skynetx_timeout_ms && skynetx_timeout_cancel)
		run(ctx);
	else
		bench_skip(ctx, "timeouts cannot be taken back");
	return 0;
}

int
setcancel_init(void *self, struct skynet_context *ctx, const char *parm)
{
	(void)self, (void)parm;
	skynet_callback(ctx, NULL, handle);
	bench_begin(ctx);
	return 0;
}
