/* Timeouts in milliseconds, and taking timeouts back: what skynetx.h adds. */
#include "harness.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

/* By name, because the cases are compiled against upstream's headers as well. */
static int (*timeout_ms)(uint32_t handle, int ms, int session);
static int (*timeout_cancel)(uint32_t handle, int session);

static void
there(void)
{
	*(void **)&timeout_ms = dlsym(RTLD_DEFAULT, "skynetx_timeout_ms");
	*(void **)&timeout_cancel = dlsym(RTLD_DEFAULT, "skynetx_timeout_cancel");
	CHECK(timeout_ms != NULL && timeout_cancel != NULL);
}

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
	CHECK_INT(timeout_ms(a->handle, 0, 11), 11);
	CHECK_INT(timeout_ms(a->handle, -1, 12), 12);
	CHECK_INT(timeout_ms(a->handle, INT32_MIN, 13), 13);
	CHECK_INT(timeout_cancel(a->handle, 11), 0);
	for (int i = 0; i < 3; i++) {
		struct mail m = agent_mail(a, i);
		CHECK_INT(m.type, PTYPE_RESPONSE);
		CHECK_INT(m.session, 11 + i);
		CHECK_INT(m.source, 0);
		CHECK_INT(m.sz, 0);
	}
	agent_kill(a);
	CHECK_INT(timeout_ms(a->handle, 0, 11), -1);
	CHECK_INT(timeout_ms(a->handle, 5, 11), 11);
}

/* The latest comes first, if all are set before their times can pass each other; otherwise there is nothing to see. */
static bool
in_order(void)
{
	struct agent *a = agent_new();
	double start = monotonic();
	for (int i = 0; i < 8; i++)
		timeout_ms(a->handle, 40 - 5 * i, i);
	bool quick = monotonic() - start < 0.003;
	for (int i = 0; i < 8 && quick; i++)
		CHECK_INT(agent_mail(a, i).session, 7 - i);
	agent_kill(a);
	return quick;
}

/* Tries until it was quick. */
static void
quickly(bool (*f)(void))
{
	int tries = 0;
	while (!f() && ++tries < 50) {
	}
	CHECK(tries < 50);
}

/* Never before, and in order. */
static void
not_early(void)
{
	struct agent *a = agent_new();
	for (int ms = 1; ms <= 13; ms++) {
		double start = monotonic();
		int before = agent_count(a);
		timeout_ms(a->handle, ms, ms);
		while (agent_count(a) == before && monotonic() - start < 5) {
		}
		CHECK(monotonic() - start >= 0.001 * ms);
		CHECK_INT(agent_count(a), before + 1);
	}
	agent_kill(a);
	quickly(in_order);
}

/* Whether it was in time; otherwise there is nothing to see. */
static bool
taken_back_in_time(void)
{
	/* what is taken back, of whom, and whether it was there */
	static const struct {
		uint32_t other;
		int session, there;
	} back[] = { { 1, 1, 0 }, { 0, 1, 1 }, { 0, 1, 0 }, { 0, 2, 1 }, { 0, 4, 1 }, { 0, 5, 1 } };
	enum { N = sizeof back / sizeof back[0] };
	int got[N];
	struct agent *a = agent_new();
	CHECK_INT(timeout_cancel(a->handle, 1), 0);
	double start = monotonic();
	skynet_timeout(a->handle, 3, 1);
	timeout_ms(a->handle, 30, 2);
	skynet_timeout(a->handle, 3, 3);
	skynet_timeout(a->handle, INT32_MAX, 4);
	timeout_ms(a->handle, INT32_MAX, 5);
	for (int i = 0; i < N; i++)
		got[i] = timeout_cancel(a->handle + back[i].other, back[i].session);
	bool quick = monotonic() - start < 0.010;
	if (quick) {
		for (int i = 0; i < N; i++)
			CHECK_INT(got[i], back[i].there);
		CHECK_INT(agent_mail(a, 0).session, 3);
		pause_ms(60);
		CHECK_INT(agent_count(a), 1);
		CHECK_INT(timeout_cancel(a->handle, 3), 0);
	}
	agent_kill(a);
	return quick;
}

static void
taken_back(void)
{
	quickly(taken_back_in_time);
}

enum { EACH = 20000 };

static void *
set_and_take_back(void *arg)
{
	struct agent *a = arg;
	static int thread;
	int base = 1 + EACH * __sync_fetch_and_add(&thread, 1);
	long taken = 0;
	for (int i = base; i < base + EACH; i++) {
		timeout_ms(a->handle, 1 + i % 7, i);
		if (i % 3 != 0)
			taken += timeout_cancel(a->handle, i - i % 2);
	}
	return (void *)taken;
}

/* Each is either taken back or comes, whoever is quicker. */
static void
one_or_the_other(void)
{
	struct agent *a = agent_new();
	pthread_t threads[2];
	long taken = 0;
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, set_and_take_back, a);
	for (int i = 0; i < 2; i++) {
		void *count;
		pthread_join(threads[i], &count);
		taken += (long)count;
	}
	CHECK(taken > 0);
	agent_mail(a, (int)(2 * EACH - taken) - 1);
	pause_ms(50);
	CHECK_INT(agent_count(a), 2 * EACH - taken);
	agent_kill(a);
}

const struct test_case timerx_cases[] = {
	CASE(there),
	CASE(at_once),
	CASE(not_early),
	CASE(taken_back),
	CASE(one_or_the_other),
	{ NULL, NULL },
};
