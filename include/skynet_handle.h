/* Handles and names of services. */
#ifndef SKYNET_CONTEXT_HANDLE_H
#define SKYNET_CONTEXT_HANDLE_H

#include <stdint.h>

#include "skynet_api.h"

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_context;

/* The local part of a handle; the node number is above it. */
#define HANDLE_MASK 0xffffff
#define HANDLE_REMOTE_SHIFT 24

/* Gives a context a handle. The table takes a reference of its own. 0 for NULL. */
uint32_t skynet_handle_register(struct skynet_context *ctx);

/* Ends a service: 1 when it was alive, else 0. */
int skynet_handle_retire(uint32_t handle);

/* A reference to a live service, to be given back by skynet_context_release, or NULL. */
struct skynet_context *skynet_handle_grab(uint32_t handle);

/* Ends every service; none can be launched any more. */
void skynet_handle_retireall(void);

/* The handle that owns a name (without its dot), or 0. */
uint32_t skynet_handle_findname(const char *name);

/* Names a handle: the table's copy of the name, good until the handle is retired, or NULL when it
   is taken. */
const char *skynet_handle_namehandle(uint32_t handle, const char *name);

#if SKYNET_API_HEAD
/* Sets the node number of handles to come. thread is for level head; callers of level 1.8 do not
   pass it, and it is not used. */
void skynet_handle_init(int harbor, int thread);

/* Announces a thread (level head). Threads that are not announced work as well. */
void skynet_handle_register_thread(void);
#else
/* Sets the node number of handles to come. */
void skynet_handle_init(int harbor);
#endif

#ifdef __cplusplus
}
#endif

#endif
