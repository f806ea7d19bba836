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

/* Bytes in use in the process, of the blocks that its malloc family gave out. */
size_t malloc_used_memory(void);

/* Blocks in use in the process. */
size_t malloc_memory_block(void);

/* Bytes in use by the service that runs on this thread. */
size_t malloc_current_memory(void);

/* Logs what every service uses. */
void dump_c_mem(void);

/* A Lua C function: pushes a table from handle to bytes. */
int dump_mem_lua(lua_State *state);

/* Prints the allocator's statistics on stderr; opts (or NULL) is jemalloc's. */
void memory_info_dump(const char *opts);

/* Reads a control of jemalloc of type size_t and, when newval is not NULL, sets it. Answers the
   value read, 0 for an unknown name. */
size_t mallctl_int64(const char *name, size_t *newval);

/* As mallctl_int64 for controls of type int; logs whether setting it worked. */
int mallctl_opt(const char *name, int *newval);

/* As mallctl_int64 for controls of type bool. */
bool mallctl_bool(const char *name, bool *newval);

/* Triggers a control that has no value: 0, or the allocator's error number. */
int mallctl_cmd(const char *name);

#ifdef __cplusplus
}
#endif

#endif
