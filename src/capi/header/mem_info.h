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

@items mem_info.rs only CACHE_LINE_SIZE MemInfo

/* Running totals for many threads; allocations and releases are in lines of their own. */
typedef struct {
	ATOM_SIZET alloc __attribute__((aligned(CACHE_LINE_SIZE)));
	ATOM_SIZET alloc_count;
	ATOM_SIZET free __attribute__((aligned(CACHE_LINE_SIZE)));
	ATOM_SIZET free_count;
} AtomicMemInfo;

@items mem_info.rs without CACHE_LINE_SIZE MemInfo

#ifdef __cplusplus
}
#endif

#endif
