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

/* Message types. */
#define PTYPE_TEXT 0
#define PTYPE_RESPONSE 1
#define PTYPE_MULTICAST 2
#define PTYPE_CLIENT 3
#define PTYPE_SYSTEM 4
#define PTYPE_HARBOR 5
#define PTYPE_SOCKET 6
#define PTYPE_ERROR 7
#define PTYPE_RESERVED_QUEUE 8
#define PTYPE_RESERVED_DEBUG 9
#define PTYPE_RESERVED_LUA 10
#define PTYPE_RESERVED_SNAX 11

/* Flags in the type argument of the send functions. */
#define PTYPE_TAG_DONTCOPY 0x10000	/* the core takes msg over, whatever the result */
#define PTYPE_TAG_ALLOCSESSION 0x20000	/* the core draws the session, the argument is 0 */

struct skynet_context;

/* Formats like printf and sends the text to the log service. ctx may be NULL. */
void skynet_error(struct skynet_context *context, const char *msg, ...);

/* A text command. The result is NULL or a string that is valid until the next command. */
const char *skynet_command(struct skynet_context *context, const char *cmd, const char *parm);

/* The handle behind ":hex" or ".name", 0 when there is none. */
uint32_t skynet_queryname(struct skynet_context *context, const char *name);

/* The session, -1 when there is no such receiver, -2 when the message is too large. */
int skynet_send(struct skynet_context *context, uint32_t source, uint32_t destination, int type,
	int session, void *msg, size_t sz);
int skynet_sendname(struct skynet_context *context, uint32_t source, const char *destination,
	int type, int session, void *msg, size_t sz);

/* Non-zero when the handle is one of another node; *harbor (unless NULL) is its node number. */
int skynet_isremote(struct skynet_context *context, uint32_t handle, int *harbor);

/* Returns 0 to let the core free msg, anything else to keep it. */
typedef int (*skynet_cb)(struct skynet_context *context, void *ud, int type, int session,
	uint32_t source, const void *msg, size_t sz);
void skynet_callback(struct skynet_context *context, void *ud, skynet_cb cb);

/* The service whose message this thread dispatched last. */
uint32_t skynet_current_handle(void);

/* Centiseconds, see skynet_starttime in skynet_timer.h. */
uint64_t skynet_now(void);

/* One line on stderr: the running service and what memory it has. */
void skynet_debug_memory(const char *info);

#ifdef __cplusplus
}
#endif

#endif
