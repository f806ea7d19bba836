/*
 * `watchdog PORT MAX`: launches a gate with itself as the watchdog and four agents, to one of which each
 * connection is forwarded. An agent sends back every packet with a length before it. The watchdog prints
 *   WATCHDOG opened N, WATCHDOG closed N   at every thousandth, and at the text "stats".
 */
#include "sock.h"

#define AGENTS 4
#define SLOTS 65536

struct watchdog {
	uint32_t gate, agent[AGENTS];
	long opened, closed;
	int *open; /* ids, each at its low bits */
};

struct watchdog *watchdog_create(void);
void watchdog_release(struct watchdog *self);
int watchdog_init(struct watchdog *self, struct skynet_context *ctx, const char *parm);

struct watchdog *
watchdog_create(void)
{
	struct watchdog *self = skynet_calloc(1, sizeof *self);
	self->open = skynet_calloc(SLOTS, sizeof *self->open);
	return self;
}

void
watchdog_release(struct watchdog *self)
{
	skynet_free(self->open);
	skynet_free(self);
}

static int
answer(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg, size_t sz)
{
	unsigned char *bytes;

	(void)ud;
	if (type != PTYPE_CLIENT)
		return 0;
	/* The source of what the gate forwards is the gate, as the watchdog asked for. */
	bytes = skynet_malloc(2 + sz + 4);
	bytes[0] = (unsigned char)(sz >> 8);
	bytes[1] = (unsigned char)sz;
	memcpy(bytes + 2, msg, sz);
	for (int i = 0; i < 4; i++)
		bytes[2 + sz + i] = (unsigned char)((uint32_t)session >> (8 * i));
	skynet_send(ctx, 0, source, PTYPE_CLIENT | PTYPE_TAG_DONTCOPY, 0, bytes, 2 + sz + 4);
	return 0;
}

static void
count(const char *what, long number, int always)
{
	if (always || number % 1000 == 0)
		say("WATCHDOG %s %ld", what, number);
}

static void
report(struct watchdog *self, struct skynet_context *ctx, const char *text)
{
	char line[96];
	int id = 0, used = 0, n;

	if (sscanf(text, "%d %n", &id, &used) != 1) {
		count("opened", self->opened, 1);
		count("closed", self->closed, 1);
		return;
	}
	text += used;
	if (strncmp(text, "open ", 5) == 0) {
		if (self->open[id % SLOTS] != 0)
			say("FAIL %d opened while %d is open", id, self->open[id % SLOTS]);
		self->open[id % SLOTS] = id;
		count("opened", ++self->opened, 0);
		n = snprintf(line, sizeof line, "forward %d :%x :%x", id, (unsigned)self->agent[id % AGENTS],
			(unsigned)self->gate);
		skynet_send(ctx, 0, self->gate, PTYPE_TEXT, 0, line, (size_t)n);
		n = snprintf(line, sizeof line, "start %d", id);
		skynet_send(ctx, 0, self->gate, PTYPE_TEXT, 0, line, (size_t)n);
	} else if (strcmp(text, "close") == 0) {
		if (self->open[id % SLOTS] != id)
			say("FAIL %d closed without being open", id);
		self->open[id % SLOTS] = 0;
		count("closed", ++self->closed, 0);
	} else {
		say("FAIL the gate says %d %.40s", id, text);
	}
}

/* The connections are closed from this side. */
static void
kick_all(struct watchdog *self, struct skynet_context *ctx)
{
	char line[32];

	for (int i = 0; i < SLOTS; i++) {
		if (self->open[i]) {
			int n = snprintf(line, sizeof line, "kick %d", self->open[i]);
			skynet_send(ctx, 0, self->gate, PTYPE_TEXT, 0, line, (size_t)n);
		}
	}
}

static int
watch(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg, size_t sz)
{
	char text[128];

	(void)session, (void)source;
	if (type == PTYPE_TEXT) {
		snprintf(text, sizeof text, "%.*s", (int)sz, (const char *)msg);
		if (strcmp(text, "kick") == 0)
			kick_all(ud, ctx);
		else
			report(ud, ctx, text);
	}
	return 0;
}

int
watchdog_init(struct watchdog *self, struct skynet_context *ctx, const char *parm)
{
	char line[96];
	int port = 0, most = 0;

	if (strcmp(parm, "agent") == 0) {
		skynet_callback(ctx, self, answer);
		return 0;
	}
	sscanf(parm, "%d %d", &port, &most);
	skynet_callback(ctx, self, watch);
	skynet_command(ctx, "REG", ".watchdog");
	for (int i = 0; i < AGENTS; i++)
		self->agent[i] = launch(ctx, "watchdog agent");
	snprintf(line, sizeof line, "gate S .watchdog 127.0.0.1:%d 0 %d", port, most);
	self->gate = launch(ctx, line);
	say("WATCHDOG ready");
	return self->gate == 0;
}
