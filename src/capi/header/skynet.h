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

@items skynet.rs without skynetx_error_bytes

#ifdef __cplusplus
}
#endif

#endif
