/*
 * What the scheduler promises, one case for each `bootstrap = "cases NAME"`. A case that holds prints
 * `CASE NAME holds` and ends the node; one that does not says what it saw and ends the process with 1.
 */
#include "skynet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct cases {
	const char *role;
	uint32_t peer;
	int rounds, errors, session_zero;
};

/* Set when a victim is released, and when the service that waits for that has begun to. */
static int released, waiting;

struct cases *cases_create(void);
void cases_release(struct cases *self);
int cases_init(struct cases *self, struct skynet_context *ctx, const char *parm);

static void
fail(const char *what)
{
	printf("CASE fails: %s\n", what);
	fflush(stdout);
	exit(1);
}

static void
hold(struct skynet_context *ctx, const char *name)
{
	printf("CASE %s holds\n", name);
	fflush(stdout);
	skynet_command(ctx, "ABORT", NULL);
}

static uint32_t
launch(struct skynet_context *ctx, const char *role)
{
	char line[64];
	const char *address;

	snprintf(line, sizeof line, "cases %s", role);
	address = skynet_command(ctx, "LAUNCH", line);
	if (address == NULL)
		fail("a service cannot be launched");
	return (uint32_t)strtoul(address + 1, NULL, 16);
}

static void
kill_service(struct skynet_context *ctx, uint32_t handle)
{
	char address[16];

	snprintf(address, sizeof address, ":%x", (unsigned)handle);
	skynet_command(ctx, "KILL", address);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- a service that floods itself holds nobody up, even with one worker ---- */

static int
flood(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	(void)ud, (void)type, (void)session, (void)source, (void)msg, (void)sz;
	skynet_send(ctx, 0, (uint32_t)strtoul(skynet_command(ctx, "REG", NULL) + 1, NULL, 16),
		PTYPE_CLIENT, 0, NULL, 0);
	return 0;
}

/* Fifty timeouts and fifty round trips to a service that answers, beside two floods. */
static int
fair(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct cases *self = ud;

	(void)session, (void)source, (void)msg, (void)sz;
	if (type == PTYPE_TEXT) {
		for (int i = 0; i < 2; i++) {
			uint32_t handle = launch(ctx, "flood");
			/* enough that its mailbox is never empty */
			for (int n = 0; n < 500; n++)
				skynet_send(ctx, 0, handle, PTYPE_CLIENT, 0, NULL, 0);
		}
		self->peer = launch(ctx, "echo");
		skynet_command(ctx, "TIMEOUT", "1");
	} else if (type == PTYPE_RESPONSE && source == 0) {
		skynet_send(ctx, 0, self->peer, PTYPE_CLIENT, 1, NULL, 0);
	} else if (++self->rounds == 50) {
		hold(ctx, "fair");
	} else {
		skynet_command(ctx, "TIMEOUT", "1");
	}
	return 0;
}

static int
echo(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	(void)ud, (void)type, (void)msg, (void)sz;
	skynet_send(ctx, 0, source, PTYPE_RESPONSE, session, NULL, 0);
	return 0;
}

/* ---- a service that was ended is released while another one is stuck in its callback ---- */

static int
stuck(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	double end = seconds() + 20;

	(void)ud, (void)type, (void)session, (void)source, (void)msg, (void)sz;
	__atomic_store_n(&waiting, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&released, __ATOMIC_SEQ_CST)) {
		if (seconds() > end)
			fail("the victim is not released while another service is stuck");
	}
	hold(ctx, "prompt");
	return 0;
}

static int
prompt(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct cases *self = ud;

	(void)session, (void)source, (void)msg, (void)sz;
	if (type == PTYPE_TEXT) {
		self->peer = launch(ctx, "victim");
		skynet_send(ctx, 0, launch(ctx, "stuck"), PTYPE_CLIENT, 0, NULL, 0);
	}
	if (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST))
		kill_service(ctx, self->peer);
	else
		skynet_command(ctx, "TIMEOUT", "1");
	return 0;
}

/* ---- two services that always have something to do run at the same time on two workers ---- */

static int inside, together;

static int
burn(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	double end = seconds() + 2e-5;

	if (__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST) == 2)
		__atomic_store_n(&together, 1, __ATOMIC_SEQ_CST);
	while (seconds() < end)
		;
	__atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
	return flood(ctx, ud, type, session, source, msg, sz);
}

