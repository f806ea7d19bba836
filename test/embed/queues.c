/*
 * The message queues as a library of their own, with many threads on either end.
 */
#include "node.h"
#include "skynet_mq.h"

#include <pthread.h>

#define PRODUCERS 4
#define CONSUMERS 4
#define QUEUES 8
/* From each producer to each queue. */
#define MESSAGES 5000
#define ALL ((long)PRODUCERS * QUEUES * MESSAGES)

static struct message_queue *queues[QUEUES];

/* What was taken so far; atomic by the compiler's builtins, so that this is C99. */
static long taken;

static struct skynet_message
message(uint32_t source, int session) {
	struct skynet_message m;

	m.source = source;
	m.session = session;
	m.data = malloc(8);
	m.sz = 8 | (size_t)PTYPE_TEXT << MESSAGE_TYPE_SHIFT;
	CHECK(m.data != NULL);
	return m;
}

static void *
produce(void *arg) {
	uint32_t me = (uint32_t)(size_t)arg;
	int i, q;

	for (i = 1; i <= MESSAGES; i++) {
		for (q = 0; q < QUEUES; q++) {
			struct skynet_message m = message(me, i);
			skynet_mq_push(queues[q], &m);
		}
	}
	return NULL;
}

static void
run(void *(*producer)(void *), int producers, void *(*consumer)(void *)) {
	pthread_t thread[PRODUCERS + CONSUMERS];
	int i, count = 0;

	for (i = 0; i < producers; i++)
		CHECK(pthread_create(&thread[count++], NULL, producer, (void *)(size_t)i) == 0);
	for (i = 0; i < CONSUMERS; i++)
		CHECK(pthread_create(&thread[count++], NULL, consumer, (void *)(size_t)i) == 0);
	for (i = 0; i < count; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
}

/* ---- through the global queue: one consumer at a time has a queue ---- */

/* The last message of each producer in each queue. No lock: who has the queue has its row. */
static int last[QUEUES][PRODUCERS];

static void *
consume_global(void *arg) {
	unsigned turn = (unsigned)(size_t)arg;

	while (__atomic_load_n(&taken, __ATOMIC_RELAXED) < ALL) {
		struct message_queue *q = skynet_globalmq_pop();
		struct skynet_message m;
		unsigned batch = turn++ % 5 + 1;
		uint32_t handle;

		if (q == NULL) {
			usleep(100);
			continue;
		}
		handle = skynet_mq_handle(q);
		CHECK(handle < QUEUES && queues[handle] == q);
		while (batch > 0 && skynet_mq_pop(q, &m) == 0) {
			CHECK(m.source < PRODUCERS);
			CHECK(m.session == last[handle][m.source] + 1);
			last[handle][m.source] = m.session;
			CHECK((m.sz & MESSAGE_TYPE_MASK) == 8 && m.sz >> MESSAGE_TYPE_SHIFT == PTYPE_TEXT);
			free(m.data);
			__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
			batch--;
		}
		/* Found empty, it is idle and the next push brings it back; otherwise it goes on. */
		if (batch == 0)
			skynet_globalmq_push(q);
	}
	return NULL;
}

static void
through_the_global_queue(void) {
	int q, p;

	taken = 0;
	for (q = 0; q < QUEUES; q++)
		skynet_globalmq_push(queues[q]);
	run(produce, PRODUCERS, consume_global);
	CHECK(taken == ALL);
	for (q = 0; q < QUEUES; q++) {
		for (p = 0; p < PRODUCERS; p++)
			CHECK(last[q][p] == MESSAGES);
		CHECK(skynet_mq_length(queues[q]) == 0);
	}
}

/* ---- directly: any number of consumers on the same queues ---- */

static unsigned char seen[QUEUES][PRODUCERS][MESSAGES + 1];

static void *
consume_directly(void *arg) {
	int q = (int)(size_t)arg;

	while (__atomic_load_n(&taken, __ATOMIC_RELAXED) < ALL) {
		struct skynet_message m;

		q = (q + 1) % QUEUES;
		if (skynet_mq_pop(queues[q], &m) != 0)
			continue;
		CHECK(__atomic_add_fetch(&seen[q][m.source][m.session], 1, __ATOMIC_RELAXED) == 1);
		free(m.data);
		__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void
directly(void) {
	int q, p, i;

	taken = 0;
	run(produce, PRODUCERS, consume_directly);
	for (q = 0; q < QUEUES; q++)
		for (p = 0; p < PRODUCERS; p++)
			for (i = 1; i <= MESSAGES; i++)
				CHECK(seen[q][p][i] == 1);
	/* Each was idle at times, and scheduled by a push since. */
	while (skynet_globalmq_pop() != NULL)
		;
}

/* ---- marking and releasing ---- */

static int dropped;

static void
drop(struct skynet_message *m, void *ud) {
	CHECK(ud == &dropped && m->session == ++dropped);
	free(m->data);
}

static void
push_three(struct message_queue *q) {
	int i;

	for (i = 1; i <= 3; i++) {
		struct skynet_message m = message(0, i);
		skynet_mq_push(q, &m);
	}
	CHECK(skynet_mq_length(q) == 3);
	dropped = 0;
}

static void
releasing(void) {
	struct skynet_message m;
	struct message_queue *q = skynet_mq_create(7);

	/* A new one counts as scheduled, and is not in the global queue. */
	CHECK(skynet_mq_handle(q) == 7 && skynet_mq_length(q) == 0);
	push_three(q);
	CHECK(skynet_globalmq_pop() == NULL);
	/* Without a mark it goes back to the global queue with what is in it. */
	skynet_mq_release(q, drop, &dropped);
	CHECK(dropped == 0 && skynet_globalmq_pop() == q && skynet_mq_length(q) == 3);
	/* Marked while somebody has it: that one releases it. */
	skynet_mq_mark_release(q);
	CHECK(skynet_globalmq_pop() == NULL);
	skynet_mq_release(q, drop, &dropped);
	CHECK(dropped == 3);

	/* Marked while idle: it comes through the global queue. */
	q = skynet_mq_create(8);
	CHECK(skynet_mq_pop(q, &m) == 1);
	skynet_mq_mark_release(q);
	CHECK(skynet_globalmq_pop() == q);
	push_three(q);
	skynet_mq_release(q, drop, &dropped);
	CHECK(dropped == 3);

	/* Without a function the messages go with it: plain memory is not known to be left. */
	q = skynet_mq_create(9);
	skynet_mq_mark_release(q);
	skynet_mq_release(q, NULL, NULL);

	/* Many times over, for who looks at the memory of this program. */
	for (dropped = 0; dropped < 1000; dropped++) {
		q = skynet_mq_create((uint32_t)dropped);
		CHECK(skynet_mq_pop(q, &m) == 1);
		m = message(0, 1);
		skynet_mq_push(q, &m);
		CHECK(skynet_globalmq_pop() == q && skynet_mq_pop(q, &m) == 0);
		free(m.data);
		CHECK(skynet_mq_pop(q, &m) == 1);
		skynet_mq_mark_release(q);
		CHECK(skynet_globalmq_pop() == q);
		skynet_mq_release(q, NULL, NULL);
	}
}

static void
overloading(void) {
	struct message_queue *q = skynet_mq_create(1);
	struct skynet_message m;
	int i;

	for (i = 0; i < 1030; i++) {
		m = message(0, i);
		skynet_mq_push(q, &m);
	}
	CHECK(skynet_mq_overload(q) == 0);
	CHECK(skynet_mq_pop(q, &m) == 0);
	free(m.data);
	CHECK(skynet_mq_overload(q) == 1029);
	CHECK(skynet_mq_overload(q) == 0);
	while (skynet_mq_pop(q, &m) == 0)
		free(m.data);
	CHECK(skynet_mq_overload(q) == 0);
	skynet_mq_mark_release(q);
	CHECK(skynet_globalmq_pop() == q);
	skynet_mq_release(q, NULL, NULL);
}

int
main(void) {
	int q;

	skynet_mq_init();
	releasing();
	overloading();
	for (q = 0; q < QUEUES; q++)
		queues[q] = skynet_mq_create((uint32_t)q);
	through_the_global_queue();
	directly();
	for (q = 0; q < QUEUES; q++) {
		skynet_mq_mark_release(queues[q]);
		while (skynet_globalmq_pop() != NULL)
			;
		skynet_mq_release(queues[q], NULL, NULL);
	}
	puts("done");
	return 0;
}
