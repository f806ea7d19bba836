/* What is to be sent on a socket, and who owns it. */
#ifndef socket_buffer_h
#define socket_buffer_h

#include <stdlib.h>

#define SOCKET_BUFFER_MEMORY 0		/* from skynet_malloc, owned by the core from the call on */
#define SOCKET_BUFFER_OBJECT 1		/* needs an object interface, which modules cannot install */
#define SOCKET_BUFFER_RAWPOINTER 2	/* stays the caller's, copied if it must be kept */

struct socket_sendbuffer {
	int id;
	int type;		/* SOCKET_BUFFER_... */
	const void *buffer;
	size_t sz;
};

#endif
