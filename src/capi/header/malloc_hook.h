/* Memory statistics and the allocator's controls. */
#ifndef SKYNET_MALLOC_HOOK_H
#define SKYNET_MALLOC_HOOK_H

#include <stdlib.h>
#include <stdbool.h>

#include "skynet_api.h"
#if SKYNET_API_HEAD
#include "mem_info.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#include <lua.h>

@items malloc_hook.rs

#ifdef __cplusplus
}
#endif

#endif
