/* A service that sends back what it gets. The driver's clients put it under load. Setting: port. */
#include "server.h"

static int listener;

static int
echo(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg, size_t sz)
{
	const struct skynet_socket_message *m = msg;
	struct socket_sendbuffer out = { 0 };
	(void)ud, (void)session, (void)source, (void)sz;
	if (type == BEGIN) {
		listener = server_listen(ctx);
		return 0;
	}
	if (type != PTYPE_SOCKET)
		return 0;
	switch (m->type) {
	case SKYNET_SOCKET_TYPE_DATA:
		out.id = m->id;
		out.type = SOCKET_BUFFER_MEMORY;
		out.buffer = m->buffer;
		out.sz = (size_t)m->ud;
		skynet_socket_sendbuffer(ctx, &out);
		break;
	case SKYNET_SOCKET_TYPE_CONNECT:
		server_connect(m, listener);
		break;
	case SKYNET_SOCKET_TYPE_ACCEPT:
		skynet_socket_nodelay(ctx, m->ud);
		skynet_socket_start(ctx, m->ud);
		break;
	case SKYNET_SOCKET_TYPE_CLOSE:
	case SKYNET_SOCKET_TYPE_ERROR:
		skynet_socket_close(ctx, m->id);
		break;
	}
	return 0;
}

int
echo_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst, (void)parm;
	skynet_callback(ctx, NULL, echo);
	bench_begin(ctx);
	return 0;
}
