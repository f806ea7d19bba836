/*
 * A lock for many readers or one writer; a writer that waits goes before readers that come later.
 * With USE_PTHREAD_LOCK defined it is pthread's (which needs _XOPEN_SOURCE 500 or more in strict C).
 */
#ifndef SKYNET_RWLOCK_H
#define SKYNET_RWLOCK_H

#ifndef USE_PTHREAD_LOCK

#include "atomic.h"

struct rwlock {
	ATOM_INT write;		/* 1 while a writer holds the lock or waits for the readers */
	ATOM_INT read;		/* readers, those included that are about to step back */
};

static inline void
rwlock_init(struct rwlock *lock)
{
	ATOM_INIT(&lock->write, 0);
	ATOM_INIT(&lock->read, 0);
}

static inline void
rwlock_rlock(struct rwlock *lock)
{
	for (;;) {
		while (ATOM_LOAD(&lock->write) != 0) {
		}
		/* announce ourselves, then look again: either we see the writer or he sees us */
		ATOM_FINC(&lock->read);
		if (ATOM_LOAD(&lock->write) == 0)
			return;
		ATOM_FDEC(&lock->read);
	}
}

static inline void
rwlock_wlock(struct rwlock *lock)
{
	while (!ATOM_CAS(&lock->write, 0, 1)) {
	}
	while (ATOM_LOAD(&lock->read) != 0) {
	}
}

static inline void
rwlock_wunlock(struct rwlock *lock)
{
	ATOM_STORE(&lock->write, 0);
}

static inline void
rwlock_runlock(struct rwlock *lock)
{
	ATOM_FDEC(&lock->read);
}

#else

#include <pthread.h>

struct rwlock {
	pthread_rwlock_t lock;
};

static inline void
rwlock_init(struct rwlock *lock)
{
	pthread_rwlock_init(&lock->lock, NULL);
}

static inline void
rwlock_rlock(struct rwlock *lock)
{
	pthread_rwlock_rdlock(&lock->lock);
}

static inline void
rwlock_wlock(struct rwlock *lock)
{
	pthread_rwlock_wrlock(&lock->lock);
}

static inline void
rwlock_wunlock(struct rwlock *lock)
{
	pthread_rwlock_unlock(&lock->lock);
}

static inline void
rwlock_runlock(struct rwlock *lock)
{
	pthread_rwlock_unlock(&lock->lock);
}

#endif

#endif
