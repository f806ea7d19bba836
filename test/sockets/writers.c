/*
 * `writers PORT RECORDS`: the first connection gets RECORDS records of each of four writers, which are
 * services of their own and write whenever they can. The connection is closed when all have written.
 *
 * A record: the writer's number and the priority (a byte each), the length of its pattern and the record's
 * number (four bytes each, the machine's order), and the pattern, which follows from these.
 */
#include "sock.h"

#define WRITERS 4
/* Records per message of a writer. */
#define BATCH 50
/* So many of its last records a writer writes slowly in any case. */
#define LAST 150

struct head {
	unsigned char writer, low, pad[2];
	uint32_t length, number;
};

struct writers {
	/* of the lord */
	int listener, id, done, mine;
	uint32_t writer[WRITERS];
	uint32_t records;
	/* of a writer */
	uint32_t lord;
	unsigned char serial;
	uint32_t written[2], seed;
};

/* Whether the queue is long: until it is empty everybody writes a little only, of high priority, so that some of it
   comes while what is low is being written. The owner is told by WARNING. */
static int full;

struct writers *writers_create(void);
void writers_release(struct writers *self);
int writers_init(struct writers *self, struct skynet_context *ctx, const char *parm);

struct writers *
writers_create(void)
{
	return skynet_calloc(1, sizeof(struct writers));
}

void
writers_release(struct writers *self)
{
	skynet_free(self);
}

/* ---- a writer: is sent the id once, writes, and answers when it is done ---- */

static uint32_t
draw(struct writers *self)
{
	self->seed = self->seed * 1664525u + 1013904223u;
	return self->seed >> 8;
}

static int
write_record(struct writers *self, struct skynet_context *ctx, int may_be_low)
{
	/* Mostly small, now and then larger than what the kernel takes at once. */
	uint32_t dice = draw(self) % 1000;
	uint32_t length = dice == 0 ? draw(self) % 200000 : dice < 50 ? draw(self) % 5000 : draw(self) % 120;
	struct head head;
	struct socket_sendbuffer out;
	unsigned char *bytes = skynet_malloc(sizeof head + length);
	int r;

	memset(&head, 0, sizeof head);
	head.writer = self->serial;
	head.low = may_be_low && draw(self) % 4 == 0;
	head.length = length;
	head.number = self->written[head.low]++;
	memcpy(bytes, &head, sizeof head);
	for (uint32_t i = 0; i < length; i++)
		bytes[sizeof head + i] = (unsigned char)(head.number * 31 + head.writer * 7 + head.low + i);
	out.id = self->id;
	out.type = draw(self) % 2 ? SOCKET_BUFFER_MEMORY : SOCKET_BUFFER_RAWPOINTER;
	out.buffer = bytes;
	out.sz = sizeof head + length;
	r = head.low ? skynet_socket_sendbuffer_lowpriority(ctx, &out) : skynet_socket_sendbuffer(ctx, &out);
	if (out.type == SOCKET_BUFFER_RAWPOINTER) {
		/* Ours again: nobody may look at it from now on. */
		memset(bytes, 0xee, out.sz);
		skynet_free(bytes);
	}
	return r;
}

static int
write_on(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct writers *self = ud;
	int busy, batch;

	(void)session;
	if (type == PTYPE_CLIENT && sz == 2 * sizeof(int)) {
		const int *order = msg;
		self->lord = source;
		self->id = order[0];
		self->records = (uint32_t)order[1];
	}
	busy = __atomic_load_n(&full, __ATOMIC_RELAXED) ||
	       self->records - self->written[0] - self->written[1] <= LAST;
	batch = busy ? 1 : BATCH;
	for (int i = 0; i < batch && self->written[0] + self->written[1] < self->records; i++) {
		if (write_record(self, ctx, !busy) != 0) {
			say("FAIL a record was refused");
			return 0;
		}
	}
	if (self->written[0] + self->written[1] < self->records && busy)
		skynet_command(ctx, "TIMEOUT", "1");
	else if (self->written[0] + self->written[1] < self->records)
		skynet_send(ctx, 0, self_handle(ctx), PTYPE_TEXT, 0, NULL, 0);
	else
		skynet_send(ctx, 0, self->lord, PTYPE_CLIENT, 0, NULL, 0);
	return 0;
}

/* ---- the lord ---- */

static void
event(struct writers *self, struct skynet_context *ctx, const struct skynet_socket_message *m, const char *text)
{
	switch (m->type) {
	case SKYNET_SOCKET_TYPE_ACCEPT:
		self->id = m->ud;
		skynet_socket_start(ctx, self->id);
		break;
	case SKYNET_SOCKET_TYPE_CONNECT:
		if (m->id == self->listener && strcmp(text, "start") == 0) {
			say("WRITERS listen");
		} else if (m->id == self->id) {
			int order[2];
			order[0] = self->id;
			order[1] = (int)self->records;
			for (int i = 0; i < WRITERS; i++)
				skynet_send(ctx, 0, self->writer[i], PTYPE_CLIENT, 0, order, sizeof order);
		}
		break;
	case SKYNET_SOCKET_TYPE_WARNING:
		__atomic_store_n(&full, m->ud != 0, __ATOMIC_RELAXED);
		if (m->ud != 0)
			say("WRITERS wait");
		break;
	case SKYNET_SOCKET_TYPE_CLOSE:
		say(self->mine ? "WRITERS closed" : "FAIL the peer closed");
		break;
	default:
		say("FAIL event %d", m->type);
	}
}

static int
rule(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg, size_t sz)
{
	struct writers *self = ud;
	char text[160];

	(void)session, (void)source;
	if (type == PTYPE_SOCKET) {
		const struct skynet_socket_message *m = msg;
		event(self, ctx, m, event_text(m, sz, text, sizeof text));
		skynet_free(m->buffer);
	} else if (type == PTYPE_CLIENT && ++self->done == WRITERS) {
		self->mine = 1;
		skynet_socket_close(ctx, self->id);
	}
	return 0;
}

int
writers_init(struct writers *self, struct skynet_context *ctx, const char *parm)
{
	int port = 0;
	char line[64];

	if (strncmp(parm, "writer ", 7) == 0) {
		self->serial = (unsigned char)atoi(parm + 7);
		self->seed = 12345u + self->serial;
		skynet_callback(ctx, self, write_on);
		return 0;
	}
	sscanf(parm, "%d %u", &port, &self->records);
	skynet_callback(ctx, self, rule);
	for (int i = 0; i < WRITERS; i++) {
		snprintf(line, sizeof line, "writers writer %d", i);
		self->writer[i] = launch(ctx, line);
	}
	self->listener = skynet_socket_listen(ctx, "127.0.0.1", port, 32);
	if (self->listener < 0)
		return 1;
	skynet_socket_start(ctx, self->listener);
	return 0;
}
