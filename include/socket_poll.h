/* Types of upstream's polling layer. Its functions were private to the engine; ours has no use for
   the types either, they are here for sources that name them. */
#ifndef socket_poll_h
#define socket_poll_h

#include <stdbool.h>

typedef int poll_fd;

struct event {
	void *s;
	bool read;
	bool write;
	bool error;
	bool eof;
};

#endif
