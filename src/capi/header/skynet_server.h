/* Service contexts: launching, references, direct sends. */
#ifndef SKYNET_SERVER_H
#define SKYNET_SERVER_H

#include <stdint.h>
#include <stdlib.h>

#include "skynet_api.h"

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_server.rs without skynet_context_release

#if SKYNET_API_HEAD
/* Gives a reference back. */
void skynet_context_release(struct skynet_context *ctx);
#else
@items skynet_server.rs only skynet_context_release
#endif

#ifdef __cplusplus
}
#endif

#endif
