/* Snapshots of sockets, for statistics (skynet_socket_info). */
#ifndef socket_info_h
#define socket_info_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a socket is. */
#define SOCKET_INFO_UNKNOWN 0
#define SOCKET_INFO_LISTEN 1
#define SOCKET_INFO_TCP 2
#define SOCKET_INFO_UDP 3
#define SOCKET_INFO_BIND 4
#define SOCKET_INFO_CLOSING 5

/* A snapshot of one socket, in a list of them. */
struct socket_info {
	int id;
	/* SOCKET_INFO_... */
	int type;
	/* Handle of the owner. */
	uint64_t opaque;
	/* Bytes; of a listener, accepted connections. */
	uint64_t read;
	uint64_t write;
	/* skynet_now() of the last read; 0 for never. */
	uint64_t rtime;
	/* The same of the last write. */
	uint64_t wtime;
	/* Bytes that wait to be written. */
	int64_t wbuffer;
	/* Whether the socket is polled for that. */
	uint8_t reading;
	uint8_t writing;
	/* Address and port. */
	char name[128];
	struct socket_info *next;
};

/* A new zeroed node in front of last, which may be NULL. */
struct socket_info *socket_info_create(struct socket_info *last);

/* Frees a whole list. NULL is an empty list. */
void socket_info_release(struct socket_info *si);

#ifdef __cplusplus
}
#endif

#endif
