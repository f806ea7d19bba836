/* What is to be sent on a socket, and who owns it. */
#ifndef socket_buffer_h
#define socket_buffer_h

#include <stdlib.h>

@items socket_buffer.rs

#endif
