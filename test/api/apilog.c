/* The log service of the conformance programs: prints each line and keeps it. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

ENTRY int apilog_init(void *inst, struct skynet_context *ctx, const char *parm);

/* Found by the cases with dlsym: service modules are loaded with RTLD_GLOBAL. */
struct capture apilog = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct line line = { .source = source, .sz = sz };
	(void)ctx, (void)ud, (void)session;
	if (type != PTYPE_TEXT)
		return 0;
	line.text = malloc(sz + 1);
	memcpy(line.text, msg, sz);
	line.text[sz] = '\0';
	pthread_mutex_lock(&apilog.lock);
	if (apilog.count == apilog.room) {
		apilog.room = apilog.room * 2 + 64;
		apilog.lines = realloc(apilog.lines, (size_t)apilog.room * sizeof line);
	}
	apilog.lines[apilog.count++] = line;
	pthread_mutex_unlock(&apilog.lock);
	printf("[:%08x] ", source);
	fwrite(msg, sz, 1, stdout);
	printf("\n");
	fflush(stdout);
	return 0;
}

int
apilog_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst, (void)parm;
	skynet_callback(ctx, NULL, on_message);
	return 0;
}
