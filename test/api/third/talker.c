/*
 * Writes LINES lines to the log, waits until the log service has them all, and ends the process:
 * `talker LINES`, as the first service.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"

int talker_init(void *inst, struct skynet_context *ctx, const char *parm);

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	int i;
	(void)ud, (void)session, (void)source, (void)msg, (void)sz;
	if (type == PTYPE_TEXT) {
		char *lines = (char *)malloc(sz + 1);
		memcpy(lines, msg, sz);
		lines[sz] = '\0';
		for (i = 1; i <= atoi(lines); i++)
			skynet_error(ctx, "line %d %*d", i, i % 400, i);
		free(lines);
		skynet_sendname(ctx, 0, ".xlog", 12 | PTYPE_TAG_ALLOCSESSION, 0, NULL, 0);
	} else if (type == PTYPE_RESPONSE) {
		skynet_command(ctx, "ABORT", NULL);
	}
	return 0;
}

int
talker_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst;
	skynet_callback(ctx, NULL, on_message);
	skynet_sendname(ctx, 0, skynet_command(ctx, "REG", NULL), PTYPE_TEXT, 0, (void *)parm,
		strlen(parm));
	return 0;
}

#ifdef __cplusplus
}
#endif
