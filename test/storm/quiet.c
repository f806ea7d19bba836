/*
 * The log service of a storm: prints what is said, except that services come and go.
 */
#include "skynet.h"

#include <stdio.h>
#include <string.h>

int quiet_init(void *self, struct skynet_context *ctx, const char *parm);

static int
starts(const char *text, size_t sz, const char *with) {
	size_t len = strlen(with);

	return sz >= len && memcmp(text, with, len) == 0;
}

static int
print(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	static const char *const usual[] = { "LAUNCH storm ", "KILL ", "FAILED launch storm",
		"error: launch storm FAILED" };
	size_t i;

	(void)ctx, (void)ud, (void)session;
	if (type != PTYPE_TEXT)
		return 0;
	for (i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		if (starts(msg, sz, usual[i]))
			return 0;
	}
	printf("[:%08x] %.*s\n", (unsigned)source, (int)sz, (const char *)msg);
	fflush(stdout);
	return 0;
}

int
quiet_init(void *self, struct skynet_context *ctx, const char *parm) {
	(void)self, (void)parm;
	skynet_callback(ctx, NULL, print);
	return 0;
}
