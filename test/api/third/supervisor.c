/*
 * Launches one service, talks to it by name, signals it, and is the monitor that hears of its end.
 * `supervisor NAME` is known as NAME. Texts it understands:
 *
 *   spawn MODULE PARM...   launches it and names it .ward; answers with its address
 *   ask TEXT               passes a request on and the answer back
 *   signal NUMBER          signals it
 *   kill                   ends it; answers with the address that the core reports
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"

#define WARD ".ward"

struct supervisor {
	char ward[16];
	int asked;		/* session of the request that was passed on */
	uint32_t client;
	int client_session;
};

struct supervisor *supervisor_create(void);
void supervisor_release(struct supervisor *s);
int supervisor_init(struct supervisor *s, struct skynet_context *ctx, const char *parm);

struct supervisor *
supervisor_create(void)
{
	return (struct supervisor *)skynet_calloc(1, sizeof(struct supervisor));
}

void
supervisor_release(struct supervisor *s)
{
	skynet_free(s);
}

static void
answer(struct skynet_context *ctx, struct supervisor *s, const void *text, size_t sz)
{
	skynet_send(ctx, 0, s->client, PTYPE_RESPONSE, s->client_session, (void *)text, sz);
}

static void
spawn(struct skynet_context *ctx, struct supervisor *s, const char *what)
{
	const char *address = skynet_command(ctx, "LAUNCH", what);
	char text[64];
	if (address == NULL) {
		answer(ctx, s, "failed", 6);
		return;
	}
	snprintf(s->ward, sizeof s->ward, "%s", address);
	snprintf(text, sizeof text, "%s %s", WARD, s->ward);
	skynet_command(ctx, "NAME", text);
	answer(ctx, s, s->ward, strlen(s->ward));
}

static void
request(struct skynet_context *ctx, struct supervisor *s, const char *text)
{
	char parm[160];
	if (strncmp(text, "spawn ", 6) == 0) {
		spawn(ctx, s, text + 6);
	} else if (strncmp(text, "ask ", 4) == 0) {
		s->asked = skynet_sendname(ctx, 0, WARD, PTYPE_TEXT | PTYPE_TAG_ALLOCSESSION, 0,
			(void *)(text + 4), strlen(text + 4));
		if (s->asked < 0)
			answer(ctx, s, "nobody", 6);
	} else if (strncmp(text, "signal ", 7) == 0) {
		snprintf(parm, sizeof parm, "%s %s", s->ward, text + 7);
		skynet_command(ctx, "SIGNAL", parm);
		answer(ctx, s, "done", 4);
	} else if (strcmp(text, "kill") == 0) {
		skynet_command(ctx, "KILL", s->ward);
	}
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct supervisor *s = (struct supervisor *)ud;
	char text[128];
	switch (type) {
	case PTYPE_TEXT:
		if (sz >= sizeof text)
			break;
		memcpy(text, msg, sz);
		text[sz] = '\0';
		s->client = source;
		s->client_session = session;
		request(ctx, s, text);
		break;
	case PTYPE_RESPONSE:
		if (session == s->asked)
			answer(ctx, s, msg, sz);
		break;
	case PTYPE_ERROR:
		answer(ctx, s, "refused", 7);
		break;
	case PTYPE_CLIENT:
		/* from the core: somebody has ended */
		snprintf(text, sizeof text, ":%08X", (unsigned)source);
		if (strcmp(text, s->ward) == 0)
			answer(ctx, s, text, strlen(text));
		break;
	default:
		break;
	}
	return 0;
}

int
supervisor_init(struct supervisor *s, struct skynet_context *ctx, const char *parm)
{
	char self[16];
	snprintf(self, sizeof self, "%s", skynet_command(ctx, "REG", parm));
	snprintf(self, sizeof self, "%s", skynet_command(ctx, "REG", NULL));
	skynet_command(ctx, "MONITOR", self);
	skynet_callback(ctx, s, on_message);
	return 0;
}

#ifdef __cplusplus
}
#endif
