/*
 * Services that know how much CPU they use, to compare with what the core says.
 *
 * `burner SECONDS` launches the others, lets them work for that long, and until each has used ENOUGH,
 * and aborts. `burner work N` does the messages of line N of the table below, one after the other,
 * and reports: the CPU the core charged, the CPU it used by the clock of its threads, its messages.
 * `burner look` looks at the other figures of STAT.
 *
 * What one message costs is the CPU from its begin to the begin of the thread's next one. Where that
 * is long, each message is measured from begin to end; what is left out does not matter. Where it is
 * short, the clock would take as long as the work: one message in SAMPLE is measured, if the same
 * service has the next one on the same thread, and stands for the others.
 */
#define _POSIX_C_SOURCE 200809L

#include "skynet.h"
#include "skynet_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Not a divisor of what a slice holds, or the first messages of slices would be overrated. */
#define SAMPLE 17
/* Seconds of CPU that say something. */
#define ENOUGH 0.06
/* Seconds after which the lead does not wait for those. */
#define LIMIT 40

#define GET(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define SET(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_add_fetch(&(x), n, __ATOMIC_SEQ_CST)

struct burner;

struct burner *burner_create(void);
int burner_init(struct burner *b, struct skynet_context *ctx, const char *parm);
void burner_release(struct burner *b);

/* What a message does, in microseconds, and how many centiseconds pass between two. */
static const struct {
	const char *name;
	int burn, sleep, pause;
} works[] = {
	{ "1us", 1, 0, 0 },
	{ "7us", 7, 0, 0 },
	{ "30us", 30, 0, 0 },
	{ "150us", 150, 0, 0 },
	{ "700us", 700, 0, 1 },
	{ "5ms", 5000, 0, 3 },
	{ "20ms", 20000, 0, 12 },
	/* A pause of the thread, short and long, in the middle of the work. */
	{ "30us+60us", 30, 60, 0 },
	{ "300us+1ms", 300, 1000, 1 },
	{ "3ms+5ms", 3000, 5000, 4 },
};
#define WORKS ((int)(sizeof(works) / sizeof(works[0])))

struct burner {
	struct skynet_context *ctx;
	int work, ready;
	/* Messages that are over. */
	long messages;
	/* CPU of those that were measured from begin to end. */
	double truth;
	/* Samples: CPU from begin to begin, how many, and what the looks at the clock took, of those included that
	   gave none. */
	double sampled, looked;
	long samples, looks;
	/* Of the lead. */
	double until;
};

/* The sample that the last message on this thread began: whose it is, and the clock then. */
static __thread struct burner *sampling;
static __thread double sampling_since;

static double loops_per_us, clock_cost;
static int stop, ready, reported;

