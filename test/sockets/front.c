/*
 * `front HOST PORT`: accepts, starts every connection and sends back what comes, but floods a connection
 * whose first byte is 'F'. It keeps books on every id and says `FAIL ...` when an event cannot be:
 *   ACCEPT first; CONNECT before the first DATA; then DATA; at most one ERROR; one CLOSE; after it nothing.
 * An ERROR that answers our own start does not count. The text "stats" makes it print its counters.
 */
#include "sock.h"

#define SLOTS 65536
#define CHUNK 32768

enum { NOBODY, ACCEPTED, STARTED, FAILED, CLOSED };

struct connection {
	int id;
	int state;
	int starting; /* our start was not answered */
	int flooded;
	int first;
};

struct front {
	uint32_t handle;
	int listener;
	int ticking;
	struct connection *slot;
	int *flood; /* ids */
	int floods;
	long accepted, ended, errors, unstarted, listener_errors;
	unsigned long long bytes, flooded;
	char chunk[CHUNK];
};

struct front *front_create(void);
void front_release(struct front *self);
int front_init(struct front *self, struct skynet_context *ctx, const char *parm);

struct front *
front_create(void)
{
	struct front *self = skynet_calloc(1, sizeof *self);

	self->slot = skynet_calloc(SLOTS, sizeof *self->slot);
	self->flood = skynet_calloc(SLOTS, sizeof *self->flood);
	return self;
}

void
front_release(struct front *self)
{
	skynet_free(self->slot);
	skynet_free(self->flood);
	skynet_free(self);
}

static void
accepted(struct front *self, struct skynet_context *ctx, int id)
{
	struct connection *c = &self->slot[id % SLOTS];

	if (c->state != NOBODY && c->state != CLOSED)
		say("FAIL ACCEPT of %d while %d lives in state %d", id, c->id, c->state);
	memset(c, 0, sizeof *c);
	c->id = id;
	c->state = ACCEPTED;
	c->starting = 1;
	c->first = 1;
	self->accepted++;
	skynet_socket_start(ctx, id);
}

/* The first sign of the end of a connection. Closing it is ours to do in any case. */
static void
ending(struct front *self, struct skynet_context *ctx, struct connection *c)
{
	if (c->state == ACCEPTED)
		self->unstarted++;
	skynet_socket_close(ctx, c->id);
}

static void
tick(struct front *self, struct skynet_context *ctx)
{
	int left = 0;

	for (int i = 0; i < self->floods; i++) {
		int id = self->flood[i];
		struct connection *c = &self->slot[id % SLOTS];
		if (c->id != id || c->state != STARTED || send_raw(ctx, id, self->chunk, CHUNK) != 0)
			continue;
		self->flooded += CHUNK;
		self->flood[left++] = id;
	}
	self->floods = left;
	self->ticking = left > 0;
	if (self->ticking)
		skynet_send(ctx, 0, self->handle, PTYPE_CLIENT, 0, NULL, 0);
}

static void
data(struct front *self, struct skynet_context *ctx, struct connection *c, const char *bytes, int n)
{
	self->bytes += (unsigned)n;
	if (c->first && n > 0 && bytes[0] == 'F') {
		c->flooded = 1;
		self->flood[self->floods++] = c->id;
		if (!self->ticking) {
			self->ticking = 1;
			skynet_send(ctx, 0, self->handle, PTYPE_CLIENT, 0, NULL, 0);
		}
	}
	c->first = 0;
	if (!c->flooded)
		send_raw(ctx, c->id, bytes, (size_t)n);
}

static void
event(struct front *self, struct skynet_context *ctx, const struct skynet_socket_message *m, const char *text)
{
	struct connection *c = &self->slot[m->id % SLOTS];

	if (m->id == self->listener) {
		if (m->type == SKYNET_SOCKET_TYPE_ACCEPT) {
			accepted(self, ctx, m->ud);
		} else if (m->type == SKYNET_SOCKET_TYPE_ERROR) {
			self->listener_errors++;
			say("FRONT listener ERROR %s", text);
		} else if (m->type == SKYNET_SOCKET_TYPE_CONNECT && strcmp(text, "start") == 0) {
			say("FRONT listens");
		}
		return;
	}
	if (c->id != m->id) {
		say("FAIL event %d of the unknown id %d", m->type, m->id);
		return;
	}
	switch (m->type) {
	case SKYNET_SOCKET_TYPE_CONNECT:
		if (c->state != ACCEPTED || !c->starting)
			say("FAIL CONNECT of %d in state %d", m->id, c->state);
		c->starting = 0;
		c->state = STARTED;
		break;
	case SKYNET_SOCKET_TYPE_DATA:
		if (c->state != STARTED && c->state != FAILED)
			say("FAIL DATA of %d in state %d", m->id, c->state);
		data(self, ctx, c, m->buffer, m->ud);
		break;
	case SKYNET_SOCKET_TYPE_ERROR:
		if (c->starting && (strcmp(text, "invalid socket") == 0 || strcmp(text, "socket closed") == 0)) {
			c->starting = 0;
			if (c->state != FAILED && c->state != CLOSED)
				say("FAIL %d is gone without an end", m->id);
			break;
		}
		if (c->state != ACCEPTED && c->state != STARTED)
			say("FAIL ERROR of %d in state %d: %s", m->id, c->state, text);
		else
			ending(self, ctx, c);
		self->errors++;
		c->state = FAILED;
		break;
	case SKYNET_SOCKET_TYPE_CLOSE:
		if (c->state == CLOSED)
			say("FAIL second CLOSE of %d", m->id);
		else if (c->state != FAILED)
			ending(self, ctx, c);
		if (c->state != CLOSED)
			self->ended++;
		c->state = CLOSED;
		break;
	case SKYNET_SOCKET_TYPE_WARNING:
		if (c->state == CLOSED)
			say("FAIL WARNING of %d after its end", m->id);
		break;
	default:
		say("FAIL event %d of %d", m->type, m->id);
	}
}

static int
handle(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct front *self = ud;
	char text[160];

	(void)session, (void)source;
	if (type == PTYPE_CLIENT) {
		tick(self, ctx);
	} else if (type == PTYPE_TEXT) {
		say("FRONT accepted=%ld ended=%ld errors=%ld unstarted=%ld bytes=%llu flooded=%llu refused=%ld",
		    self->accepted, self->ended, self->errors, self->unstarted, self->bytes, self->flooded,
		    self->listener_errors);
	} else if (type == PTYPE_SOCKET) {
		const struct skynet_socket_message *m = msg;
		event(self, ctx, m, event_text(m, sz, text, sizeof text));
		skynet_free(m->buffer);
	}
	return 0;
}

int
front_init(struct front *self, struct skynet_context *ctx, const char *parm)
{
	char host[64] = "";
	int port = 0;

	sscanf(parm, "%63s %d", host, &port);
	memset(self->chunk, 'x', CHUNK);
	self->handle = self_handle(ctx);
	skynet_callback(ctx, self, handle);
	self->listener = skynet_socket_listen(ctx, host, port, 2048);
	if (self->listener < 0)
		return 1;
	skynet_command(ctx, "REG", ".front");
	skynet_socket_start(ctx, self->listener);
	return 0;
}
