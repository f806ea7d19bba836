/* Handles and names of services. */
#ifndef SKYNET_CONTEXT_HANDLE_H
#define SKYNET_CONTEXT_HANDLE_H

#include <stdint.h>

#include "skynet_api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The local part of a handle; the node number is above it. */
#define HANDLE_MASK 0xffffff
#define HANDLE_REMOTE_SHIFT 24

struct skynet_context;

uint32_t skynet_handle_register(struct skynet_context *ctx);
/* 1 when the service was alive. */
int skynet_handle_retire(uint32_t handle);
/* A reference, to be given back with skynet_context_release, or NULL. */
struct skynet_context *skynet_handle_grab(uint32_t handle);
void skynet_handle_retireall(void);

/* Names are without their dot here. */
uint32_t skynet_handle_findname(const char *name);
/* The registered name, or NULL when it is taken. */
const char *skynet_handle_namehandle(uint32_t handle, const char *name);

#if SKYNET_API_HEAD
void skynet_handle_init(int harbor, int thread);
void skynet_handle_register_thread(void);
#else
void skynet_handle_init(int harbor);
#endif

#ifdef __cplusplus
}
#endif

#endif
