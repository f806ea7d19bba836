/* The socket engine below skynet_socket.h. The core's own instance cannot be reached through it. */
#ifndef skynet_socket_server_h
#define skynet_socket_server_h

#include <stdint.h>

#include "socket_info.h"
#include "socket_buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

@items socket_server.rs

#ifdef __cplusplus
}
#endif

#endif
