/* Counters of allocations, for modules that keep some of their own. */
#ifndef _MEM_INFO_H_
#define _MEM_INFO_H_

#ifndef __cplusplus
#include <stdalign.h>
#endif
#include <stddef.h>

#include "atomic.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The size of a cache line. */
#define CACHE_LINE_SIZE 64

/* Running totals, for one thread at a time. */
typedef struct {
	size_t alloc;
	size_t alloc_count;
	size_t free;
	size_t free_count;
} MemInfo;

/* Running totals for many threads; allocations and releases are in lines of their own. */
typedef struct {
	ATOM_SIZET alloc __attribute__((aligned(CACHE_LINE_SIZE)));
	ATOM_SIZET alloc_count;
	ATOM_SIZET free __attribute__((aligned(CACHE_LINE_SIZE)));
	ATOM_SIZET free_count;
} AtomicMemInfo;

/* Sets all totals to 0. */
void meminfo_init(MemInfo *info);

/* Counts one allocation of size bytes. */
void meminfo_alloc(MemInfo *info, size_t size);

/* Counts one release of size bytes. */
void meminfo_free(MemInfo *info, size_t size);

/* Adds the totals of src to dest. */
void meminfo_merge(MemInfo *dest, const MemInfo *src);

/* Sets all totals to 0. */
void atomic_meminfo_init(AtomicMemInfo *info);

/* Counts one allocation of size bytes; from any thread. */
void atomic_meminfo_alloc(AtomicMemInfo *info, size_t size);

/* Counts one release of size bytes; from any thread. */
void atomic_meminfo_free(AtomicMemInfo *info, size_t size);

/* Adds the totals of src to dest. */
void atomic_meminfo_merge(MemInfo *dest, const AtomicMemInfo *src);

#ifdef __cplusplus
}
#endif

#endif
