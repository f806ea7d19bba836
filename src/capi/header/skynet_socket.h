/* Sockets of services. Events come as messages of type PTYPE_SOCKET. */
#ifndef skynet_socket_h
#define skynet_socket_h

#include "socket_info.h"
#include "socket_buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_socket.rs

/* The interface of earlier releases: a memory buffer of sz bytes, or an object when sz is negative. */

static inline void
sendbuffer_init_(struct socket_sendbuffer *buf, int id, const void *buffer, int sz)
{
	buf->id = id;
	buf->type = sz < 0 ? SOCKET_BUFFER_OBJECT : SOCKET_BUFFER_MEMORY;
	buf->buffer = buffer;
	buf->sz = (size_t)sz;
}

static inline int
skynet_socket_send(struct skynet_context *ctx, int id, void *buffer, int sz)
{
	struct socket_sendbuffer out;
	sendbuffer_init_(&out, id, buffer, sz);
	return skynet_socket_sendbuffer(ctx, &out);
}

static inline int
skynet_socket_send_lowpriority(struct skynet_context *ctx, int id, void *buffer, int sz)
{
	struct socket_sendbuffer out;
	sendbuffer_init_(&out, id, buffer, sz);
	return skynet_socket_sendbuffer_lowpriority(ctx, &out);
}

static inline int
skynet_socket_udp_send(struct skynet_context *ctx, int id, const char *address, const void *buffer,
	int sz)
{
	struct socket_sendbuffer out;
	sendbuffer_init_(&out, id, buffer, sz);
	return skynet_socket_udp_sendbuffer(ctx, address, &out);
}

#ifdef __cplusplus
}
#endif

#endif
