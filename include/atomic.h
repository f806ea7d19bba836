/*
 * Atomic variables for C99, C11 and C++11, sequentially consistent.
 *
 * Types ATOM_INT, ATOM_POINTER (a uintptr_t), ATOM_SIZET, ATOM_ULONG. ATOM_CAS... take a pointer, the
 * expected and the new value, answer non-zero when the value was set and may fail for no reason: use
 * them in a loop. ATOM_F... answer the value before.
 */
#ifndef SKYNET_ATOMIC_H
#define SKYNET_ATOMIC_H

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)

/* Also when the includer has put us into extern "C". */
extern "C++" {
#include <atomic>
}

#define STD_ std::

#define ATOM_INT std::atomic<int>
#define ATOM_POINTER std::atomic<uintptr_t>
#define ATOM_SIZET std::atomic<size_t>
#define ATOM_ULONG std::atomic<unsigned long>
#define ATOM_INIT(ref, v) (ref)->store(v, std::memory_order_relaxed)
#define ATOM_LOAD(ptr) (ptr)->load()
#define ATOM_STORE(ptr, v) (ptr)->store(v)
#define ATOM_FINC(ptr) (ptr)->fetch_add(1)
#define ATOM_FDEC(ptr) (ptr)->fetch_sub(1)
#define ATOM_FADD(ptr, n) (ptr)->fetch_add(n)
#define ATOM_FSUB(ptr, n) (ptr)->fetch_sub(n)
#define ATOM_FAND(ptr, n) (ptr)->fetch_and(n)
#define ATOM_EXCHANGE_WEAK_(ptr, old, v) (ptr)->compare_exchange_weak(old, v)

#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L && !defined(__STDC_NO_ATOMICS__)

#include <stdatomic.h>

#define STD_

#define ATOM_INT atomic_int
#define ATOM_POINTER atomic_uintptr_t
#define ATOM_SIZET atomic_size_t
#define ATOM_ULONG atomic_ulong
#define ATOM_INIT(ref, v) atomic_init(ref, v)
#define ATOM_LOAD(ptr) atomic_load(ptr)
#define ATOM_STORE(ptr, v) atomic_store(ptr, v)
#define ATOM_FINC(ptr) atomic_fetch_add(ptr, 1)
#define ATOM_FDEC(ptr) atomic_fetch_sub(ptr, 1)
#define ATOM_FADD(ptr, n) atomic_fetch_add(ptr, n)
#define ATOM_FSUB(ptr, n) atomic_fetch_sub(ptr, n)
#define ATOM_FAND(ptr, n) atomic_fetch_and(ptr, n)
#define ATOM_EXCHANGE_WEAK_(ptr, old, v) atomic_compare_exchange_weak(ptr, &(old), v)

#else

/* The compiler's own. The variables are volatile so that plain accesses are not merged. */
#define STD_

#define ATOM_INT volatile int
#define ATOM_POINTER volatile uintptr_t
#define ATOM_SIZET volatile size_t
#define ATOM_ULONG volatile unsigned long
#define ATOM_INIT(ref, v) (*(ref) = (v))
#define ATOM_LOAD(ptr) __atomic_load_n(ptr, __ATOMIC_SEQ_CST)
#define ATOM_STORE(ptr, v) __atomic_store_n(ptr, v, __ATOMIC_SEQ_CST)
#define ATOM_FINC(ptr) __atomic_fetch_add(ptr, 1, __ATOMIC_SEQ_CST)
#define ATOM_FDEC(ptr) __atomic_fetch_sub(ptr, 1, __ATOMIC_SEQ_CST)
#define ATOM_FADD(ptr, n) __atomic_fetch_add(ptr, n, __ATOMIC_SEQ_CST)
#define ATOM_FSUB(ptr, n) __atomic_fetch_sub(ptr, n, __ATOMIC_SEQ_CST)
#define ATOM_FAND(ptr, n) __atomic_fetch_and(ptr, n, __ATOMIC_SEQ_CST)
#define ATOM_EXCHANGE_WEAK_(ptr, old, v) \
	__atomic_compare_exchange_n(ptr, &(old), v, 1, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

#endif

/* One function for each type: the expected value needs a place of that type. */
#define ATOM_DEFINE_CAS_(name, atom, plain) \
	static inline int \
	name(atom *ptr, plain oval, plain nval) \
	{ \
		return ATOM_EXCHANGE_WEAK_(ptr, oval, nval); \
	}

ATOM_DEFINE_CAS_(ATOM_CAS, ATOM_INT, int)
ATOM_DEFINE_CAS_(ATOM_CAS_SIZET, ATOM_SIZET, size_t)
ATOM_DEFINE_CAS_(ATOM_CAS_ULONG, ATOM_ULONG, unsigned long)
ATOM_DEFINE_CAS_(ATOM_CAS_POINTER, ATOM_POINTER, uintptr_t)

#undef ATOM_DEFINE_CAS_

#endif
