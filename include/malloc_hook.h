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

/* Bytes and blocks in use in the process, bytes in use by the running service. */
size_t malloc_used_memory(void);
size_t malloc_memory_block(void);
size_t malloc_current_memory(void);
/* The allocator's own statistics, on stderr. */
void memory_info_dump(const char *opts);

/* Controls of jemalloc: each answers the value before and, unless newval is NULL, sets the new one. */
size_t mallctl_int64(const char *name, size_t *newval);
int mallctl_opt(const char *name, int *newval);
bool mallctl_bool(const char *name, bool *newval);
/* A control without value; 0 or an error number. */
int mallctl_cmd(const char *name);

/* Logs what each service uses; a Lua C function that answers it as a table. */
void dump_c_mem(void);
int dump_mem_lua(lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
