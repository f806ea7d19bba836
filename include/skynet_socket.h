/* Sockets of services. Events come as messages of type PTYPE_SOCKET. */
#ifndef skynet_socket_h
#define skynet_socket_h

#include "socket_info.h"
#include "socket_buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_context;

#define SKYNET_SOCKET_TYPE_DATA 1
#define SKYNET_SOCKET_TYPE_CONNECT 2
#define SKYNET_SOCKET_TYPE_CLOSE 3
#define SKYNET_SOCKET_TYPE_ACCEPT 4
#define SKYNET_SOCKET_TYPE_ERROR 5
#define SKYNET_SOCKET_TYPE_UDP 6
#define SKYNET_SOCKET_TYPE_WARNING 7

/* The data of a PTYPE_SOCKET message. With CONNECT, ACCEPT and ERROR, buffer is NULL and text without
   NUL follows the struct, as long as the message is longer than it. The buffer of DATA and UDP
   belongs to the receiver, who releases it with skynet_free. */
struct skynet_socket_message {
	int type;		/* SKYNET_SOCKET_TYPE_... */
	int id;
	int ud;
	char *buffer;
};

/* For the core only. */
void skynet_socket_init(void);
void skynet_socket_exit(void);
void skynet_socket_free(void);
int skynet_socket_poll(void);
void skynet_socket_updatetime(void);

/* 0, or -1 when the id is not valid. The buffer's type says what becomes of it. */
int skynet_socket_sendbuffer(struct skynet_context *ctx, struct socket_sendbuffer *buffer);
int skynet_socket_sendbuffer_lowpriority(struct skynet_context *ctx,
	struct socket_sendbuffer *buffer);

/* Each of these returns a socket id, or -1. */
int skynet_socket_listen(struct skynet_context *ctx, const char *host, int port, int backlog);
int skynet_socket_connect(struct skynet_context *ctx, const char *host, int port);
int skynet_socket_bind(struct skynet_context *ctx, int fd);

void skynet_socket_close(struct skynet_context *ctx, int id);
void skynet_socket_shutdown(struct skynet_context *ctx, int id);
void skynet_socket_start(struct skynet_context *ctx, int id);
void skynet_socket_pause(struct skynet_context *ctx, int id);
void skynet_socket_nodelay(struct skynet_context *ctx, int id);

int skynet_socket_udp(struct skynet_context *ctx, const char *addr, int port);
int skynet_socket_udp_connect(struct skynet_context *ctx, int id, const char *addr, int port);
int skynet_socket_udp_dial(struct skynet_context *ctx, const char *addr, int port);
int skynet_socket_udp_listen(struct skynet_context *ctx, const char *addr, int port);
int skynet_socket_udp_sendbuffer(struct skynet_context *ctx, const char *address,
	struct socket_sendbuffer *buffer);
/* The sender of a UDP message, for udp_sendbuffer; NULL when the message is none. */
const char *skynet_socket_udp_address(struct skynet_socket_message *msg, int *addrsz);

/* A list of all sockets, to be freed with socket_info_release. */
struct socket_info *skynet_socket_info(void);

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
