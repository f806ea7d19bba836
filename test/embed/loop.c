/*
 * A program with a loop of its own where other programs call skynet_start: it runs messages and timers on
 * its main thread and polls sockets on a second one. There is to be no third.
 *
 *   loop PORT
 */
#include "node.h"
#include "skynet_env.h"
#include "skynet_handle.h"
#include "skynet_harbor.h"
#include "skynet_module.h"
#include "skynet_monitor.h"
#include "skynet_mq.h"
#include "skynet_socket.h"
#include "skynet_timer.h"

#include <pthread.h>

static int port;
static int listener, client, accepted;
static int echoed;

/* A name that must be looked up, by whom is what matters. */
static void
connects(struct skynet_context *ctx) {
	CHECK(threads() == 2);
	listener = skynet_socket_listen(ctx, "127.0.0.1", port, 8);
	CHECK(listener > 0);
	skynet_socket_start(ctx, listener);
	client = skynet_socket_connect(ctx, "localhost", port);
	CHECK(client > 0);
	CHECK(threads() == 2);
}

static void
write_text(struct skynet_context *ctx, int id, const char *text) {
	struct socket_sendbuffer buffer;

	memset(&buffer, 0, sizeof buffer);
	buffer.id = id;
	buffer.type = SOCKET_BUFFER_RAWPOINTER;
	buffer.buffer = text;
	buffer.sz = strlen(text);
	CHECK(skynet_socket_sendbuffer(ctx, &buffer) == 0);
}

static int
peer_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	const struct skynet_socket_message *event = msg;

	(void)ud;
	(void)session;
	(void)source;
	(void)sz;
	CHECK(threads() == 2);
	if (type == PTYPE_RESPONSE) {
		if (echoed)
			skynet_command(ctx, "ABORT", NULL);
		else
			connects(ctx);
		return 0;
	}
	CHECK(type == PTYPE_SOCKET);
	switch (event->type) {
	case SKYNET_SOCKET_TYPE_ACCEPT:
		accepted = event->ud;
		skynet_socket_start(ctx, accepted);
		break;
	case SKYNET_SOCKET_TYPE_CONNECT:
		if (event->id == client)
			write_text(ctx, client, "ping");
		break;
	case SKYNET_SOCKET_TYPE_DATA:
		CHECK(event->ud == 4);
		if (event->id == accepted) {
			CHECK(memcmp(event->buffer, "ping", 4) == 0);
			write_text(ctx, accepted, "pong");
		} else {
			CHECK(event->id == client && memcmp(event->buffer, "pong", 4) == 0);
			echoed = 1;
			skynet_command(ctx, "TIMEOUT", "5");
		}
		skynet_free(event->buffer);
		break;
	default:
		fprintf(stderr, "socket event %d\n", event->type);
		_exit(3);
	}
	return 0;
}

static int
peer_init(void *inst, struct skynet_context *ctx, const char *parm) {
	(void)inst;
	CHECK(parm == NULL);
	skynet_callback(ctx, NULL, peer_message);
	skynet_command(ctx, "TIMEOUT", "1");
	return 0;
}

static void *
poll_sockets(void *arg) {
	skynet_initthread(THREAD_SOCKET);
	while (skynet_socket_poll() != 0)
		;
	return arg;
}

int
main(int argc, char *argv[]) {
	struct skynet_config config = good();
	struct skynet_monitor *monitor;
	struct message_queue *queue = NULL;
	pthread_t poller;

	CHECK(argc == 2);
	port = atoi(argv[1]);
	register_services();
	CHECK(skynetx_module_register("peer", NULL, peer_init, NULL, NULL) == 0);

	skynet_globalinit();
	skynet_env_init();
	skynet_harbor_init(0);
#if SKYNET_API_HEAD
	skynet_handle_init(0, 1);
#else
	skynet_handle_init(0);
#endif
	skynet_mq_init();
	skynet_module_init("/nowhere/?.so");
	skynet_timer_init();
	skynet_socket_init();
	skynet_profile_enable(1);
	CHECK(threads() == 1);

	CHECK(skynet_context_new("logger", NULL) != 0);
	CHECK(skynet_handle_namehandle(1, "logger") != NULL);
	CHECK(skynet_context_new("peer", NULL) != 0);
	CHECK(skynet_context_total() == 2);
	/* A second node beside this one. */
	CHECK(skynetx_start(&config) == SKYNETX_ERR_STARTED);

	CHECK(pthread_create(&poller, NULL, poll_sockets, NULL) == 0);
	monitor = skynet_monitor_new();
	while (skynet_context_total() > 0) {
		skynet_updatetime();
		skynet_socket_updatetime();
		skynet_monitor_check(monitor);
		queue = skynet_context_message_dispatch(monitor, queue, 0);
		if (queue == NULL)
			usleep(2500);
	}
	skynet_socket_exit();
	pthread_join(poller, NULL);
	skynet_monitor_delete(monitor);
	skynet_harbor_exit();
	skynet_socket_free();
	skynet_globalexit();
	CHECK(echoed && alone() && log_releases == 1);
	puts("done");
	return 0;
}
