/*
 * What the programs beside this file share: a node without any file. Its log service and its first
 * service are functions of the program.
 */
#ifndef TEST_EMBED_NODE_H
#define TEST_EMBED_NODE_H

#include "skynet.h"
#include "skynet_imp.h"
#include "skynet_server.h"
#include "skynetx.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ends the program when something is not as it should be. */
#define CHECK(cond) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
		_exit(3); \
	} \
} while (0)

/* Threads of this process. */
static inline int
threads(void) {
	DIR *dir = opendir("/proc/self/task");
	int count = 0;
	struct dirent *entry;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* Waits until this is the only thread, which takes a moment after the others were joined. */
static inline bool
alone(void) {
	int tries;

	for (tries = 0; tries < 1000 && threads() > 1; tries++)
		usleep(5000);
	return threads() == 1;
}

/* ---- the log service: prints what it gets ---- */

static volatile int log_hangups;
static volatile int log_releases;
static volatile int log_instances;

static int
log_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	(void)ctx;
	(void)ud;
	(void)session;
	if (type == PTYPE_TEXT) {
		printf("[:%08x] %.*s\n", (unsigned)source, (int)sz, (const char *)msg);
		fflush(stdout);
	}
	log_hangups += type == PTYPE_SYSTEM;
	return 0;
}

static int
log_init(void *inst, struct skynet_context *ctx, const char *parm) {
	(void)inst;
	(void)parm;
	log_instances++;
	skynet_callback(ctx, NULL, log_message);
	return 0;
}

static void
log_release(void *inst) {
	(void)inst;
	log_releases++;
}

/* ---- the first service: runs a function of the test when the node is up ---- */

static void (*when_up)(struct skynet_context *ctx);

static int
boss_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	(void)ud;
	(void)session;
	(void)source;
	(void)msg;
	(void)sz;
	if (type == PTYPE_RESPONSE)
		when_up(ctx);
	return 0;
}

static int
boss_init(void *inst, struct skynet_context *ctx, const char *parm) {
	(void)inst;
	CHECK(strcmp(parm, "some text") == 0);
	skynet_callback(ctx, NULL, boss_message);
	skynet_command(ctx, "TIMEOUT", "1");
	return 0;
}

static inline void
register_services(void) {
	CHECK(skynetx_module_register("logger", NULL, log_init, log_release, NULL) == 0);
	CHECK(skynetx_module_register("boss", NULL, boss_init, NULL, NULL) == 0);
}

/* A configuration that works. */
static inline struct skynet_config
good(void) {
	struct skynet_config config;

	memset(&config, 0, sizeof config);
	config.thread = 2;
	config.module_path = "/nowhere/?.so";
	config.bootstrap = "boss   some text";
	return config;
}

#endif
