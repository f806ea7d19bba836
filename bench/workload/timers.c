/*
 * Many timeouts of 1 to 5 seconds on an otherwise idle node: how fast they are created, and how late
 * they are handled.
 *
 * Of centiseconds: late against the begin of the tick they are due in. Ticks are the whole centiseconds
 * of CLOCK_MONOTONIC; a timeout of n is due n ticks after the one it was set in. Of milliseconds, which
 * our core has: late against the moment it was set and its time.
 *
 * Settings: count, unit (milliseconds in the unit of the timeouts: 10 or 1).
 */
#include "bench.h"

#define TICK 10000000
#define MILLISECOND 1000000

#pragma weak skynetx_timeout_ms
extern int skynetx_timeout_ms(uint32_t handle, int ms, int session);

struct timers {
	long count;
	long fired;
	long measured;
	long unit;
	/* Of centiseconds: the session of the first. */
	long first;
	/* The ticks between CLOCK_MONOTONIC and skynet_now(). */
	int64_t offset;
	/* When the timeouts are due, 0 for one that cannot be told. */
	int64_t *due;
	int64_t *late;
};

struct timers *
timers_create(void)
{
	return calloc(1, sizeof(struct timers));
}

void
timers_release(struct timers *self)
{
	free(self->due);
	free(self->late);
	free(self);
}

/* The ticks between the clock and skynet_now(), which may lag behind. The clock is read second: in
   between, the tick may end. */
static int64_t
offset(void)
{
	int64_t end = bench_now() + 50000000;
	int64_t least = INT64_MAX;
	int64_t now;
	do {
		int64_t ticks = (int64_t)skynet_now();
		now = bench_now();
		if (now / TICK - ticks < least)
			least = now / TICK - ticks;
	} while (now < end);
	return least;
}

/* The number of a timeout, from 0. Sessions count up and begin again at 1. */
static long
number(struct timers *self, long session)
{
	return session < self->first ? session - self->first + INT32_MAX : session - self->first;
}

/* One of centiseconds; its session is drawn by the core. When it is due. */
static int64_t
set_ticks(struct skynet_context *ctx, struct timers *self, long i, long ticks)
{
	char text[16];
	const char *session;
	uint64_t before, after;
	long at;
	snprintf(text, sizeof(text), "%ld", ticks);
	before = skynet_now();
	session = skynet_command(ctx, "TIMEOUT", text);
	after = skynet_now();
	at = session ? atol(session) : 0;
	if (i == 0)
		self->first = at;
	if (at <= 0 || number(self, at) != i)
		bench_give_up("sessions are not in a row");
	return before == after ? ((int64_t)before + self->offset + ticks) * TICK : 0;
}

static int64_t
set_ms(uint32_t handle, long i, long ms)
{
	int64_t now = bench_now();
	if (skynetx_timeout_ms(handle, (int)ms, (int)i + 1) != i + 1)
		bench_give_up("a timeout cannot be set");
	return now + ms * MILLISECOND;
}

static void
create(struct skynet_context *ctx, struct timers *self)
{
	uint32_t handle = bench_self(ctx);
	uint32_t random = 12345;
	long shortest = 1000 / self->unit;
	long choices = 4000 / self->unit + 1;
	int64_t start;
	long i;
	self->offset = offset();
	self->first = 1;
	start = bench_now();
	for (i = 0; i < self->count; i++) {
		long time;
		random = random * 1664525u + 1013904223u;
		time = shortest + (long)(random >> 8) % choices;
		self->due[i] = self->unit == 1 ? set_ms(handle, i, time) : set_ticks(ctx, self, i, time);
	}
	bench_result("create", (double)self->count / ((double)(bench_now() - start) / 1e9), "/s");
}

static void
fire(struct skynet_context *ctx, struct timers *self, long which)
{
	int64_t late;
	if (which < 0 || which >= self->count)
		bench_give_up("an unknown session");
	if (self->due[which] != 0) {
		late = bench_now() - self->due[which];
		if (late < 0)
			bench_give_up("a timer fired early");
		self->late[self->measured++] = late;
	}
	if (++self->fired < self->count)
		return;
	qsort(self->late, (size_t)self->measured, sizeof(int64_t), bench_compare);
	bench_result("late-p50", (double)bench_quantile(self->late, self->measured, 0.5) / 1e3, "us");
	bench_result("late-p99", (double)bench_quantile(self->late, self->measured, 0.99) / 1e3, "us");
	bench_end(ctx);
}

static int
handle(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct timers *self = ud;
	(void)source, (void)msg, (void)sz;
	if (type == BEGIN && self->unit == 1 && !skynetx_timeout_ms)
		bench_skip(ctx, "no timeouts of milliseconds");
	else if (type == BEGIN)
		create(ctx, self);
	else if (type == PTYPE_RESPONSE)
		fire(ctx, self, number(self, session));
	return 0;
}

int
timers_init(struct timers *self, struct skynet_context *ctx, const char *parm)
{
	(void)parm;
	self->count = bench_setting(ctx, "count");
	self->unit = bench_setting(ctx, "unit");
	self->due = malloc((size_t)self->count * sizeof(int64_t));
	self->late = malloc((size_t)self->count * sizeof(int64_t));
	if (self->due == NULL || self->late == NULL)
		bench_give_up("no memory");
	skynet_callback(ctx, self, handle);
	bench_begin(ctx);
	return 0;
}
