/*
 * A storm: hundreds of services that call, send, end themselves, end each other and are launched
 * again, at random, and keep books on each other all the while.
 *
 * `storm lord SECONDS SEED` leads: many short rounds, and one that is aborted in its middle. A round
 * fills the slots with agents (`storm agent SLOT`) and mates (`storm mate`, which have a thread of
 * their own that is not the node's); after its time nobody begins anything new, and the lord waits
 * until every request is answered, ends everybody and weighs what is left. It says nothing to the
 * agents meanwhile: a message that was forgotten would be found with the next one.
 *
 * What is checked:
 * - an answer is to a request of this service that is still open, and comes from whom was asked;
 * - every request that was accepted is answered, if its service lives;
 * - what one sender sends to one receiver, by whatever way, arrives in order and without a gap;
 * - services are gone after each round, and after those of the second half of the time there is no more
 *   memory in use than after the first half, which has some rounds however long they take;
 * - at the end of the process every instance was released.
 */
#define _POSIX_C_SOURCE 200809L

#include "ledger.h"
#include "malloc_hook.h"
#include "skynet.h"
#include "skynet_handle.h"
#include "skynet_mq.h"
#include "skynet_server.h"

#include <pthread.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 500
#define MATES 2
/* Open requests of an agent, and of a mate. */
#define WINDOW 3
#define MATE_WINDOW 64
#define HELD 4
#define REFS 16
/* Seconds of a round. */
#define ROUND 0.5
/* Rounds of the first half at least. */
#define LEARNING 3

/* A slot that somebody fills. */
#define CLAIMED 1
/* The partner of a timer. */
#define TIMER UINT32_MAX

/* The type of what agents send each other. */
#define NOTE PTYPE_RESERVED_LUA

struct storm;

int storm_init(struct storm *s, struct skynet_context *ctx, const char *parm);
struct storm *storm_create(void);
void storm_release(struct storm *s);

/* What a message carries, before some bytes that say how many they are. */
struct note {
	uint32_t from;   /* serial of the sender */
	uint32_t to;     /* handle of the receiver */
	uint32_t number; /* of this sender's notes to this receiver, from 1 on */
	uint32_t length;
};

/* Atomic by the compiler's builtins, so that this is C99. */
static uint32_t slots[SLOTS];
static int calm; /* nobody begins anything new */
static long open_requests, instances;
static uint32_t serials;
static uint64_t seed;
static struct {
	long asked, answered, errors, sent, launched, ended, refused;
} count;

#define GET(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define SET(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_add_fetch(&(x), n, __ATOMIC_SEQ_CST)

