/* Snapshots of sockets, for statistics (skynet_socket_info). */
#ifndef socket_info_h
#define socket_info_h

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

@items socket_info.rs

#ifdef __cplusplus
}
#endif

#endif
