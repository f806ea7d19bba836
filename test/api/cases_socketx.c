/* Options of sockets: what skynetx.h adds. */
#include "harness.h"

#include <dlfcn.h>
#include <string.h>

/* By name and number, because the cases are compiled against upstream's headers as well. */
static int (*socket_option)(int id, int option, int64_t value);

enum { NODELAY = 1, WRITE_LIMIT, WRITE_ACTION, IDLE_MS, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT, CONNECT_MS };

#define WRITE_CLOSE 2

struct event {
	struct skynet_socket_message m;
	char text[128];
};

static struct event
event(struct agent *a, int index, int type)
{
	struct event e;
	struct mail mail = agent_mail(a, index);
	size_t text;
	memset(&e, 0, sizeof(e));
	CHECK_INT(mail.type, PTYPE_SOCKET);
	if (mail.sz < sizeof(e.m)) {
		CHECK(false);
		return e;
	}
	memcpy(&e.m, mail.data, sizeof(e.m));
	text = mail.sz - sizeof(e.m);
	if (text < sizeof(e.text))
		memcpy(e.text, mail.data + sizeof(e.m), text);
	CHECK_INT(e.m.type, type);
	return e;
}

static void
there(void)
{
	*(void **)&socket_option = dlsym(RTLD_DEFAULT, "skynetx_socket_option");
	CHECK(socket_option != NULL);
}

static void
refused(void)
{
	CHECK_INT(socket_option(0, 0, 0), -1);
	CHECK_INT(socket_option(0, 99, 0), -1);
	CHECK_INT(socket_option(0, NODELAY, 2), -1);
	CHECK_INT(socket_option(0, WRITE_LIMIT, -1), -1);
	CHECK_INT(socket_option(0, WRITE_ACTION, 3), -1);
	CHECK_INT(socket_option(0, IDLE_MS, -1), -1);
	CHECK_INT(socket_option(0, KEEPALIVE_IDLE, 0), -1);
	CHECK_INT(socket_option(0, KEEPALIVE_COUNT, 128), -1);
	CHECK_INT(socket_option(-1, NODELAY, 1), -1);
	CHECK_INT(socket_option(INT32_MAX, NODELAY, 1), -1);
	CHECK_INT(socket_option(0, NODELAY, 0), 0);
}

/* A connection whose other end never reads ends with ERROR and CLOSE; its data is thrown away. */
static void
limited(void)
{
	struct agent *a = agent_new();
	struct event e;
	int listener = skynet_socket_listen(a->ctx, "127.0.0.1", 0, 8), client, server, n = 0, port;
	e = event(a, n++, SKYNET_SOCKET_TYPE_CONNECT);
	port = e.m.ud;
	CHECK_INT(socket_option(listener, WRITE_LIMIT, 100000), 0);
	CHECK_INT(socket_option(listener, WRITE_ACTION, WRITE_CLOSE), 0);
	CHECK_INT(socket_option(listener, CONNECT_MS, 1000), -1);
	skynet_socket_start(a->ctx, listener);
	CHECK_TEXT(event(a, n++, SKYNET_SOCKET_TYPE_CONNECT).text, "start");
	struct agent *b = agent_new();
	client = skynet_socket_connect(b->ctx, "127.0.0.1", port);
	e = event(a, n++, SKYNET_SOCKET_TYPE_ACCEPT);
	server = e.m.ud;
	CHECK_INT(event(b, 0, SKYNET_SOCKET_TYPE_CONNECT).m.id, client);
	skynet_socket_pause(b->ctx, client);
	skynet_socket_start(a->ctx, server);
	CHECK_TEXT(event(a, n++, SKYNET_SOCKET_TYPE_CONNECT).text, "start");
	static char block[65536];
	struct socket_sendbuffer out;
	memset(&out, 0, sizeof(out));
	out.id = server;
	out.type = SOCKET_BUFFER_RAWPOINTER;
	out.buffer = block;
	out.sz = sizeof(block);
	/* Over the limit, sends are accepted and dropped until the poller has ended the socket; then the id is gone. */
	WAIT_UNTIL(skynet_socket_sendbuffer(a->ctx, &out) == -1);
	CHECK_INT(skynet_socket_sendbuffer(a->ctx, &out), -1);
	do {
		struct mail mail = agent_mail(a, n++);
		memcpy(&e.m, mail.data, sizeof(e.m));
	} while (e.m.type == SKYNET_SOCKET_TYPE_WARNING);
	e = event(a, n - 1, SKYNET_SOCKET_TYPE_ERROR);
	CHECK_INT(e.m.id, server);
	CHECK_TEXT(e.text, "output buffer overflow");
	CHECK_INT(event(a, n++, SKYNET_SOCKET_TYPE_CLOSE).m.id, server);
	skynet_socket_close(a->ctx, listener);
	CHECK_INT(event(a, n++, SKYNET_SOCKET_TYPE_CLOSE).m.id, listener);
	skynet_socket_shutdown(b->ctx, client);
	agent_kill(a);
	agent_kill(b);
}

const struct test_case socketx_cases[] = {
	CASE(there),
	CASE(refused),
	CASE(limited),
	{ NULL, NULL },
};
