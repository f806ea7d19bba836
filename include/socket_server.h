/* The socket engine below skynet_socket.h. The core's own instance cannot be reached through it. */
#ifndef skynet_socket_server_h
#define skynet_socket_server_h

#include <stdint.h>

#include "socket_info.h"
#include "socket_buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct socket_server;
struct socket_udp_address;

/* What poll returns. */
#define SOCKET_DATA 0
#define SOCKET_CLOSE 1
#define SOCKET_OPEN 2
#define SOCKET_ACCEPT 3
#define SOCKET_ERR 4
#define SOCKET_EXIT 5
#define SOCKET_UDP 6
#define SOCKET_WARNING 7
/* Never leaves the engine; ours does not use it. */
#define SOCKET_RST 8
/* Never leaves the engine; ours does not use it. */
#define SOCKET_MORE 9

/* One event. */
struct socket_message {
	int id;
	uintptr_t opaque;
	int ud;
	char *data;
};

/* How the engine reads and frees buffers of type SOCKET_BUFFER_OBJECT. */
struct socket_object_interface {
	const void *(*buffer)(const void *object);
	size_t (*size)(const void *object);
	void (*free)(void *object);
};

/* A new engine whose clock shows time; NULL when the system refuses (the reason is logged). */
struct socket_server *socket_server_create(uint64_t time);

/* Ends all sockets without events and frees the engine. NULL is ignored. */
void socket_server_release(struct socket_server *ss);

/* Sets the clock that rtime and wtime are taken from. */
void socket_server_updatetime(struct socket_server *ss, uint64_t time);

/* Waits for the next event, fills result and returns its code. more is set to 1 when another one
   may be had without waiting, to 0 otherwise. SOCKET_EXIT for NULL; without result the event is
   lost. */
int socket_server_poll(struct socket_server *ss, struct socket_message *result, int *more);

/* Makes poll return SOCKET_EXIT once everything asked for before is done. */
void socket_server_exit(struct socket_server *ss);

/* As skynet_socket_close; opaque is not used. */
void socket_server_close(struct socket_server *ss, uintptr_t opaque, int id);

/* As skynet_socket_shutdown; opaque is not used. */
void socket_server_shutdown(struct socket_server *ss, uintptr_t opaque, int id);

/* As skynet_socket_start, for the owner opaque. */
void socket_server_start(struct socket_server *ss, uintptr_t opaque, int id);

/* As skynet_socket_pause; opaque is not used. */
void socket_server_pause(struct socket_server *ss, uintptr_t opaque, int id);

/* As skynet_socket_sendbuffer; -1 for NULL, which leaves the buffer with the caller. */
int socket_server_send(struct socket_server *ss, struct socket_sendbuffer *buffer);

/* As skynet_socket_sendbuffer_lowpriority; -1 for NULL, which leaves the buffer with the caller. */
int socket_server_send_lowpriority(struct socket_server *ss, struct socket_sendbuffer *buffer);

/* As skynet_socket_listen, for the owner opaque. */
int socket_server_listen(struct socket_server *ss, uintptr_t opaque, const char *addr, int port,
	int backlog);

/* As skynet_socket_connect, for the owner opaque. */
int socket_server_connect(struct socket_server *ss, uintptr_t opaque, const char *addr, int port);

/* As skynet_socket_bind, for the owner opaque. */
int socket_server_bind(struct socket_server *ss, uintptr_t opaque, int fd);

/* As skynet_socket_nodelay. */
void socket_server_nodelay(struct socket_server *ss, int id);

/* As skynet_socket_udp, for the owner opaque. */
int socket_server_udp(struct socket_server *ss, uintptr_t opaque, const char *addr, int port);

/* As skynet_socket_udp_dial, for the owner opaque. */
int socket_server_udp_dial(struct socket_server *ss, uintptr_t opaque, const char *addr, int port);

/* As skynet_socket_udp_listen, for the owner opaque. */
int socket_server_udp_listen(struct socket_server *ss, uintptr_t opaque, const char *addr,
	int port);

/* As skynet_socket_udp_connect. */
int socket_server_udp_connect(struct socket_server *ss, int id, const char *addr, int port);

/* As skynet_socket_udp_sendbuffer; -1 for NULL, which leaves the buffer with the caller. */
int socket_server_udp_send(struct socket_server *ss, const struct socket_udp_address *addr,
	struct socket_sendbuffer *buffer);

/* The encoded sender of a UDP event and, in addrsz, its length; NULL for NULL and for an unknown
   tag. The message must be one that poll returned with SOCKET_UDP. */
const struct socket_udp_address *socket_server_udp_address(struct socket_server *ss,
	struct socket_message *msg, int *addrsz);

/* Installs how buffers of type OBJECT are read and freed. NULL, or a NULL function in it, changes
   nothing. */
void socket_server_userobject(struct socket_server *ss, struct socket_object_interface *soi);

/* As skynet_socket_info. */
struct socket_info *socket_server_info(struct socket_server *ss);

#ifdef __cplusplus
}
#endif

#endif
