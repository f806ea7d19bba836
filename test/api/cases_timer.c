/* Timers and clocks. */
#include "harness.h"

#include <stdlib.h>
#include <time.h>

static double
monotonic(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
at_once(void)
{
	struct agent *a = agent_new();
	CHECK_INT(skynet_timeout(a->handle, 0, 11), 11);
	CHECK_INT(skynet_timeout(a->handle, -100, 12), 12);
	CHECK_INT(skynet_timeout(a->handle, INT32_MIN, 0), 0);
	/* in the queue already, before what is sent now */
	skynet_send(driver, 0, a->handle, 10, 13, NULL, 0);
	for (int i = 0; i < 2; i++) {
		struct mail m = agent_mail(a, i);
		CHECK_INT(m.type, PTYPE_RESPONSE);
		CHECK_INT(m.session, 11 + i);
		CHECK_INT(m.source, 0);
		CHECK_INT(m.sz, 0);
		CHECK(m.msg == NULL);
	}
	CHECK_INT(agent_mail(a, 2).session, 0);
	CHECK_INT(agent_mail(a, 3).session, 13);
	agent_kill(a);
	CHECK_INT(skynet_timeout(a->handle, 0, 11), -1);
	CHECK_INT(skynet_timeout(a->handle, -1, 11), -1);
}

/* Whether all was set in one tick; otherwise the order is not known and there is nothing to see. */
static bool
in_order(void)
{
	/* due at, then in the order they were set */
	static const int delay[] = { 9, 3, 5, 3, 1, 9, 5, 3, 1, 20, 2, 2 };
	static const int expected[] = { 4, 8, 10, 11, 1, 3, 7, 2, 6, 0, 5, 9 };
	enum { N = sizeof delay / sizeof delay[0] };
	struct agent *a = agent_new();
	/* a tick that is new, but not so new that timers might not know of it */
	uint64_t now = skynet_now();
	while (skynet_now() == now) {
	}
	pause_ms(1);
	now = skynet_now();
	double start = monotonic();
	for (int i = 0; i < N; i++)
		CHECK_INT(skynet_timeout(a->handle, delay[i], 100 + i), 100 + i);
	bool quick = skynet_now() == now;
	if (quick) {
		agent_mail(a, N - 1);
		CHECK(monotonic() - start >= 0.19);
		for (int i = 0; i < N; i++)
			CHECK_INT(agent_mail(a, i).session, 100 + expected[i]);
	}
	agent_kill(a);
	return quick;
}

static void
order(void)
{
	int tries = 0;
	while (!in_order() && ++tries < 50) {
	}
	CHECK(tries < 50);
}

/* Not before (n-1) ticks, and not long after n. */
static void
delays(void)
{
	struct agent *a = agent_new();
	for (int n = 1; n <= 32; n *= 2) {
		double start = monotonic(), waited;
		skynet_timeout(a->handle, n, n);
		int before = agent_count(a);
		while (agent_count(a) == before && monotonic() - start < 20)
			pause_ms(1);
		waited = monotonic() - start;
		CHECK(waited >= 0.010 * (n - 1) - 0.001);
		/* generous: the machine may be busy */
		CHECK(waited < 0.010 * n + 15);
	}
	agent_kill(a);
}

static void
many(void)
{
	struct agent *a = agent_new();
	static bool seen[5000];
	for (int i = 0; i < 5000; i++)
		skynet_timeout(a->handle, i % 40 + 1, i + 1);
	agent_mail(a, 4999);
	for (int i = 0; i < 5000; i++) {
		int session = a->inbox[i].session;
		if (session < 1 || session > 5000 || seen[session - 1]) {
			CHECK_INT(session, i);
			break;
		}
		seen[session - 1] = true;
	}
	agent_kill(a);
}

static void
nobody_there(void)
{
	struct agent *a = agent_new();
	CHECK_INT(skynet_timeout(a->handle, 2, 21), 21);
	/* far away: nothing is seen of these but the answer */
	CHECK_INT(skynet_timeout(a->handle, INT32_MAX, 22), 22);
	CHECK_INT(skynet_timeout(a->handle, 100000000, 23), 23);
	agent_kill(a);
	log_mark();
	CHECK_INT(skynet_timeout(a->handle, 1, 24), 24);
	CHECK_INT(skynet_timeout(0x7ff9, 1, 25), 25);
	pause_ms(60);
	CHECK_NOT_LOGGED();
	CHECK_INT(agent_count(a), 0);
}

static void *
set_timers(void *arg)
{
	struct agent *a = arg;
	for (int i = 0; i < 1000; i++)
		skynet_timeout(a->handle, 1 + i % 3, i);
	return NULL;
}

static void
foreign_threads(void)
{
	struct agent *a = agent_new();
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, set_timers, a);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	agent_mail(a, 1999);
	pause_ms(50);
	CHECK_INT(agent_count(a), 2000);
	agent_kill(a);
}

static void
clocks(void)
{
	uint64_t now = skynet_now(), last = now;
	double start = monotonic(), off;
	off = (double)skynet_starttime() + (double)now / 100 - (double)time(NULL);
	CHECK(off > -2 && off < 2);
	while (monotonic() - start < 0.25) {
		now = skynet_now();
		CHECK(now >= last);
		last = now;
	}
	now = skynet_now();
	start = monotonic();
	pause_ms(200);
	off = (double)(skynet_now() - now) / 100 - (monotonic() - start);
	CHECK(off > -0.05 && off < 0.05);
	/* processor time: grows with work and not with waiting */
	uint64_t cpu = skynet_thread_time();
	pause_ms(50);
	CHECK(skynet_thread_time() - cpu < 25000);
	cpu = skynet_thread_time();
	start = monotonic();
	while (skynet_thread_time() - cpu < 20000 && monotonic() - start < 5) {
	}
	CHECK(skynet_thread_time() - cpu >= 20000);
}

const struct test_case timer_cases[] = {
	CASE(at_once),
	CASE(order),
	CASE(delays),
	CASE(many),
	CASE(nobody_there),
	CASE(foreign_threads),
	CASE(clocks),
	{ NULL, NULL },
};
