/*
 * What the C workloads share. Settings of a workload are keys of the config file; what it measured is
 * a line "RESULT name value unit" on stdout, which the driver reads.
 */
#ifndef BENCH_H
#define BENCH_H

#include "skynet.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The type of the message from bench_begin. */
#define BEGIN PTYPE_TEXT

static inline int64_t
bench_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline void
bench_give_up(const char *why)
{
	fprintf(stderr, "bench: %s\n", why);
	exit(1);
}

static inline long
bench_setting(struct skynet_context *ctx, const char *key)
{
	const char *value = skynet_command(ctx, "GETENV", key);
	if (value == NULL || atol(value) <= 0) {
		fprintf(stderr, "bench: no setting %s\n", key);
		exit(1);
	}
	return atol(value);
}

static inline uint32_t
bench_self(struct skynet_context *ctx)
{
	return (uint32_t)strtoul(skynet_command(ctx, "REG", NULL) + 1, NULL, 16);
}

/* Sends the service its first message, of type BEGIN: the workers do not run before the first service is
   ready. */
static inline void
bench_begin(struct skynet_context *ctx)
{
	skynet_send(ctx, 0, bench_self(ctx), BEGIN, 0, NULL, 0);
}

/* Starts one more service. */
static inline uint32_t
bench_launch(struct skynet_context *ctx, const char *what)
{
	const char *address = skynet_command(ctx, "LAUNCH", what);
	if (address == NULL)
		bench_give_up("a service cannot be launched");
	return (uint32_t)strtoul(address + 1, NULL, 16);
}

static inline void
bench_result(const char *name, double value, const char *unit)
{
	printf("RESULT %s %.6g %s\n", name, value, unit);
	fflush(stdout);
}

static inline void
bench_end(struct skynet_context *ctx)
{
	skynet_command(ctx, "ABORT", NULL);
}

/* Says that this core does not have what the workload measures, and ends. */
static inline void
bench_skip(struct skynet_context *ctx, const char *why)
{
	printf("SKIPPED %s\n", why);
	fflush(stdout);
	bench_end(ctx);
}

static inline int
bench_compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* The value below which this share of the sorted samples lies. */
static inline int64_t
bench_quantile(const int64_t *sorted, long count, double share)
{
	long at = (long)(share * (double)count);
	return sorted[at < count ? at : count - 1];
}

#endif
