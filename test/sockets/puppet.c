/*
 * Does what lines on the standard input say, and prints every socket event it gets:
 *   EVENT <name> <id> <ud> <text>
 * What a command returns is printed as `<command> <result>`. `quit` ends the node.
 */
#define _GNU_SOURCE

#include "sock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct puppet {
	int commands; /* the id of our standard input */
	size_t len;
	char line[1024];
};

static const char *NAMES[] = { "?", "DATA", "CONNECT", "CLOSE", "ACCEPT", "ERROR", "UDP", "WARNING" };

struct puppet *puppet_create(void);
void puppet_release(struct puppet *self);
int puppet_init(struct puppet *self, struct skynet_context *ctx, const char *parm);

struct puppet *
puppet_create(void)
{
	return skynet_calloc(1, sizeof(struct puppet));
}

void
puppet_release(struct puppet *self)
{
	skynet_free(self);
}

/* As many bytes as the command says, each with its own value: the low byte of its place. */
static int
send_pattern(struct skynet_context *ctx, int id, size_t n, int low)
{
	struct socket_sendbuffer out;
	unsigned char *bytes = skynet_malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(i % 251);
	out.id = id;
	out.type = SOCKET_BUFFER_MEMORY;
	out.buffer = bytes;
	out.sz = n;
	return low ? skynet_socket_sendbuffer_lowpriority(ctx, &out) : skynet_socket_sendbuffer(ctx, &out);
}

/* What the system says of the options of the connection with this peer, wherever its descriptor is. */
static void
options(int port)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_in peer;
		socklen_t size = sizeof peer;
		int value[5];
		static const int which[5][2] = {
			{ SOL_SOCKET, SO_KEEPALIVE }, { IPPROTO_TCP, TCP_KEEPIDLE },
			{ IPPROTO_TCP, TCP_KEEPINTVL }, { IPPROTO_TCP, TCP_KEEPCNT },
			{ IPPROTO_TCP, TCP_NODELAY },
		};

		memset(&peer, 0, sizeof peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 || peer.sin_family != AF_INET ||
		    ntohs(peer.sin_port) != port)
			continue;
		for (int i = 0; i < 5; i++) {
			size = sizeof value[i];
			if (getsockopt(fd, which[i][0], which[i][1], &value[i], &size) != 0)
				value[i] = -1;
		}
		say("options keepalive=%d idle=%d interval=%d count=%d nodelay=%d", value[0] != 0, value[1],
		    value[2], value[3], value[4] != 0);
		return;
	}
	say("options none");
}

static void
obey(struct puppet *self, struct skynet_context *ctx, char *line)
{
	char word[16] = "", host[512] = "";
	int used = 0, a = 0, b = 0;
	const char *rest;

	(void)self;
	sscanf(line, "%15s %n", word, &used);
	rest = line + used;
	sscanf(rest, "%d %d", &a, &b);
	if (strcmp(word, "quit") == 0) {
		skynet_command(ctx, "ABORT", NULL);
	} else if (strcmp(word, "listen") == 0) {
		say("listen %d", skynet_socket_listen(ctx, "127.0.0.1", a, 1024));
	} else if (strcmp(word, "connect") == 0) {
		sscanf(rest, "%511s %d", host, &b);
		say("connect %d %s", skynet_socket_connect(ctx, host, b), host);
	} else if (strcmp(word, "start") == 0) {
		skynet_socket_start(ctx, a);
	} else if (strcmp(word, "pause") == 0) {
		skynet_socket_pause(ctx, a);
	} else if (strcmp(word, "close") == 0) {
		skynet_socket_close(ctx, a);
	} else if (strcmp(word, "shutdown") == 0) {
		skynet_socket_shutdown(ctx, a);
	} else if (strcmp(word, "send") == 0) {
		say("send %d", send_pattern(ctx, a, (size_t)b, 0));
	} else if (strcmp(word, "low") == 0) {
		say("low %d", send_pattern(ctx, a, (size_t)b, 1));
	} else if (strcmp(word, "options") == 0) {
		options(a);
	} else if (strcmp(word, "launch") == 0) {
		say("launch :%x", launch(ctx, rest));
	} else if (strcmp(word, "tell") == 0) {
		char *text = strchr(line + used, ' ');
		if (text != NULL) {
			*text++ = '\0';
			skynet_sendname(ctx, 0, rest, PTYPE_TEXT, 0, text, strlen(text));
		}
	} else {
		say("FAIL unknown command %s", line);
	}
}

static void
feed(struct puppet *self, struct skynet_context *ctx, const char *bytes, int n)
{
	for (int i = 0; i < n; i++) {
		if (bytes[i] == '\n') {
			self->line[self->len] = '\0';
			self->len = 0;
			obey(self, ctx, self->line);
		} else if (self->len < sizeof self->line - 1) {
			self->line[self->len++] = bytes[i];
		}
	}
}

static int
handle(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz)
{
	struct puppet *self = ud;
	const struct skynet_socket_message *m = msg;
	char text[160];

	(void)session, (void)source;
	if (type != PTYPE_SOCKET)
		return 0;
	if (m->id == self->commands) {
		if (m->type == SKYNET_SOCKET_TYPE_DATA)
			feed(self, ctx, m->buffer, m->ud);
	} else {
		int known = m->type >= 1 && m->type <= 7;
		say("EVENT %s %d %d %s", NAMES[known ? m->type : 0], m->id, m->ud,
		    event_text(m, sz, text, sizeof text));
	}
	skynet_free(m->buffer);
	return 0;
}

int
puppet_init(struct puppet *self, struct skynet_context *ctx, const char *parm)
{
	(void)parm;
	skynet_callback(ctx, self, handle);
	self->commands = skynet_socket_bind(ctx, 0);
	say("PUPPET ready");
	return self->commands < 0;
}
