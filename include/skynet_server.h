/* Service contexts: launching, references, direct sends. */
#ifndef SKYNET_SERVER_H
#define SKYNET_SERVER_H

#include <stdint.h>
#include <stdlib.h>

#include "skynet_api.h"

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_context;
struct skynet_message;
struct skynet_monitor;
struct message_queue;

#if SKYNET_API_HEAD
/* Launches a service: its handle, 0 when that failed. */
uint32_t skynet_context_new(const char *name, const char *parm);
void skynet_context_release(struct skynet_context *ctx);
#else
/* Launches a service: its context, NULL when that failed. */
struct skynet_context *skynet_context_new(const char *name, const char *parm);
/* The context, or NULL when this was the last reference. */
struct skynet_context *skynet_context_release(struct skynet_context *ctx);
#endif

void skynet_context_grab(struct skynet_context *ctx);
/* As grab, and the service no longer counts as alive. */
void skynet_context_reserve(struct skynet_context *ctx);
uint32_t skynet_context_handle(struct skynet_context *ctx);
/* 0, or -1 when there is no such service and the data stays the caller's. */
int skynet_context_push(uint32_t handle, struct skynet_message *message);
/* Queues a message and takes over msg. */
void skynet_context_send(struct skynet_context *context, void *msg, size_t sz, uint32_t source,
	int type, int session);
int skynet_context_newsession(struct skynet_context *ctx);
/* Dispatches one batch; the queue to go on with, or NULL. */
struct message_queue *skynet_context_message_dispatch(struct skynet_monitor *sm,
	struct message_queue *q, int weight);
/* How many services are alive. */
int skynet_context_total(void);
void skynet_context_dispatchall(struct skynet_context *context);

/* Marks a service as caught in an endless loop. */
void skynet_context_endless(uint32_t handle);

void skynet_globalinit(void);
void skynet_globalexit(void);
void skynet_initthread(int m);

void skynet_profile_enable(int enable);

#ifdef __cplusplus
}
#endif

#endif
