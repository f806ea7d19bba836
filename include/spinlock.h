/*
 * A lock for very short sections; not recursive. SPIN_LOCK(q) and its like act on the member `lock`
 * of *q and bring their own semicolon. With USE_PTHREAD_LOCK defined it is a mutex.
 */
#ifndef SKYNET_SPINLOCK_H
#define SKYNET_SPINLOCK_H

#define SPIN_INIT(q) spinlock_init(&(q)->lock);
#define SPIN_LOCK(q) spinlock_lock(&(q)->lock);
#define SPIN_UNLOCK(q) spinlock_unlock(&(q)->lock);
#define SPIN_DESTROY(q) spinlock_destroy(&(q)->lock);

#ifndef USE_PTHREAD_LOCK

#include "atomic.h"

/* Tells the processor that this is a loop that waits. */
#if defined(__x86_64__)
#define atomic_pause_() __builtin_ia32_pause()
#else
#define atomic_pause_() ((void)0)
#endif

struct spinlock {
	ATOM_INT lock;
};

static inline void
spinlock_init(struct spinlock *lock)
{
	ATOM_INIT(&lock->lock, 0);
}

/* Non-zero when taken. */
static inline int
spinlock_trylock(struct spinlock *lock)
{
	/* a failure for no reason would be reported as a lock that is held */
	while (ATOM_LOAD(&lock->lock) == 0) {
		if (ATOM_CAS(&lock->lock, 0, 1))
			return 1;
	}
	return 0;
}

static inline void
spinlock_lock(struct spinlock *lock)
{
	while (!ATOM_CAS(&lock->lock, 0, 1)) {
		/* wait with reads, which do not take the line from the owner */
		while (ATOM_LOAD(&lock->lock) != 0)
			atomic_pause_();
	}
}

static inline void
spinlock_unlock(struct spinlock *lock)
{
	ATOM_STORE(&lock->lock, 0);
}

static inline void
spinlock_destroy(struct spinlock *lock)
{
	(void)lock;
}

#else

#include <pthread.h>

struct spinlock {
	pthread_mutex_t lock;
};

static inline void
spinlock_init(struct spinlock *lock)
{
	pthread_mutex_init(&lock->lock, NULL);
}

static inline int
spinlock_trylock(struct spinlock *lock)
{
	return !pthread_mutex_trylock(&lock->lock);
}

static inline void
spinlock_lock(struct spinlock *lock)
{
	pthread_mutex_lock(&lock->lock);
}

static inline void
spinlock_unlock(struct spinlock *lock)
{
	pthread_mutex_unlock(&lock->lock);
}

static inline void
spinlock_destroy(struct spinlock *lock)
{
	pthread_mutex_destroy(&lock->lock);
}

#endif

#endif
