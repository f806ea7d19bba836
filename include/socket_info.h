/* Snapshots of sockets, for statistics (skynet_socket_info). */
#ifndef socket_info_h
#define socket_info_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SOCKET_INFO_UNKNOWN 0
#define SOCKET_INFO_LISTEN 1
#define SOCKET_INFO_TCP 2
#define SOCKET_INFO_UDP 3
#define SOCKET_INFO_BIND 4
#define SOCKET_INFO_CLOSING 5

struct socket_info {
	int id;
	int type;		/* SOCKET_INFO_... */
	uint64_t opaque;	/* handle of the owner */
	uint64_t read;		/* bytes; accepted connections of a listener */
	uint64_t write;
	uint64_t rtime;		/* skynet_now() of the last read and write, 0 for never */
	uint64_t wtime;
	int64_t wbuffer;	/* bytes that wait to be written */
	uint8_t reading;	/* polled for */
	uint8_t writing;
	char name[128];		/* address and port */
	struct socket_info *next;
};

/* A zeroed node in front of last. */
struct socket_info *socket_info_create(struct socket_info *last);
/* Frees the whole list. */
void socket_info_release(struct socket_info *list);

#ifdef __cplusplus
}
#endif

#endif
