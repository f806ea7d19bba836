/*
 * A program: atomic.h, spinlock.h and rwlock.h with threads. Built as C99, C11, C++11 and with
 * USE_PTHREAD_LOCK; exits 0 when everything held.
 */
#define _XOPEN_SOURCE 600
#include "atomic.h"
#include "rwlock.h"
#include "spinlock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 20000

#define REQUIRE(cond) do { if (!(cond)) { \
	fprintf(stderr, "line %d: %s\n", __LINE__, #cond); exit(1); } } while (0)

static struct {
	struct spinlock lock;
	long plain;		/* under lock */
} spin;

static struct {
	struct rwlock lock;
	long a, b;		/* under lock, always equal outside a writer */
} shared;

static ATOM_INT counter;
static ATOM_SIZET size;
static ATOM_ULONG word;
static ATOM_POINTER pointer;

static void *
work(void *arg)
{
	int i;
	(void)arg;
	for (i = 0; i < ROUNDS; i++) {
		unsigned long w;
		SPIN_LOCK(&spin)
		spin.plain++;
		SPIN_UNLOCK(&spin)
		if (i % 16 == 0) {
			rwlock_wlock(&shared.lock);
			shared.a++;
			shared.b++;
			rwlock_wunlock(&shared.lock);
		} else {
			rwlock_rlock(&shared.lock);
			REQUIRE(shared.a == shared.b);
			rwlock_runlock(&shared.lock);
		}
		ATOM_FINC(&counter);
		ATOM_FADD(&size, 3);
		do {
			w = ATOM_LOAD(&word);
		} while (!ATOM_CAS_ULONG(&word, w, w + 1));
	}
	return NULL;
}

static void
one_thread(void)
{
	int place;
	ATOM_INIT(&counter, 5);
	REQUIRE(ATOM_LOAD(&counter) == 5);
	REQUIRE(ATOM_FINC(&counter) == 5);
	REQUIRE(ATOM_FDEC(&counter) == 6);
	REQUIRE(ATOM_FADD(&counter, 10) == 5);
	REQUIRE(ATOM_FSUB(&counter, 4) == 15);
	REQUIRE(ATOM_FAND(&counter, 9) == 11);
	REQUIRE(ATOM_LOAD(&counter) == 9);
	REQUIRE(!ATOM_CAS(&counter, 8, 1));
	REQUIRE(ATOM_LOAD(&counter) == 9);
	while (!ATOM_CAS(&counter, 9, 1)) {
	}
	REQUIRE(ATOM_LOAD(&counter) == 1);
	ATOM_STORE(&counter, 0);

	ATOM_INIT(&size, (size_t)1 << 40);
	REQUIRE(ATOM_FSUB(&size, (size_t)1 << 40) == (size_t)1 << 40);
	REQUIRE(!ATOM_CAS_SIZET(&size, 1, 2));
	while (!ATOM_CAS_SIZET(&size, 0, (size_t)1 << 50)) {
	}
	REQUIRE(ATOM_LOAD(&size) == (size_t)1 << 50);
	ATOM_STORE(&size, 0);
	ATOM_INIT(&word, 0);

	ATOM_INIT(&pointer, 0);
	while (!ATOM_CAS_POINTER(&pointer, 0, (uintptr_t)&place)) {
	}
	REQUIRE(ATOM_LOAD(&pointer) == (uintptr_t)&place);
	REQUIRE(!ATOM_CAS_POINTER(&pointer, 0, 0));

	REQUIRE(spinlock_trylock(&spin.lock));
	REQUIRE(!spinlock_trylock(&spin.lock));
	spinlock_unlock(&spin.lock);
	REQUIRE(spinlock_trylock(&spin.lock));
	spinlock_unlock(&spin.lock);

	rwlock_rlock(&shared.lock);
	rwlock_rlock(&shared.lock);
	rwlock_runlock(&shared.lock);
	rwlock_runlock(&shared.lock);
}

int
main(void)
{
	pthread_t threads[THREADS];
	int i;
	SPIN_INIT(&spin)
	rwlock_init(&shared.lock);
	one_thread();
	for (i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, work, NULL) == 0);
	for (i = 0; i < THREADS; i++)
		REQUIRE(pthread_join(threads[i], NULL) == 0);
	REQUIRE(spin.plain == THREADS * ROUNDS);
	REQUIRE(shared.a == THREADS * (ROUNDS / 16) && shared.b == shared.a);
	REQUIRE(ATOM_LOAD(&counter) == THREADS * ROUNDS);
	REQUIRE(ATOM_LOAD(&size) == 3 * THREADS * ROUNDS);
	REQUIRE(ATOM_LOAD(&word) == THREADS * ROUNDS);
	SPIN_DESTROY(&spin)
	return 0;
}
