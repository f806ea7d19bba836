/* A service that sends datagrams back. Setting: port. */
#include "server.h"

static int
echo(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg, size_t sz)
{
	struct skynet_socket_message *m = (struct skynet_socket_message *)msg;
	struct socket_sendbuffer out = { 0 };
	int length;
	const char *from;
	(void)ud, (void)session, (void)source, (void)sz;
	if (type == BEGIN) {
		if (skynet_socket_udp(ctx, "127.0.0.1", (int)bench_setting(ctx, "port")) < 0)
			bench_give_up("no socket");
		server_ready();
	} else if (type == PTYPE_SOCKET && m->type == SKYNET_SOCKET_TYPE_UDP) {
		from = skynet_socket_udp_address(m, &length);
		out.id = m->id;
		out.type = SOCKET_BUFFER_RAWPOINTER;
		out.buffer = m->buffer;
		out.sz = (size_t)m->ud;
		skynet_socket_udp_sendbuffer(ctx, from, &out);
		skynet_free(m->buffer);
	}
	return 0;
}

int
udp_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst, (void)parm;
	skynet_callback(ctx, NULL, echo);
	bench_begin(ctx);
	return 0;
}
