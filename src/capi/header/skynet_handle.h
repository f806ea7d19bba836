/* Handles and names of services. */
#ifndef SKYNET_CONTEXT_HANDLE_H
#define SKYNET_CONTEXT_HANDLE_H

#include <stdint.h>

#include "skynet_api.h"

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_handle.rs without skynet_handle_init skynet_handle_register_thread

#if SKYNET_API_HEAD
@items skynet_handle.rs only skynet_handle_init skynet_handle_register_thread
#else
/* Sets the node number of handles to come. */
void skynet_handle_init(int harbor);
#endif

#ifdef __cplusplus
}
#endif

#endif
