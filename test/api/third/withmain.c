/*
 * A program that is a service as well: it has a main of its own, for running it by hand. As a module its
 * main is a function like any other and nobody calls it.
 */
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"

int withmain_init(void *inst, struct skynet_context *ctx, const char *parm);

static int mains;

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	char text[32];
	int n;
	(void)ud, (void)msg, (void)sz;
	if (type == PTYPE_TEXT) {
		n = snprintf(text, sizeof text, "main was called %d times", mains);
		skynet_send(ctx, 0, source, PTYPE_RESPONSE, session, text, (size_t)n);
	}
	return 0;
}

int
withmain_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)parm;
	skynet_callback(ctx, inst, on_message);
	return 0;
}

#ifdef __cplusplus
}
#endif

int
main(void)
{
	mains++;
	puts("this is the main of a module");
	return 0;
}
