/* The log of one service's messages (commands LOGON and LOGOFF). */
#ifndef skynet_log_h
#define skynet_log_h

#include "skynet_env.h"
#include "skynet.h"

#include <stdio.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens the message log of handle in the directory of logpath, or NULL. ctx is who asked. */
FILE *skynet_log_open(struct skynet_context *ctx, uint32_t handle);

/* Closes a message log. NULL is ignored. */
void skynet_log_close(struct skynet_context *ctx, FILE *f, uint32_t handle);

/* Writes the line of one message; the buffer stays the caller's. */
void skynet_log_output(FILE *f, uint32_t source, int type, int session, void *buffer, size_t sz);

#ifdef __cplusplus
}
#endif

#endif