static double
read_clock(clockid_t id) {
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu(void) {
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static void
spin(double us) {
	long i, n = (long)(us * loops_per_us);
	unsigned long x = 1;

	/* In registers: what goes through memory runs slower for a while after each system call, and samples begin
	   with one. */
	for (i = 0; i < n; i++) {
		x = x * 3 + 1;
		__asm__ volatile("" : "+r"(x));
	}
}

static void
rest(long us) {
	struct timespec t;

	t.tv_sec = us / 1000000;
	t.tv_nsec = us % 1000000 * 1000;
	nanosleep(&t, NULL);
}

/* How fast we spin, and what a look at the clock costs. */
static void
calibrate(void) {
	double start = cpu();
	int i;

	loops_per_us = 100;
	spin(100000);
	loops_per_us = 100 * 0.1 / (cpu() - start);
	start = cpu();
	for (i = 0; i < 100000; i++)
		cpu();
	clock_cost = (cpu() - start) / 100000;
	printf("ACCOUNT a look at the clock takes %.0f ns\n", clock_cost * 1e9);
	fflush(stdout);
}

static double
stat(struct skynet_context *ctx, const char *what) {
	return atof(skynet_command(ctx, "STAT", what));
}

static void
expect(const char *what, double got, double least, double most) {
	if (got < least || got > most) {
		printf("ACCOUNT FAIL %s: %f, not in %f to %f\n", what, got, least, most);
		fflush(stdout);
	}
}

/* ---- those who work ---- */

static int
is_short(const struct burner *b) {
	return works[b->work].burn < 20;
}

/* CPU used so far. */
static double
used(const struct burner *b) {
	double look, each;

	if (!is_short(b) || b->samples == 0)
		return b->truth;
	/* There is one look from begin to begin, and there are three for each sample. */
	look = b->looked / (double)b->looks;
	each = b->sampled / (double)b->samples - look;
	return each * (double)b->messages + look * (double)(2 * b->looks + b->samples);
}

static void
report(struct burner *b) {
	expect("STAT message", stat(b->ctx, "message"), (double)b->messages + 1, (double)b->messages + 1);
	printf("ACCOUNT %s: charged %.6f, used %.6f, messages %ld\n", works[b->work].name, stat(b->ctx, "cpu"),
		used(b), b->messages);
	fflush(stdout);
	ADD(reported, 1);
}

/* One message's work, and the next message. */
static void
message(struct burner *b) {
	char text[16];

	if (works[b->work].sleep == 0) {
		spin(works[b->work].burn);
	} else {
		spin(works[b->work].burn / 2.0);
		rest(works[b->work].sleep);
		spin(works[b->work].burn / 2.0);
	}
	if (works[b->work].pause > 0) {
		snprintf(text, sizeof(text), "%d", works[b->work].pause);
		skynet_command(b->ctx, "TIMEOUT", text);
	} else {
		skynet_send(b->ctx, 0, skynet_context_handle(b->ctx), PTYPE_TEXT, 0, NULL, 0);
	}
}

static int
worker(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	struct burner *b = ud;
	double begin;

	(void)ctx, (void)type, (void)session, (void)source, (void)msg, (void)sz;
	if (sampling == b) {
		b->sampled += cpu() - sampling_since;
		b->samples++;
	}
	sampling = NULL;
	if (GET(stop)) {
		report(b);
		return 0;
	}
	if (!is_short(b)) {
		begin = cpu();
		message(b);
		b->truth += cpu() - begin + clock_cost;
	} else {
		if (b->messages % SAMPLE == 0) {
			/* A look takes longer in the middle of things than in a loop of looks. */
			begin = cpu();
			sampling_since = cpu();
			sampling = b;
			b->looked += sampling_since - begin;
			b->looks++;
		}
		message(b);
	}
	b->messages++;
	if (!b->ready && (b->messages % (4 * SAMPLE) == 0 || !is_short(b)) && used(b) >= ENOUGH) {
		b->ready = 1;
		ADD(ready, 1);
	}
	return 0;
}

/* ---- the one who looks at the other figures ---- */

#define QUEUED 7

static int
looker(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	struct burner *b = ud;
	double begin = cpu(), took;
	int i;

	(void)type, (void)session, (void)source, (void)msg, (void)sz;
	sampling = NULL;
	b->messages++;
	expect("STAT message", stat(ctx, "message"), (double)b->messages, (double)b->messages);
	if (b->messages == 1) {
		expect("STAT mqlen", stat(ctx, "mqlen"), 0, 0);
		for (i = 0; i < QUEUED; i++)
			skynet_send(ctx, 0, skynet_context_handle(ctx), PTYPE_TEXT, 0, NULL, 0);
	}
	expect("STAT mqlen", stat(ctx, "mqlen"), (double)(QUEUED + 1 - b->messages),
		(double)(QUEUED + 1 - b->messages));
	if (b->messages <= QUEUED)
		return 0;
	for (i = 0; i < 3; i++) {
		spin(20000);
		rest(10000);
		took = cpu() - begin;
		expect("STAT time", stat(ctx, "time"), took * 0.95, took * 1.05);
	}
	printf("ACCOUNT looked\n");
	fflush(stdout);
	ADD(reported, 1);
	return 0;
}

/* ---- the lead ---- */

static int
lead(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	struct burner *b = ud;
	double now = read_clock(CLOCK_MONOTONIC);

	(void)session, (void)source, (void)msg, (void)sz;
	sampling = NULL;
	if (type != PTYPE_RESPONSE)
		return 0;
	if (!GET(stop) && now > b->until && (GET(ready) == WORKS || now > b->until + LIMIT)) {
		expect("services that used enough", GET(ready), WORKS, WORKS);
		SET(stop, 1);
	}
	if (GET(reported) == WORKS + 1)
		skynet_command(ctx, "ABORT", NULL);
	skynet_command(ctx, "TIMEOUT", "5");
	return 0;
}

static void
launch(struct skynet_context *ctx, int number) {
	char parm[40];

	snprintf(parm, sizeof(parm), "burner work %d", number);
	skynet_command(ctx, "LAUNCH", parm);
}

/* ---- the module ---- */

struct burner *
burner_create(void) {
	return calloc(1, sizeof(struct burner));
}

int
burner_init(struct burner *b, struct skynet_context *ctx, const char *parm) {
	int i;

	b->ctx = ctx;
	if (strncmp(parm, "work ", 5) == 0) {
		b->work = atoi(parm + 5);
		skynet_callback(ctx, b, worker);
		skynet_send(ctx, 0, skynet_context_handle(ctx), PTYPE_TEXT, 0, NULL, 0);
	} else if (strcmp(parm, "look") == 0) {
		skynet_callback(ctx, b, looker);
		skynet_send(ctx, 0, skynet_context_handle(ctx), PTYPE_TEXT, 0, NULL, 0);
	} else {
		calibrate();
		skynet_callback(ctx, b, lead);
		b->until = read_clock(CLOCK_MONOTONIC) + atof(parm);
		for (i = 0; i < WORKS; i++)
			launch(ctx, i);
		skynet_command(ctx, "LAUNCH", "burner look");
		skynet_command(ctx, "TIMEOUT", "5");
	}
	return 0;
}

void
burner_release(struct burner *b) {
	free(b);
}
