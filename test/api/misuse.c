/*
 * Does with its messages what a service must not, to see that it is found: `misuse late` looks at one
 * after its callback is through, `misuse twice` frees one that it leaves to the core, `misuse lost` keeps
 * one and forgets it. Anything else ends well.
 */
#include "skynet.h"

#include <stdlib.h>
#include <string.h>

int misuse_init(void *inst, struct skynet_context *ctx, const char *parm);

static char what;
static const char *seen;

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	(void)ud, (void)type, (void)source, (void)sz;
	if (session == 2) {
		if (what == 'l')
			skynet_error(ctx, "%c", *seen);
		skynet_command(ctx, "ABORT", NULL);
		return 0;
	}
	seen = msg;
	if (what == 't')
		skynet_free((void *)msg);
	if (what == 'k') {
		seen = NULL;
		return 1;
	}
	return 0;
}

int
misuse_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	const char *self = skynet_command(ctx, "REG", NULL);
	(void)inst;
	what = strcmp(parm, "late") == 0 ? 'l' : strcmp(parm, "twice") == 0 ? 't' :
		strcmp(parm, "lost") == 0 ? 'k' : ' ';
	skynet_callback(ctx, NULL, on_message);
	skynet_sendname(ctx, 0, self, PTYPE_TEXT, 1, "something of some length", 25);
	skynet_sendname(ctx, 0, self, PTYPE_TEXT, 2, NULL, 0);
	return 0;
}
