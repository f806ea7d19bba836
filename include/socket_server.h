/* The socket engine below skynet_socket.h. The core's own instance cannot be reached through it. */
#ifndef skynet_socket_server_h
#define skynet_socket_server_h

#include <stdint.h>
#include "socket_info.h"
#include "socket_buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SOCKET_DATA 0
#define SOCKET_CLOSE 1
#define SOCKET_OPEN 2
#define SOCKET_ACCEPT 3
#define SOCKET_ERR 4
#define SOCKET_EXIT 5
#define SOCKET_UDP 6
#define SOCKET_WARNING 7
/* These two never leave the engine. */
#define SOCKET_RST 8
#define SOCKET_MORE 9

struct socket_server;
struct socket_udp_address;

struct socket_message {
	int id;
	uintptr_t opaque;
	int ud;
	char *data;
};

/* How the engine reads and releases buffers of type SOCKET_BUFFER_OBJECT. */
struct socket_object_interface {
	const void *(*buffer)(const void *object);
	size_t (*size)(const void *object);
	void (*free)(void *object);
};

struct socket_server *socket_server_create(uint64_t time);
void socket_server_release(struct socket_server *ss);
void socket_server_updatetime(struct socket_server *ss, uint64_t time);
int socket_server_poll(struct socket_server *ss, struct socket_message *result, int *more);

void socket_server_exit(struct socket_server *ss);
void socket_server_close(struct socket_server *ss, uintptr_t opaque, int id);
void socket_server_shutdown(struct socket_server *ss, uintptr_t opaque, int id);
void socket_server_start(struct socket_server *ss, uintptr_t opaque, int id);
void socket_server_pause(struct socket_server *ss, uintptr_t opaque, int id);

int socket_server_send(struct socket_server *ss, struct socket_sendbuffer *buffer);
int socket_server_send_lowpriority(struct socket_server *ss, struct socket_sendbuffer *buffer);

int socket_server_listen(struct socket_server *ss, uintptr_t opaque, const char *addr, int port,
	int backlog);
int socket_server_connect(struct socket_server *ss, uintptr_t opaque, const char *addr, int port);
int socket_server_bind(struct socket_server *ss, uintptr_t opaque, int fd);
void socket_server_nodelay(struct socket_server *ss, int id);

int socket_server_udp(struct socket_server *ss, uintptr_t opaque, const char *addr, int port);
int socket_server_udp_connect(struct socket_server *ss, int id, const char *addr, int port);
int socket_server_udp_dial(struct socket_server *ss, uintptr_t opaque, const char *addr, int port);
int socket_server_udp_listen(struct socket_server *ss, uintptr_t opaque, const char *addr, int port);
int socket_server_udp_send(struct socket_server *ss, const struct socket_udp_address *addr,
	struct socket_sendbuffer *buffer);
const struct socket_udp_address *socket_server_udp_address(struct socket_server *ss,
	struct socket_message *msg, int *addrsz);

void socket_server_userobject(struct socket_server *ss, struct socket_object_interface *soi);
struct socket_info *socket_server_info(struct socket_server *ss);

#ifdef __cplusplus
}
#endif

#endif