static int
swap_slot(uint32_t slot, uint32_t from, uint32_t to) {
	return __atomic_compare_exchange_n(&slots[slot], &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void
fail(const char *format, ...) {
	va_list args;

	fflush(stdout);
	printf("STORM FAIL ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	abort();
}

static void
nap(long us) {
	struct timespec t;

	t.tv_sec = 0;
	t.tv_nsec = us * 1000;
	nanosleep(&t, NULL);
}

static double
seconds(void) {
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one who sends and is answered: the books of an agent, or of a mate and its thread ---- */

/* A request that was not answered at once. */
struct held {
	uint32_t source;
	int session;
};

struct lord {
	/* When the first half is over, the storm, and this round. */
	double half, end, until;
	int round, waiting;
	int base_total;
	size_t bytes, blocks;
};

enum role { LORD, AGENT, MATE };

struct storm {
	struct skynet_context *ctx;
	enum role role;
	uint32_t handle, slot, serial;
	struct chance chance;
	/* Session → whom it was asked of, 0 when it is not open. */
	uint32_t *asked;
	int room;
	long open;
	/* Handle → number of the last note to it, serial → number of the last note from it. */
	struct table sent, seen;
	struct held held[HELD];
	int holding;
	struct lord lord;
	/* Of a mate: who sends is the thread, who is answered the service. The lock is for the requests. */
	pthread_t thread;
	pthread_mutex_t lock;
	int threaded, stop;
	int session;
};

/* Notes that a request is open. */
static void
opened(struct storm *s, int session, uint32_t with) {
	if (session <= 0)
		fail("%08x: session %d", s->handle, session);
	if (session >= s->room) {
		int room = s->room ? 2 * s->room : 64;

		while (room <= session)
			room *= 2;
		s->asked = realloc(s->asked, (size_t)room * sizeof(*s->asked));
		if (s->asked == NULL)
			fail("no memory");
		memset(s->asked + s->room, 0, (size_t)(room - s->room) * sizeof(*s->asked));
		s->room = room;
	}
	if (s->asked[session] != 0)
		fail("%08x: session %d is drawn twice", s->handle, session);
	s->asked[session] = with;
	s->open++;
	ADD(open_requests, 1);
}

/* An answer came, or the request was refused. */
static void
closed(struct storm *s, int session, uint32_t source, int type) {
	uint32_t with = session > 0 && session < s->room ? s->asked[session] : 0;

	if (with == 0)
		fail("%08x: type %d of %08x for session %d, which is not open", s->handle, type, source, session);
	if (with != (source ? source : TIMER))
		fail("%08x: type %d of %08x for session %d, which is with %08x", s->handle, type, source, session,
			with);
	s->asked[session] = 0;
	s->open--;
	ADD(open_requests, -1);
}

static struct note *
note_new(struct storm *s, uint32_t to, size_t *sz) {
	uint32_t more = below(&s->chance, 4) ? below(&s->chance, 32) : below(&s->chance, 1500);
	struct note *note = skynet_malloc(sizeof(*note) + more);

	note->from = s->serial;
	note->to = to;
	note->number = *table_at(&s->sent, to) + 1;
	note->length = more;
	memset(note + 1, (int)(note->number & 0xff), more);
	*sz = sizeof(*note) + more;
	return note;
}

/* Whether a note is as it was made. */
static void
note_check(struct storm *s, const struct note *note, size_t sz, uint32_t source) {
	const unsigned char *bytes = (const void *)(note + 1);

	if (note == NULL || sz < sizeof(*note) || sz != sizeof(*note) + note->length ||
		(note->length > 0 && (bytes[0] != (note->number & 0xff) ||
		bytes[note->length - 1] != (note->number & 0xff))))
		fail("%08x: a damaged note of %08x, %u bytes", s->handle, source, (unsigned)sz);
}

/* By `way`, one of WAYS, sends a note to whom the slot has; true when it was accepted. `ref` is a
   reference to the receiver, or NULL. */
#define WAYS 6

static int
put(struct storm *s, struct skynet_context *ctx, uint32_t way, struct skynet_context *ref, uint32_t to,
	int ask, int session) {
	size_t sz;
	struct note *note = note_new(s, to, &sz);
	struct skynet_message message;
	int flag = 0, done;
	char name[16];

	if (ask && session == 0) {
		/* The ways that do not draw one get one. */
		if (way < 3)
			flag = PTYPE_TAG_ALLOCSESSION;
		else
			session = skynet_context_newsession(ctx);
	}
	switch (way) {
	case 0:
		done = skynet_send(ctx, s->handle, to, NOTE | flag, session, note, sz);
		skynet_free(note);
		break;
	case 1:
		snprintf(name, sizeof(name), ":%08x", (unsigned)to);
		done = skynet_sendname(ctx, s->handle, name, NOTE | flag | PTYPE_TAG_DONTCOPY, session, note, sz);
		break;
	case 4:
		message.source = s->handle;
		message.session = session;
		message.data = note;
		message.sz = sz | (size_t)NOTE << MESSAGE_TYPE_SHIFT;
		done = skynet_context_push(to, &message);
		if (done != 0)
			skynet_free(note);
		else
			done = session;
		break;
	case 5:
		if (ref != NULL) {
			skynet_context_send(ref, note, sz, s->handle, NOTE, session);
			done = session;
			break;
		}
		/* fall through */
	default:
		done = skynet_send(ctx, s->handle, to, NOTE | flag | PTYPE_TAG_DONTCOPY, session, note, sz);
		break;
	}
	if (done < 0) {
		if (done != -1)
			fail("%08x: way %u gives %d", s->handle, (unsigned)way, done);
		ADD(count.refused, 1);
		return -1;
	}
	if ((done != 0) != ask || (session != 0 && done != session))
		fail("%08x: way %u gives session %d for %d", s->handle, (unsigned)way, done, session);
	++*table_at(&s->sent, to);
	ADD(count.sent, 1);
	return done;
}

/* ---- agents ---- */

static void
reply(struct storm *s, struct skynet_context *ctx, uint32_t source, int session, int type, const void *msg,
	size_t sz) {
	if (skynet_send(ctx, s->handle, source, type, session, (void *)(intptr_t)msg, sz) < -1)
		fail("%08x: cannot answer %08x", s->handle, source);
}

static void
answer_held(struct storm *s, struct skynet_context *ctx) {
	while (s->holding > 0) {
		struct held *h = &s->held[--s->holding];

		reply(s, ctx, h->source, h->session, one_in(&s->chance, 2) ? PTYPE_RESPONSE : PTYPE_ERROR, NULL, 0);
	}
}

static void
launch(struct skynet_context *ctx, uint32_t slot) {
	char parm[40];

	if (!swap_slot(slot, 0, CLAIMED))
		return;
	ADD(count.launched, 1);
	snprintf(parm, sizeof(parm), "storm agent %u", (unsigned)slot);
	skynet_command(ctx, "LAUNCH", parm);
}

static void
timeout(struct storm *s, const char *ticks) {
	opened(s, atoi(skynet_command(s->ctx, "TIMEOUT", ticks)), TIMER);
}

static void
end(struct storm *s, uint32_t victim) {
	char parm[16];

	ADD(count.ended, 1);
	if (one_in(&s->chance, 2)) {
		snprintf(parm, sizeof(parm), ":%x", (unsigned)victim);
		skynet_command(s->ctx, "KILL", parm);
	} else {
		skynet_handle_retire(victim);
	}
}

/* A note to somebody: a request, or one without an answer. */
static void
agent_send(struct storm *s, uint32_t to, int ask) {
	uint32_t way = below(&s->chance, WAYS);
	struct skynet_context *ref = way == 5 ? skynet_handle_grab(to) : NULL;
	int session = put(s, s->ctx, way, ref, to, ask, 0);

	skynet_context_release(ref);
	if (session > 0) {
		ADD(count.asked, 1);
		opened(s, session, to);
	}
}

/* Something at random. */
static void
act(struct storm *s) {
	struct chance *c = &s->chance;
	uint32_t slot = one_in(c, 10) ? s->slot : below(c, SLOTS), to = GET(slots[slot]);
	uint32_t what = below(c, 1000), i;

	if (to <= CLAIMED) {
		launch(s->ctx, slot);
	} else if (what < 2) {
		end(s, to);
	} else if (what < 3) {
		ADD(count.ended, 1);
		skynet_command(s->ctx, "EXIT", NULL);
	} else if (what < 13) {
		timeout(s, one_in(c, 2) ? "0" : "1");
	} else if (what < 20) {
		nap(below(c, 100));
	} else if (what < 100) {
		for (i = below(c, 40); i > 0; i--)
			agent_send(s, to, 0);
		agent_send(s, to, 1);
	} else {
		agent_send(s, to, 1);
	}
}

/* One agent is never quiet while the storm lasts. */
static void
go_on(struct storm *s) {
	int i;

	for (i = 0; i < 2 * WINDOW && s->open < WINDOW && !GET(calm); i++)
		act(s);
	if (s->open == 0 && !GET(calm))
		timeout(s, "1");
}

/* A note has come; the result is the callback's. */
static int
take_note(struct storm *s, const struct note *note, size_t sz, uint32_t source, int session) {
	uint32_t *last;

	note_check(s, note, sz, source);
	last = table_at(&s->seen, note->from);
	if (note->to != s->handle || note->number != *last + 1)
		fail("%08x: note %u of %u to %08x after %u", s->handle, (unsigned)note->number,
			(unsigned)note->from, (unsigned)note->to, (unsigned)*last);
	*last = note->number;
	if (session == 0)
		return 0;
	switch (below(&s->chance, 8)) {
	case 0:
		if (s->holding < HELD && !GET(calm)) {
			/* Until the timer is out, at the latest. */
			timeout(s, "1");
			s->held[s->holding].source = source;
			s->held[s->holding++].session = session;
			return 0;
		}
		answer_held(s, s->ctx);
		reply(s, s->ctx, source, session, PTYPE_RESPONSE, note, sz);
		return 0;
	case 1:
		reply(s, s->ctx, source, session, PTYPE_ERROR, NULL, 0);
		return 0;
	case 2:
	case 3:
		reply(s, s->ctx, source, session, PTYPE_RESPONSE, note, sz);
		return 0;
	default:
		/* The block itself goes back. */
		reply(s, s->ctx, source, session, PTYPE_RESPONSE | PTYPE_TAG_DONTCOPY, note, sz);
		return 1;
	}
}

static void
take_answer(struct storm *s, const struct note *note, size_t sz, uint32_t source, int session, int type) {
	if (type == PTYPE_ERROR && session == 0)
		return; /* a note without session was not delivered */
	closed(s, session, source, type);
	if (note != NULL) {
		note_check(s, note, sz, source);
		if (note->from != s->serial || note->to != source)
			fail("%08x: somebody else's answer, of %u to %08x", s->handle, (unsigned)note->from,
				(unsigned)note->to);
	}
	ADD(count.answered, 1);
	if (type == PTYPE_ERROR)
		ADD(count.errors, 1);
}

static int
agent(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	struct storm *s = ud;
	int keep = 0;

	(void)ctx;
	switch (type) {
	case NOTE:
		keep = take_note(s, msg, sz, source, session);
		break;
	case PTYPE_RESPONSE:
	case PTYPE_ERROR:
		take_answer(s, msg, sz, source, session, type);
		if (source == 0 || one_in(&s->chance, 3))
			answer_held(s, s->ctx);
		go_on(s);
		break;
	default:
		fail("%08x: type %d of %08x", s->handle, type, source);
	}
	return keep;
}

static int
agent_init(struct storm *s, uint32_t slot) {
	s->role = AGENT;
	s->slot = slot;
	skynet_callback(s->ctx, s, agent);
	/* From here on others send to it, though it is not there yet. */
	SET(slots[slot], s->handle);
	timeout(s, "0");
	if (one_in(&s->chance, 20))
		nap(below(&s->chance, 200));
	if (one_in(&s->chance, 50))
		agent_send(s, s->handle, 1);
	if (one_in(&s->chance, 50))
		skynet_command(s->ctx, "EXIT", NULL);
	return one_in(&s->chance, 30);
}

/* ---- mates: a service whose sender is a thread that the node knows nothing of ---- */

static int
mate(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	struct storm *s = ud;

	(void)ctx;
	if (type != PTYPE_RESPONSE && type != PTYPE_ERROR)
		fail("%08x: type %d of %08x", s->handle, type, source);
	pthread_mutex_lock(&s->lock);
	take_answer(s, msg, sz, source, session, type);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void
mate_send(struct storm *s, struct skynet_context *ref) {
	uint32_t to = skynet_context_handle(ref);
	int ask = one_in(&s->chance, 2), session = 0;

	pthread_mutex_lock(&s->lock);
	if (ask) {
		/* The answer may be there before the send returns. */
		session = ++s->session;
		opened(s, session, to);
	}
	pthread_mutex_unlock(&s->lock);
	if (put(s, NULL, below(&s->chance, WAYS), ref, to, ask, session) < 0 && ask) {
		pthread_mutex_lock(&s->lock);
		closed(s, session, to, 0);
		pthread_mutex_unlock(&s->lock);
	} else if (ask) {
		ADD(count.asked, 1);
	}
}

static void *
mate_thread(void *arg) {
	struct storm *s = arg;
	/* References that outlive their services. */
	struct skynet_context *refs[REFS];
	int i;

	memset(refs, 0, sizeof(refs));
	while (!GET(s->stop) && !GET(calm)) {
		long open;

		pthread_mutex_lock(&s->lock);
		open = s->open;
		pthread_mutex_unlock(&s->lock);
		if (open >= MATE_WINDOW) {
			nap(50);
			continue;
		}
		i = (int)below(&s->chance, REFS);
		if (refs[i] == NULL || one_in(&s->chance, 50)) {
			uint32_t to = GET(slots[below(&s->chance, SLOTS)]);

			skynet_context_release(refs[i]);
			refs[i] = to > CLAIMED ? skynet_handle_grab(to) : NULL;
		}
		if (refs[i] != NULL)
			mate_send(s, refs[i]);
		if (one_in(&s->chance, 100))
			nap(below(&s->chance, 500));
	}
	for (i = 0; i < REFS; i++)
		skynet_context_release(refs[i]);
	return NULL;
}

static int
mate_init(struct storm *s) {
	s->role = MATE;
	skynet_callback(s->ctx, s, mate);
	if (pthread_mutex_init(&s->lock, NULL) != 0 || pthread_create(&s->thread, NULL, mate_thread, s) != 0)
		fail("no thread");
	s->threaded = 1;
	return 0;
}

/* ---- the lord ---- */

static uint32_t mates[MATES];

static void
begin_round(struct storm *s) {
	uint32_t i;

	SET(calm, 0);
	for (i = 0; i < SLOTS; i++)
		launch(s->ctx, i);
	for (i = 0; i < MATES; i++)
		mates[i] = (uint32_t)strtoul(skynet_command(s->ctx, "LAUNCH", "storm mate") + 1, NULL, 16);
	s->lord.until = seconds() + ROUND;
	s->lord.waiting = 0;
}

/* What is open after the storm; true when nothing is. */
static int
settled(struct storm *s) {
	long left = GET(open_requests);

	if (left > 0 && seconds() > s->lord.until + 30)
		fail("%ld requests are not answered", left);
	return left == 0;
}

static void
end_everybody(void) {
	uint32_t i;

	for (i = 0; i < MATES; i++)
		skynet_handle_retire(mates[i]);
	for (i = 0; i < SLOTS; i++) {
		if (GET(slots[i]) > CLAIMED)
			skynet_handle_retire(GET(slots[i]));
	}
}

/* True when everybody is gone, with what they had. */
static int
gone(struct storm *s) {
	struct lord *l = &s->lord;
	size_t bytes = malloc_used_memory(), blocks = malloc_memory_block();
	int total = skynet_context_total();
	int learning = l->round < LEARNING || seconds() < l->half;
	/* What is kept for later (blocks of mailboxes and run queues, timers by the thousand) has a size that chance
	   decides. One lost word of each service would be more. */
	int heavy = !learning && (bytes > l->bytes + 128 * 1024 || blocks > l->blocks + 64);

	if (GET(instances) == 1 && total == l->base_total && !heavy) {
		if (learning) {
			l->bytes = bytes > l->bytes ? bytes : l->bytes;
			l->blocks = blocks > l->blocks ? blocks : l->blocks;
		}
		return 1;
	}
	if (seconds() > l->until + 40)
		fail("left are %ld instances, %d services for %d, %lu bytes for %lu, %lu blocks for %lu",
			GET(instances), total, l->base_total, (unsigned long)bytes, (unsigned long)l->bytes,
			(unsigned long)blocks, (unsigned long)l->blocks);
	return 0;
}

static void
last_words(struct storm *s) {
	/* More than this many of each, or nothing was tried. */
	int enough = GET(count.ended) > 50 && GET(count.errors) > 100 && GET(count.asked) > 10000;

	printf("STORM %s after %d rounds: %ld requests, %ld answers, %ld of them errors, %ld sends, %ld refused, "
		"%ld launched, %ld ended; at most %lu bytes in %lu blocks were left\n",
		enough ? "aborts" : "FAIL: not much happened", s->lord.round, GET(count.asked), GET(count.answered),
		GET(count.errors), GET(count.sent), GET(count.refused), GET(count.launched), GET(count.ended),
		(unsigned long)s->lord.bytes, (unsigned long)s->lord.blocks);
	fflush(stdout);
}

static void
weather(struct storm *s) {
	struct lord *l = &s->lord;

	switch (l->waiting) {
	case 0: /* for the time to be up */
		if (seconds() < l->until)
			return;
		/* one round at least was weighed against the first ones */
		if (l->until > l->end && l->round > LEARNING) {
			last_words(s);
			skynet_command(s->ctx, "ABORT", NULL);
			return;
		}
		SET(calm, 1);
		l->waiting = 1;
		return;
	case 1: /* for answers */
		if (!settled(s))
			return;
		l->waiting = 2;
		return;
	case 2: /* one more turn, for answers too many that may be on their way */
		l->waiting = 3;
		return;
	default: /* for everybody to be gone, also those whose launch went on when it got calm */
		end_everybody();
		if (!gone(s))
			return;
		l->round++;
		begin_round(s);
	}
}

static int
lord(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source, const void *msg,
	size_t sz) {
	(void)session, (void)source, (void)msg, (void)sz;
	if (type == PTYPE_RESPONSE) {
		weather(ud);
		skynet_command(ctx, "TIMEOUT", "2");
	}
	return 0;
}

static void
at_exit(void) {
	printf("STORM exit: %ld instances left\n", GET(instances));
	fflush(stdout);
	if (GET(instances) != 0)
		_exit(3);
}

static int
lord_init(struct storm *s, const char *parm) {
	struct lord *l = &s->lord;
	char *rest;

	s->role = LORD;
	l->end = seconds() + strtod(parm, &rest);
	l->half = (seconds() + l->end) / 2;
	seed = strtoull(rest, NULL, 10);
	l->base_total = skynet_context_total();
	atexit(at_exit);
	skynet_callback(s->ctx, s, lord);
	begin_round(s);
	skynet_command(s->ctx, "TIMEOUT", "2");
	return 0;
}

/* ---- the module ---- */

struct storm *
storm_create(void) {
	struct storm *s = calloc(1, sizeof(*s));

	if (s == NULL)
		fail("no memory");
	ADD(instances, 1);
	return s;
}

int
storm_init(struct storm *s, struct skynet_context *ctx, const char *parm) {
	s->ctx = ctx;
	s->handle = skynet_context_handle(ctx);
	s->serial = ADD(serials, 1);
	if (strncmp(parm, "lord ", 5) == 0)
		return lord_init(s, parm + 5);
	chance_seed(&s->chance, seed, s->serial);
	if (strncmp(parm, "agent ", 6) == 0)
		return agent_init(s, (uint32_t)strtoul(parm + 6, NULL, 10));
	return mate_init(s);
}

void
storm_release(struct storm *s) {
	if (s->threaded) {
		SET(s->stop, 1);
		pthread_join(s->thread, NULL);
		pthread_mutex_destroy(&s->lock);
	}
	/* Nobody else will answer what this one was asked. */
	answer_held(s, NULL);
	if (s->role == AGENT)
		swap_slot(s->slot, s->handle, 0);
	ADD(open_requests, -s->open);
	free(s->asked);
	free(s->sent.entries);
	free(s->seen.entries);
	free(s);
	ADD(instances, -1);
}
