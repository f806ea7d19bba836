/*
 * The interface of services: what every C service includes.
 *
 * A service module exports NAME_init and, as it needs them, NAME_create, NAME_release, NAME_signal
 * (types in skynet_module.h), and sets its callback in NAME_init.
 */
#ifndef SKYNET_H
#define SKYNET_H

#include "skynet_malloc.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_context;

/* Formats like printf and sends the text to the log service. ctx may be NULL. */
void skynet_error(struct skynet_context *ctx, const char *msg, ...);

/* Message types: text for the logger, the gate, the launcher. */
#define PTYPE_TEXT 0
/* The answer to a request, or a timer that ran out. */
#define PTYPE_RESPONSE 1
#define PTYPE_MULTICAST 2
/* Of a client; also what the monitor service is told of ends. */
#define PTYPE_CLIENT 3
/* From the core: reopen the log; a message for another node. */
#define PTYPE_SYSTEM 4
/* Text for the harbor service. */
#define PTYPE_HARBOR 5
/* Socket events, see skynet_socket.h. */
#define PTYPE_SOCKET 6
/* A request with this session gets no answer. */
#define PTYPE_ERROR 7
/* Used by the Lua libraries, as the next three. */
#define PTYPE_RESERVED_QUEUE 8
#define PTYPE_RESERVED_DEBUG 9
#define PTYPE_RESERVED_LUA 10
#define PTYPE_RESERVED_SNAX 11
/* Flag in the type of a send: the core takes msg over, whatever the result. */
#define PTYPE_TAG_DONTCOPY 0x10000
/* Flag in the type of a send: the core draws the session, the argument is 0. */
#define PTYPE_TAG_ALLOCSESSION 0x20000

/* What a service does with a message. It returns 0 to let the core free msg, anything else to keep
   it. */
typedef int (*skynet_cb)(struct skynet_context *ctx, void *ud, int type, int session,
	uint32_t source, const void *msg, size_t sz);

/* Runs a text command. NULL for an unknown one, or without context; else a string that is valid
   until the next command of this service. */
const char *skynet_command(struct skynet_context *ctx, const char *cmd, const char *parm);

/* The handle behind ":hex" or ".name", 0 for anything else. */
uint32_t skynet_queryname(struct skynet_context *ctx, const char *name);

/* Sends a message: the session, -1 without such a service, -2 when it is too large. ctx may be NULL
   when source is given and no session is drawn. */
int skynet_send(struct skynet_context *ctx, uint32_t source, uint32_t destination, int type,
	int session, void *msg, size_t sz);

/* Sends to an address text, see skynet_send. NULL counts as the global name "". */
int skynet_sendname(struct skynet_context *ctx, uint32_t source, const char *destination, int type,
	int session, void *msg, size_t sz);

/* Non-zero when the handle belongs to another node; *harbor (unless NULL) is its node number. */
int skynet_isremote(struct skynet_context *ctx, uint32_t handle, int *harbor);

/* Sets the callback of the calling service for its next message on; NULL lets messages be dropped.
   Nothing happens without context. */
void skynet_callback(struct skynet_context *ctx, void *ud, skynet_cb cb);

/* Handle of the service whose message this thread dispatched last. */
uint32_t skynet_current_handle(void);

/* Centiseconds since the node started. */
uint64_t skynet_now(void);

/* Prints the running service's handle and its bytes (in the form of a pointer) on stderr, with info
   between them; NULL is an empty text. */
void skynet_debug_memory(const char *info);

#ifdef __cplusplus
}
#endif

#endif
