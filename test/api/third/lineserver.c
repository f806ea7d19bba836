/*
 * A TCP server of lines. `lineserver HOST` listens on a port that the system chooses and tells whoever
 * sends the text "port". Each line comes back with its number in front; "quit" closes the connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "skynet.h"
#include "skynet_socket.h"

#define BACKLOG 32

struct connection {
	struct connection *next;
	int id;
	int lines;
	char *pending;		/* of a line that has not ended */
	size_t len;
};

struct server {
	struct skynet_context *ctx;
	int listener;
	int port;
	struct connection *all;
};

struct server *lineserver_create(void);
void lineserver_release(struct server *s);
int lineserver_init(struct server *s, struct skynet_context *ctx, const char *parm);

struct server *
lineserver_create(void)
{
	struct server *s = (struct server *)skynet_calloc(1, sizeof *s);
	s->listener = -1;
	return s;
}

static struct connection **
find(struct server *s, int id)
{
	struct connection **at = &s->all;
	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void
forget(struct connection **at)
{
	struct connection *c = *at;
	*at = c->next;
	skynet_free(c->pending);
	skynet_free(c);
}

void
lineserver_release(struct server *s)
{
	while (s->all) {
		skynet_socket_close(s->ctx, s->all->id);
		forget(&s->all);
	}
	if (s->listener >= 0)
		skynet_socket_close(s->ctx, s->listener);
	skynet_free(s);
}

/* Answers one line. Zero when it was the last. */
static int
line(struct server *s, struct connection *c, const char *text, size_t len)
{
	size_t room = len + 32;
	char *out;
	int n;
	if (len == 4 && memcmp(text, "quit", 4) == 0)
		return 0;
	out = (char *)skynet_malloc(room);
	n = snprintf(out, room, "%d %.*s\n", ++c->lines, (int)len, text);
	skynet_socket_send(s->ctx, c->id, out, n);
	return 1;
}

static void
data(struct server *s, int id, const char *bytes, size_t len)
{
	struct connection *c = *find(s, id);
	char *from, *end;
	if (c == NULL)
		return;
	c->pending = (char *)skynet_realloc(c->pending, c->len + len);
	memcpy(c->pending + c->len, bytes, len);
	c->len += len;
	from = c->pending;
	while ((end = (char *)memchr(from, '\n', c->len - (size_t)(from - c->pending))) != NULL) {
		if (!line(s, c, from, (size_t)(end - from))) {
			skynet_socket_close(s->ctx, id);
			return;
		}
		from = end + 1;
	}
	c->len -= (size_t)(from - c->pending);
	memmove(c->pending, from, c->len);
}

static void
event(struct server *s, const struct skynet_socket_message *m)
{
	struct connection *c, **at;
	switch (m->type) {
	case SKYNET_SOCKET_TYPE_CONNECT:
		if (m->id == s->listener && m->ud != 0)
			s->port = m->ud;
		break;
	case SKYNET_SOCKET_TYPE_ACCEPT:
		c = (struct connection *)skynet_calloc(1, sizeof *c);
		c->id = m->ud;
		c->next = s->all;
		s->all = c;
		skynet_socket_start(s->ctx, c->id);
		break;
	case SKYNET_SOCKET_TYPE_DATA:
		data(s, m->id, m->buffer, (size_t)m->ud);
		skynet_free(m->buffer);
		break;
	case SKYNET_SOCKET_TYPE_CLOSE:
	case SKYNET_SOCKET_TYPE_ERROR:
		at = find(s, m->id);
		if (*at) {
			skynet_socket_close(s->ctx, m->id);
			forget(at);
		}
		break;
	default:
		break;
	}
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct server *s = (struct server *)ud;
	char text[48];
	int n = 0;
	struct connection *c;
	if (type == PTYPE_SOCKET) {
		event(s, (const struct skynet_socket_message *)msg);
		return 0;
	}
	if (type != PTYPE_TEXT)
		return 0;
	if (sz == 4 && memcmp(msg, "port", 4) == 0) {
		n = s->port;
	} else {
		for (c = s->all; c; c = c->next)
			n++;
	}
	n = snprintf(text, sizeof text, "%d", n);
	skynet_send(ctx, 0, source, PTYPE_RESPONSE, session, text, (size_t)n);
	return 0;
}

int
lineserver_init(struct server *s, struct skynet_context *ctx, const char *parm)
{
	s->ctx = ctx;
	s->listener = skynet_socket_listen(ctx, parm, 0, BACKLOG);
	if (s->listener < 0)
		return 1;
	skynet_callback(ctx, s, on_message);
	skynet_socket_start(ctx, s->listener);
	return 0;
}

#ifdef __cplusplus
}
#endif
