/* A service that answers a '+' with a '+', and a '!' with the same 64 bytes for every connection. Setting: port. */
#include "server.h"

#define SIZE 64
#define MOST 4096

static int listener;
static int ids[MOST];
static int count;

static void
send_bytes(struct skynet_context *ctx, int id, const void *bytes, size_t size)
{
	struct socket_sendbuffer out = { 0 };
	out.id = id;
	out.type = SOCKET_BUFFER_RAWPOINTER;
	out.buffer = bytes;
	out.sz = size;
	skynet_socket_sendbuffer(ctx, &out);
}

static void
data(struct skynet_context *ctx, int id, const char *bytes, int size)
{
	unsigned char message[SIZE];
	for (int i = 0; i < SIZE; i++)
		message[i] = (unsigned char)(i * 31 ^ i >> 8 ^ 5);
	for (int i = 0; i < size; i++) {
		if (bytes[i] == '+') {
			send_bytes(ctx, id, "+", 1);
			continue;
		}
		for (int n = 0; n < count; n++)
			send_bytes(ctx, ids[n], message, SIZE);
	}
}

static int
serve(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg, size_t sz)
{
	const struct skynet_socket_message *m = msg;
	(void)ud, (void)session, (void)source, (void)sz;
	if (type == BEGIN) {
		listener = server_listen(ctx);
		return 0;
	}
	if (type != PTYPE_SOCKET)
		return 0;
	switch (m->type) {
	case SKYNET_SOCKET_TYPE_DATA:
		data(ctx, m->id, m->buffer, m->ud);
		skynet_free(m->buffer);
		break;
	case SKYNET_SOCKET_TYPE_CONNECT:
		server_connect(m, listener);
		break;
	case SKYNET_SOCKET_TYPE_ACCEPT:
		if (count == MOST)
			bench_give_up("too many connections");
		ids[count++] = m->ud;
		skynet_socket_start(ctx, m->ud);
		break;
	}
	return 0;
}

int
broadcast_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst, (void)parm;
	skynet_callback(ctx, NULL, serve);
	bench_begin(ctx);
	return 0;
}
