/*
 * What a block of the message heap costs, as a service sees it: `bootstrap = "blocks"`. Prints lines
 * `RESULT NAME VALUE` and ends the process. It knows nothing of whose core it runs on.
 *
 * Times are nanoseconds of CPU for one block or one call, sizes bytes beyond what was asked for.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of malloc_hook.h and skynet.h, which differ in what else they want to include. */
struct skynet_context;
typedef int (*skynet_cb)(struct skynet_context *ctx, void *ud, int type, int session,
	uint32_t source, const void *msg, size_t sz);
void skynet_callback(struct skynet_context *ctx, void *ud, skynet_cb cb);
const char *skynet_command(struct skynet_context *ctx, const char *cmd, const char *parm);
int skynet_sendname(struct skynet_context *ctx, uint32_t source, const char *destination, int type,
	int session, void *msg, size_t sz);
void *skynet_lalloc(void *ptr, size_t osize, size_t nsize);
size_t mallctl_int64(const char *name, size_t *newval);

int blocks_init(void *inst, struct skynet_context *ctx, const char *parm);

enum { MANY = 4096, CALLS = 2000000, LIVE = 200000 };

static void *kept[LIVE];

/* CPU time of the process: the rest of the node sleeps, and other programs do not count. */
static double
now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
result(const char *name, size_t size, double value)
{
	printf("RESULT %s-%zu %.2f\n", name, size, value);
}

/* One block at a time. */
static void
pair(size_t size)
{
	double begin = now();
	for (int i = 0; i < CALLS; i++) {
		char *p = malloc(size);
		*(volatile char *)p = 1;
		free(p);
	}
	result("pair", size, (now() - begin) / CALLS);
}

/* Many, which leave in the order they came. */
static void
batch(size_t size)
{
	double begin = now();
	for (int round = 0; round < CALLS / MANY; round++) {
		for (int i = 0; i < MANY; i++)
			kept[i] = malloc(size);
		for (int i = 0; i < MANY; i++)
			free(kept[i]);
	}
	result("batch", size, (now() - begin) / (CALLS / MANY * MANY));
}

static void
zeroed(size_t size)
{
	double begin = now();
	for (int i = 0; i < CALLS / 4; i++)
		free(calloc(1, size));
	result("calloc", size, (now() - begin) / (CALLS / 4));
}

static void
aligned(size_t size)
{
	double begin = now();
	for (int i = 0; i < CALLS / 4; i++)
		free(memalign(64, size));
	result("memalign", size, (now() - begin) / (CALLS / 4));
}

/* A buffer that grows by doubling; one call. */
static void
grow(size_t size)
{
	int calls = 0;
	double begin = now();
	while (calls < CALLS / 4) {
		char *p = NULL;
		for (size_t n = 16; n <= size; n *= 2, calls++)
			p = realloc(p, n);
		free(p);
	}
	result("realloc", size, (now() - begin) / calls);
}

/* As Lua allocates: no account. */
static void
raw(size_t size)
{
	double begin = now();
	for (int i = 0; i < CALLS; i++) {
		char *p = skynet_lalloc(NULL, 0, size);
		*(volatile char *)p = 1;
		skynet_lalloc(p, size, 0);
	}
	result("lalloc", size, (now() - begin) / CALLS);
}

static void *
free_all(void *ud)
{
	(void)ud;
	for (int i = 0; i < LIVE; i++)
		free(kept[i]);
	return NULL;
}

/* As messages do: allocated by one thread, freed by another. The thread's life is part of it. */
static void
handed_over(size_t size)
{
	double begin = now();
	for (int round = 0; round < 5; round++) {
		pthread_t thread;
		for (int i = 0; i < LIVE; i++)
			kept[i] = malloc(size);
		if (pthread_create(&thread, NULL, free_all, NULL) != 0)
			abort();
		pthread_join(thread, NULL);
	}
	result("handover", size, (now() - begin) / (5.0 * LIVE));
}

static size_t
allocated(void)
{
	size_t one = 1;
	mallctl_int64("epoch", &one);
	return mallctl_int64("stats.allocated", NULL);
}

/* What the allocator gives away for a block, beyond its size. */
static void
overhead(size_t size)
{
	size_t before = allocated();
	for (int i = 0; i < LIVE; i++)
		kept[i] = malloc(size);
	result("overhead", size, (double)(allocated() - before) / LIVE - (double)size);
	for (int i = 0; i < LIVE; i++)
		free(kept[i]);
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	static const size_t sizes[] = { 16, 48, 64, 100, 1000 };
	(void)ud, (void)type, (void)session, (void)source, (void)msg, (void)sz;
	pair(32);	/* to warm up; the last line of a name counts */
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		pair(sizes[i]);
		batch(sizes[i]);
		handed_over(sizes[i]);
		raw(sizes[i]);
		overhead(sizes[i]);
	}
	zeroed(64);
	aligned(64);
	grow(4096);
	fflush(stdout);
	skynet_command(ctx, "ABORT", NULL);
	return 0;
}

int
blocks_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst, (void)parm;
	skynet_callback(ctx, NULL, on_message);
	skynet_sendname(ctx, 0, skynet_command(ctx, "REG", NULL), 0, 0, NULL, 0);
	return 0;
}
