/* Service contexts: launching, references, direct sends. */
#ifndef SKYNET_SERVER_H
#define SKYNET_SERVER_H

#include <stdint.h>
#include <stdlib.h>

#include "skynet_api.h"

#ifdef __cplusplus
extern "C" {
#endif

struct message_queue;
struct skynet_context;
struct skynet_message;
struct skynet_monitor;

#if SKYNET_API_HEAD
/* Launches a service: its handle, 0 on failure. */
uint32_t skynet_context_new(const char *name, const char *parm);
#endif

#if !SKYNET_API_HEAD
/* Launches a service: the context, NULL on failure or when it ended in its _init. The pointer is
   not a reference; it is good while the service lives. */
struct skynet_context *skynet_context_new(const char *name, const char *parm);
#endif

/* Takes one more reference. NULL is ignored. */
void skynet_context_grab(struct skynet_context *ctx);

/* As skynet_context_grab, and the service no longer counts as alive. NULL is ignored. */
void skynet_context_reserve(struct skynet_context *ctx);

/* The handle, 0 for NULL. */
uint32_t skynet_context_handle(struct skynet_context *ctx);

/* Queues a message for a handle: 0 and the data is the core's, or -1 and it stays the caller's. */
int skynet_context_push(uint32_t handle, struct skynet_message *message);

/* Queues a message for a context, whatever its state; takes msg over. */
void skynet_context_send(struct skynet_context *ctx, void *msg, size_t sz, uint32_t source,
	int type, int session);

/* A fresh session of the calling service; 0 for NULL. */
int skynet_context_newsession(struct skynet_context *ctx);

/* Runs one batch of q (of the next scheduled queue for NULL) and gives the queue to go on with, or
   NULL when there is nothing to do. */
struct message_queue *skynet_context_message_dispatch(struct skynet_monitor *sm,
	struct message_queue *q, int weight);

/* How many services keep the process alive. */
int skynet_context_total(void);

/* Dispatches everything queued for a context on this thread. NULL is ignored. */
void skynet_context_dispatchall(struct skynet_context *ctx);

/* Marks what a service does as endless. Unknown handles are ignored. */
void skynet_context_endless(uint32_t handle);

/* Prepares the process-wide state; the calling thread becomes the main thread. */
void skynet_globalinit(void);

/* The counterpart of skynet_globalinit; there is nothing to take down. */
void skynet_globalexit(void);

/* Says what kind of thread the caller is. */
void skynet_initthread(int kind);

/* Whether services launched from now on measure their CPU time. */
void skynet_profile_enable(int enable);

#if SKYNET_API_HEAD
/* Gives a reference back. */
void skynet_context_release(struct skynet_context *ctx);
#else
/* Gives a reference back: the pointer, or NULL if the service is gone with it. Level head's header
   says nothing of the result. */
struct skynet_context *skynet_context_release(struct skynet_context *ctx);
#endif

#ifdef __cplusplus
}
#endif

#endif
