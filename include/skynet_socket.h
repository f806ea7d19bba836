/* Sockets of services. Events come as messages of type PTYPE_SOCKET. */
#ifndef skynet_socket_h
#define skynet_socket_h

#include "socket_info.h"
#include "socket_buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_context;

/* What happened, in the type of an event. */
#define SKYNET_SOCKET_TYPE_DATA 1
#define SKYNET_SOCKET_TYPE_CONNECT 2
#define SKYNET_SOCKET_TYPE_CLOSE 3
#define SKYNET_SOCKET_TYPE_ACCEPT 4
#define SKYNET_SOCKET_TYPE_ERROR 5
#define SKYNET_SOCKET_TYPE_UDP 6
#define SKYNET_SOCKET_TYPE_WARNING 7

/* The data of a PTYPE_SOCKET message. With CONNECT, ACCEPT and ERROR, buffer is NULL and text
   without NUL follows the struct, as long as the message is longer than it. The buffer of DATA and
   UDP belongs to the receiver, who releases it with skynet_free. */
struct skynet_socket_message {
	int type;
	int id;
	int ud;
	char *buffer;
};

/* Sends on a TCP id, or one datagram to the default destination of a UDP id: 0, or -1 for NULL, an
   unknown id, one that is being closed, an unknown buffer type, or an OBJECT (no interface can be
   installed for the node's engine). MEMORY is the engine's in any case. ctx is not used. */
int skynet_socket_sendbuffer(struct skynet_context *ctx, struct socket_sendbuffer *buffer);

/* As skynet_socket_sendbuffer, behind everything that is not low priority; data for an id that is
   being closed is dropped with result 0. */
int skynet_socket_sendbuffer_lowpriority(struct skynet_context *ctx,
	struct socket_sendbuffer *buffer);

/* Listens on the first address of host (NULL or "": 0.0.0.0): the id, or -1 and a log line that
   says why. ctx NULL counts as handle 0. */
int skynet_socket_listen(struct skynet_context *ctx, const char *host, int port, int backlog);

/* Connects to host: the id at once and the result as an event, or -1 for NULL, a name of more than
   231 bytes (logged) and a full table. */
int skynet_socket_connect(struct skynet_context *ctx, const char *host, int port);

/* Adopts a descriptor: the id, or -1 when the table is full. A bad descriptor gives an id and an
   ERROR. */
int skynet_socket_bind(struct skynet_context *ctx, int fd);

/* Closes a socket once its output is out. Nothing happens for an unknown id. */
void skynet_socket_close(struct skynet_context *ctx, int id);

/* Closes a socket at once. Nothing happens for an unknown id. */
void skynet_socket_shutdown(struct skynet_context *ctx, int id);

/* Starts or resumes a socket; an unknown id gives the caller an ERROR. */
void skynet_socket_start(struct skynet_context *ctx, int id);

/* Stops reading or accepting. Nothing happens for an unknown id. */
void skynet_socket_pause(struct skynet_context *ctx, int id);

/* Switches Nagle's algorithm off. Nothing happens for an unknown id. */
void skynet_socket_nodelay(struct skynet_context *ctx, int id);

/* A UDP socket, bound if addr is not NULL or port is not 0: the id, or -1. */
int skynet_socket_udp(struct skynet_context *ctx, const char *addr, int port);

/* Sets the default destination of a UDP id: 0, or -1 for NULL, an id that is none of UDP's, or a
   name without address. */
int skynet_socket_udp_connect(struct skynet_context *ctx, int id, const char *addr, int port);

/* A UDP socket with a default destination: the id, or -1 (NULL included). */
int skynet_socket_udp_dial(struct skynet_context *ctx, const char *addr, int port);

/* A UDP socket bound to a port: the id, or -1 (port 0 included). */
int skynet_socket_udp_listen(struct skynet_context *ctx, const char *addr, int port);

/* Sends one datagram to an encoded address: 0, or -1 for NULL, an unknown id or tag, or the wrong
   family. ctx is not used. */
int skynet_socket_udp_sendbuffer(struct skynet_context *ctx, const char *address,
	struct socket_sendbuffer *buffer);

/* The encoded sender of a UDP event and, in addrsz, its length; NULL for other events, an unknown
   tag, and NULL. */
const char *skynet_socket_udp_address(struct skynet_socket_message *msg, int *addrsz);

/* Snapshots of all sockets, highest slot first, for socket_info_release; NULL if there are none. */
struct socket_info *skynet_socket_info(void);

/* Makes the node's engine. Ends the process when the system refuses (the reason is logged). */
void skynet_socket_init(void);

/* Tells whoever polls to stop. Nothing happens without an engine. */
void skynet_socket_exit(void);

/* Ends all sockets without events. Nothing happens without an engine. */
void skynet_socket_free(void);

/* Waits for one event and delivers it: 0 when the engine was told to stop or does not exist, 1
   after the last event of a batch, -1 when there may be more. */
int skynet_socket_poll(void);

/* Does nothing: the node's engine asks the node's clock itself. */
void skynet_socket_updatetime(void);

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
