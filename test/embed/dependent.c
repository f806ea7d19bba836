/* A service module that was linked with libskynet.so, which modules must not be. */
#include "skynet.h"

#include <stddef.h>

int dependent_init(void *inst, struct skynet_context *ctx, const char *parm);

int
dependent_init(void *inst, struct skynet_context *ctx, const char *parm) {
	(void)inst;
	skynet_error(ctx, "dependent runs: %s", parm);
	skynet_callback(ctx, NULL, NULL);
	return 0;
}
