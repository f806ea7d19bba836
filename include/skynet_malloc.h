/*
 * Memory that crosses the border between modules and the core: the malloc family of the process,
 * under names that say so. What one side allocates the other may free.
 */
#ifndef skynet_malloc_h
#define skynet_malloc_h

#include <stddef.h>

#include "skynet_api.h"

#define skynet_aligned_alloc aligned_alloc
#define skynet_calloc calloc
#define skynet_free free
#define skynet_malloc malloc
#define skynet_memalign memalign
#define skynet_posix_memalign posix_memalign
#define skynet_realloc realloc

#ifdef __cplusplus
/* C++ libraries declare the family with exception specifications, which a repetition must match. */
extern "C++" {
#include <stdlib.h>
#ifdef __linux__
#include <malloc.h>
#endif
}
extern "C" {
#else
void *skynet_malloc(size_t size);
void *skynet_calloc(size_t count, size_t size);
void *skynet_realloc(void *ptr, size_t size);
void skynet_free(void *ptr);
void *skynet_aligned_alloc(size_t alignment, size_t size);
int skynet_posix_memalign(void **memptr, size_t alignment, size_t size);
#endif

#if !defined(__cplusplus) || !defined(__linux__)
void *skynet_memalign(size_t alignment, size_t size);
#endif

#if !SKYNET_API_HEAD
/* A copy of a string, to be released with skynet_free. NULL gives NULL. */
char *skynet_strdup(const char *str);
#endif

/* Resizes a block of the raw allocator, for Lua states: no accounting, and NULL when memory runs
   out. nsize 0 frees ptr and answers NULL. osize is not needed. */
void *skynet_lalloc(void *ptr, size_t osize, size_t nsize);

#ifdef __cplusplus
}
#endif

#endif
