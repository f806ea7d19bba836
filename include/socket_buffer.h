/* What is to be sent on a socket, and who owns it. */
#ifndef socket_buffer_h
#define socket_buffer_h

#include <stdlib.h>

/* From skynet_malloc; owned by the core from the call on. */
#define SOCKET_BUFFER_MEMORY 0
/* An object; needs an interface (socket_server.h), which modules cannot install. */
#define SOCKET_BUFFER_OBJECT 1
/* Stays the caller's, copied if it must be kept. */
#define SOCKET_BUFFER_RAWPOINTER 2

/* What is to be sent, where, and whose it is. */
struct socket_sendbuffer {
	int id;
	/* SOCKET_BUFFER_... */
	int type;
	const void *buffer;
	size_t sz;
};

#endif
