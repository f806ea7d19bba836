/*
 * What the C services share that clients connect to. Setting: port.
 */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include "bench.h"
#include "skynet_socket.h"

/* Listens, at BEGIN. */
static inline int
server_listen(struct skynet_context *ctx)
{
	int listener = skynet_socket_listen(ctx, "127.0.0.1", (int)bench_setting(ctx, "port"), 1024);
	if (listener < 0)
		bench_give_up("no listener");
	skynet_socket_start(ctx, listener);
	return listener;
}

/* Tells the driver to send the clients. */
static inline void
server_ready(void)
{
	puts("READY");
	fflush(stdout);
}

/* For each CONNECT: the listener says that it listens, with its port, and then that it is started. */
static inline void
server_connect(const struct skynet_socket_message *m, int listener)
{
	if (m->id == listener && m->ud == 0)
		server_ready();
}

#endif
