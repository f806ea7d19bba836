/* What the services of these tests share. */
#ifndef sock_h
#define sock_h

#include "skynet.h"
#include "skynet_socket.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line for the test. */
static inline void
say(const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof line - 1, format, args);
	va_end(args);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n] = '\n';
	fwrite(line, 1, (size_t)n + 1, stdout);
	fflush(stdout);
}

/* The text behind an event, with a NUL. */
static inline const char *
event_text(const struct skynet_socket_message *m, size_t sz, char *room, size_t size)
{
	size_t n = sz > sizeof *m ? sz - sizeof *m : 0;

	if (m->buffer != NULL)
		n = 0;
	if (n > size - 1)
		n = size - 1;
	memcpy(room, m + 1, n);
	room[n] = '\0';
	return room;
}

static inline uint32_t
launch(struct skynet_context *ctx, const char *line)
{
	const char *address = skynet_command(ctx, "LAUNCH", line);

	if (address == NULL) {
		say("FAIL cannot launch %s", line);
		return 0;
	}
	return (uint32_t)strtoul(address + 1, NULL, 16);
}

static inline uint32_t
self_handle(struct skynet_context *ctx)
{
	return (uint32_t)strtoul(skynet_command(ctx, "REG", NULL) + 1, NULL, 16);
}

/* Sends bytes that stay ours. */
static inline int
send_raw(struct skynet_context *ctx, int id, const void *bytes, size_t n)
{
	struct socket_sendbuffer out;

	out.id = id;
	out.type = SOCKET_BUFFER_RAWPOINTER;
	out.buffer = bytes;
	out.sz = n;
	return skynet_socket_sendbuffer(ctx, &out);
}

#endif