static int
parallel(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct cases *self = ud;

	(void)session, (void)source, (void)msg, (void)sz;
	if (type == PTYPE_TEXT) {
		for (int i = 0; i < 2; i++) {
			uint32_t handle = launch(ctx, "burn");
			for (int n = 0; n < 500; n++)
				skynet_send(ctx, 0, handle, PTYPE_CLIENT, 0, NULL, 0);
		}
	}
	if (__atomic_load_n(&together, __ATOMIC_SEQ_CST))
		hold(ctx, "parallel");
	else if (++self->rounds > 1000)
		fail("two busy services share one worker");
	else
		skynet_command(ctx, "TIMEOUT", "1");
	return 0;
}

/* ---- what waits behind a long message gets its turn, though the other worker is never idle ---- */

static int passed;

static int
pass(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	(void)ctx, (void)ud, (void)type, (void)session, (void)source, (void)msg, (void)sz;
	__atomic_store_n(&passed, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static int
behind(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct cases *self = ud;
	double end = seconds() + 20;

	(void)session, (void)source, (void)msg, (void)sz;
	if (type == PTYPE_TEXT) {
		uint32_t handle = launch(ctx, "flood");
		for (int n = 0; n < 500; n++)
			skynet_send(ctx, 0, handle, PTYPE_CLIENT, 0, NULL, 0);
		self->peer = launch(ctx, "pass");
		skynet_command(ctx, "TIMEOUT", "10");
		return 0;
	}
	skynet_send(ctx, 0, self->peer, PTYPE_CLIENT, 0, NULL, 0);
	while (!__atomic_load_n(&passed, __ATOMIC_SEQ_CST)) {
		if (seconds() > end)
			fail("a service waits behind the long message of another");
	}
	hold(ctx, "behind");
	return 0;
}

/* ---- what is queued for a service that ends: a request is answered once, an answer is not ---- */

static int
dropped(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct cases *self = ud;

	(void)msg, (void)sz;
	if (type == PTYPE_TEXT) {
		/* with one worker, which is here, nothing of this is handled */
		self->peer = launch(ctx, "victim");
		skynet_send(ctx, 0, self->peer, PTYPE_CLIENT, 7, NULL, 0);
		skynet_send(ctx, 0, self->peer, PTYPE_RESPONSE, 8, NULL, 0);
		skynet_send(ctx, 0, self->peer, PTYPE_ERROR, 9, NULL, 0);
		skynet_send(ctx, 0, self->peer, PTYPE_CLIENT, 0, NULL, 0);
		kill_service(ctx, self->peer);
		if (skynet_send(ctx, 0, self->peer, PTYPE_CLIENT, 10, NULL, 0) != -1)
			fail("a send to an ended service is accepted");
		skynet_command(ctx, "TIMEOUT", "20");
	} else if (type == PTYPE_ERROR) {
		if (source != self->peer || (session != 7 && session != 0))
			fail("an error for something else");
		self->errors += session == 7;
		self->session_zero += session == 0;
	} else {
		if (self->errors != 1 || self->session_zero != 1)
			fail("the request, or the message without session, was not answered once");
		hold(ctx, "dropped");
	}
	return 0;
}

static int
ignore(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	(void)ctx, (void)ud, (void)type, (void)session, (void)source, (void)msg, (void)sz;
	return 0;
}

struct cases *
cases_create(void)
{
	return calloc(1, sizeof(struct cases));
}

void
cases_release(struct cases *self)
{
	if (self->role != NULL && strcmp(self->role, "victim") == 0)
		__atomic_store_n(&released, 1, __ATOMIC_SEQ_CST);
	free(self);
}

int
cases_init(struct cases *self, struct skynet_context *ctx, const char *parm)
{
	static const struct {
		const char *name;
		skynet_cb callback;
		int begins;
	} roles[] = {
		{ "fair", fair, 1 }, { "flood", flood, 0 }, { "echo", echo, 0 },
		{ "prompt", prompt, 1 }, { "stuck", stuck, 0 }, { "victim", ignore, 0 },
		{ "dropped", dropped, 1 }, { "parallel", parallel, 1 }, { "burn", burn, 0 },
		{ "behind", behind, 1 }, { "pass", pass, 0 },
	};

	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
		if (strcmp(parm, roles[i].name) != 0)
			continue;
		self->role = roles[i].name;
		skynet_callback(ctx, self, roles[i].callback);
		if (roles[i].begins)
			skynet_sendname(ctx, 0, skynet_command(ctx, "REG", NULL), PTYPE_TEXT, 0, NULL, 0);
		return 0;
	}
	return 1;
}
