/* Sending, receiving, and what becomes of messages. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define HUGE ((size_t)1 << 56)

static char *
owned(const char *text)
{
	char *copy = skynet_malloc(strlen(text) + 1);
	return strcpy(copy, text);
}

static int
draw(void)
{
	return skynet_send(driver, 0, 0, PTYPE_TAG_ALLOCSESSION, 0, NULL, 0);
}

static void
copies(void)
{
	struct agent *a = agent_new();
	char text[] = "mine";
	CHECK_INT(skynet_send(driver, 0, a->handle, 10, 42, text, 4), 42);
	text[0] = 'f';
	struct mail m = agent_mail(a, 0);
	CHECK_INT(m.type, 10);
	CHECK_INT(m.session, 42);
	CHECK_INT(m.source, driver_handle);
	CHECK_INT(m.sz, 4);
	CHECK(m.msg != text);
	CHECK(memcmp(m.data, "mine", 4) == 0);
	/* a NUL that is not counted */
	skynet_send(driver, 0, a->handle, 10, 0, "abcdef", 3);
	m = agent_mail(a, 1);
	CHECK_INT(m.sz, 3);
	CHECK_TEXT(m.data, "abc");
	/* no bytes, but a message */
	CHECK_INT(skynet_send(driver, 0, a->handle, 10, -7, "", 0), -7);
	m = agent_mail(a, 2);
	CHECK_INT(m.session, -7);
	CHECK_INT(m.sz, 0);
	CHECK(m.msg != NULL);
	CHECK_TEXT(m.data, "");
	agent_kill(a);
}

static void
gives_away(void)
{
	struct agent *a = agent_new();
	char *text = owned("yours");
	CHECK_INT(skynet_send(driver, 0, a->handle, 10 | PTYPE_TAG_DONTCOPY, 1, text, 5), 1);
	struct mail m = agent_mail(a, 0);
	CHECK(m.msg == text);
	CHECK_INT(m.type, 10);
	CHECK_INT(m.sz, 5);
	agent_kill(a);
}

static void
keeps(void)
{
	struct agent *a = agent_new();
	a->keep = 1;
	for (int i = 0; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof text, "number %d", i);
		skynet_send(driver, 0, a->handle, 10, 0, text, strlen(text));
	}
	for (int i = 0; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof text, "number %d", i);
		struct mail m = agent_mail(a, i);
		/* still what it was, at the place the callback saw */
		CHECK_TEXT(m.msg, text);
		skynet_free((void *)m.msg);
	}
	a->keep = -1;
	skynet_send(driver, 0, a->handle, 10, 0, "more", 4);
	CHECK_TEXT(agent_mail(a, 100).msg, "more");
	skynet_free((void *)agent_mail(a, 100).msg);
	a->keep = 0;
	agent_kill(a);
}

static void
types(void)
{
	struct agent *a = agent_new();
	CHECK_INT(skynet_send(driver, 0, a->handle, 0x105, 0, "x", 1), 0);
	CHECK_INT(agent_mail(a, 0).type, 5);
	CHECK_INT(skynet_send(driver, 0, a->handle, 255, 0, "x", 1), 0);
	CHECK_INT(agent_mail(a, 1).type, 255);
	CHECK_INT(skynet_send(driver, 0, a->handle, 255, 0, NULL, 0), 0);
	CHECK_INT(agent_mail(a, 2).type, 255);
	CHECK_INT(agent_mail(a, 2).sz, 0);
	agent_kill(a);
}

static void
sources(void)
{
	struct agent *a = agent_new();
	skynet_send(driver, 0x1234, a->handle, 10, 5, "x", 1);
	CHECK_INT(agent_mail(a, 0).source, 0x1234);
	/* without a context when nothing asks for one */
	CHECK_INT(skynet_send(NULL, 0x4321, a->handle, 10, 5, "x", 1), 5);
	CHECK_INT(agent_mail(a, 1).source, 0x4321);
	log_mark();
	CHECK_INT(skynet_send(NULL, 1, 0, 10, 0, "x", 1), -1);
	CHECK_LOGGED(0, ERROR_MARK "Destination address can't be 0");
	agent_kill(a);
}

static void
null_messages(void)
{
	struct agent *a = agent_new();
	CHECK_INT(skynet_send(driver, 0, a->handle, 10, 3, NULL, 0), 3);
	struct mail m = agent_mail(a, 0);
	CHECK(m.msg == NULL);
	CHECK_INT(m.sz, 0);
	/* a length without data is for the two to understand */
	skynet_send(driver, 0, a->handle, 10, 3, NULL, 0x1234567890);
	m = agent_mail(a, 1);
	CHECK(m.msg == NULL);
	CHECK_INT(m.sz, 0x1234567890);
	skynet_send(driver, 0, a->handle, 10 | PTYPE_TAG_DONTCOPY, 3, NULL, HUGE - 1);
	m = agent_mail(a, 2);
	CHECK_INT(m.type, 10);
	CHECK_INT(m.sz, HUGE - 1);
	agent_kill(a);
}

static void
sessions(void)
{
	struct agent *a = agent_new();
	int first = draw();
	CHECK(first > 0);
	CHECK_INT(draw(), first + 1);
	CHECK_INT(skynet_send(driver, 0, a->handle, 10 | PTYPE_TAG_ALLOCSESSION, 0, "x", 1), first + 2);
	CHECK_INT(agent_mail(a, 0).session, first + 2);
	CHECK_INT(agent_mail(a, 0).type, 10);
	CHECK_INT(skynet_send(driver, 0, a->handle,
		10 | PTYPE_TAG_ALLOCSESSION | PTYPE_TAG_DONTCOPY, 0, owned("x"), 1), first + 3);
	CHECK_INT(agent_mail(a, 1).session, first + 3);
	CHECK_INT(skynet_context_newsession(driver), first + 4);
	/* without the tag nothing is drawn */
	CHECK_INT(skynet_send(driver, 0, 0, 0, 99, NULL, 0), 99);
	CHECK_INT(draw(), first + 5);
	/* each service has its own */
	int own = atoi(command_as(a, "TIMEOUT", "0"));
	CHECK(own == 1 || wrapping());
	CHECK_INT(atoi(command_as(a, "TIMEOUT", "0")), own + 1);
	agent_kill(a);
}

static void
too_large(void)
{
	struct agent *a = agent_new();
	char line[64];
	int first = draw();
	snprintf(line, sizeof line, ERROR_MARK "The message to %x is too large", a->handle);
	log_mark();
	CHECK_INT(skynet_send(driver, 0, a->handle, 10, 0, "x", HUGE), -2);
	CHECK_LOGGED(driver_handle, line);
	CHECK_INT(skynet_send(driver, 0, a->handle, 10 | PTYPE_TAG_DONTCOPY, 0, owned("x"), SIZE_MAX), -2);
	CHECK_LOGGED(driver_handle, line);
	/* before a session is drawn, and whether or not there is data or a receiver */
	CHECK_INT(skynet_send(driver, 0, a->handle, PTYPE_TAG_ALLOCSESSION, 0, NULL, HUGE), -2);
	CHECK_LOGGED(driver_handle, line);
	CHECK_INT(draw(), first + 1);
	CHECK_INT(skynet_send(driver, 0, 0x7ffb, 10, 0, "x", HUGE), -2);
	CHECK_LOGGED(driver_handle, ERROR_MARK "The message to 7ffb is too large");
	agent_settle(a);
	CHECK_INT(agent_count(a), 0);
	agent_kill(a);
}

static void
nobody(void)
{
	struct agent *a = agent_new();
	int first = draw();
	agent_kill(a);
	log_mark();
	CHECK_INT(skynet_send(driver, 0, a->handle, 10, 5, "x", 1), -1);
	CHECK_INT(skynet_send(driver, 0, a->handle, 10 | PTYPE_TAG_DONTCOPY, 5, owned("x"), 1), -1);
	/* the session is used up */
	CHECK_INT(skynet_send(driver, 0, a->handle, 10 | PTYPE_TAG_ALLOCSESSION, 0, "x", 1), -1);
	CHECK_INT(draw(), first + 2);
	CHECK_NOT_LOGGED();
	CHECK_INT(skynet_send(driver, 0, 0, 10, 5, "x", 1), -1);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Destination address can't be 0");
	CHECK_INT(skynet_send(driver, 0, 0, 10 | PTYPE_TAG_DONTCOPY, 5, owned("x"), 1), -1);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Destination address can't be 0");
	CHECK_INT(skynet_send(driver, 0, 0, 10 | PTYPE_TAG_ALLOCSESSION, 0, "x", 1), -1);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Destination address can't be 0");
	CHECK_INT(draw(), first + 4);
	CHECK_NOT_LOGGED();
}

static void
names(void)
{
	struct agent *a = agent_new();
	char address[16];
	int first;
	command("NAME", ".case_names :%x", a->handle);
	snprintf(address, sizeof address, ":%x", a->handle);
	log_mark();
	CHECK_INT(skynet_sendname(driver, 0, address, 10, 1, "by number", 9), 1);
	CHECK_TEXT(agent_mail(a, 0).data, "by number");
	CHECK_INT(agent_mail(a, 0).source, driver_handle);
	CHECK_INT(skynet_sendname(driver, 77, ".case_names", 10, 2, "by name", 7), 2);
	CHECK_TEXT(agent_mail(a, 1).data, "by name");
	CHECK_INT(agent_mail(a, 1).source, 77);
	char *text = owned("given away");
	CHECK_INT(skynet_sendname(driver, 0, ".case_names", 10 | PTYPE_TAG_DONTCOPY, 2, text, 10), 2);
	CHECK(agent_mail(a, 2).msg == text);
	first = draw();
	CHECK_INT(skynet_sendname(driver, 0, ".case_names", 10 | PTYPE_TAG_ALLOCSESSION, 0, "x", 1), first + 1);
	/* who has no such name draws no session */
	CHECK_INT(skynet_sendname(driver, 0, ".no_such_name", 10 | PTYPE_TAG_ALLOCSESSION, 0, "x", 1), -1);
	CHECK_INT(draw(), first + 2);
	CHECK_INT(skynet_sendname(driver, 0, ".no_such_name", 10 | PTYPE_TAG_DONTCOPY, 0, owned("x"), 1), -1);
	/* who has no such number does */
	CHECK_INT(skynet_sendname(driver, 0, ":7ffa", 10 | PTYPE_TAG_ALLOCSESSION, 0, "x", 1), -1);
	CHECK_INT(draw(), first + 4);
	CHECK_NOT_LOGGED();
	CHECK_INT(skynet_sendname(driver, 0, ".case_names", 10, 0, "x", HUGE), -2);
	CHECK_INT(log_count(), 1);
	agent_kill(a);
}

#define MANY 20000

static void *
foreign_sender(void *arg)
{
	struct agent *a = arg;
	static int failed;
	if (skynet_current_handle() != 0)
		failed = 1;
	for (int i = 0; i < MANY; i++) {
		if (skynet_send(driver, 0x5555, a->handle, 11, i, &i, sizeof i) != i)
			failed = 1;
	}
	return &failed;
}

static void
order(void)
{
	struct agent *a = agent_new();
	pthread_t thread;
	void *failed;
	int mine = 0, theirs = 0;
	CHECK(pthread_create(&thread, NULL, foreign_sender, a) == 0);
	for (int i = 0; i < MANY; i++)
		skynet_send(driver, 0, a->handle, 10, i, &i, sizeof i);
	pthread_join(thread, &failed);
	CHECK(*(int *)failed == 0);
	agent_mail(a, 2 * MANY - 1);
	for (int i = 0; i < 2 * MANY; i++) {
		struct mail m = a->inbox[i];
		int *expected = m.type == 10 ? &mine : &theirs;
		int n;
		memcpy(&n, m.data, sizeof n);
		if (m.session != *expected || n != *expected) {
			CHECK_INT(m.session, *expected);
			break;
		}
		++*expected;
	}
	CHECK_INT(mine, MANY);
	CHECK_INT(theirs, MANY);
	agent_kill(a);
}

static void
own_current(struct agent *a, void *arg)
{
	(void)a;
	*(uint32_t *)arg = skynet_current_handle();
}

static void
current_handle(void)
{
	struct agent *a = agent_new(), *b = agent_new();
	uint32_t seen;
	CHECK_INT(skynet_current_handle(), driver_handle);
	agent_run(a, own_current, &seen);
	CHECK_INT(seen, a->handle);
	agent_run(b, own_current, &seen);
	CHECK_INT(seen, b->handle);
	CHECK_INT(skynet_current_handle(), driver_handle);
	/* in init it is the launcher's */
	CHECK_INT(a->init_current, driver_handle);
	CHECK(pthread_equal(a->init_thread, pthread_self()));
	agent_kill(a);
	agent_kill(b);
}

static void
isremote(void)
{
	int harbor = -1;
	CHECK(!skynet_isremote(driver, driver_handle, &harbor));
	CHECK_INT(harbor, 0);
	CHECK(skynet_isremote(driver, 0x02000001, &harbor));
	CHECK_INT(harbor, 2);
	CHECK(skynet_isremote(NULL, 0xff000001, NULL));
	CHECK(!skynet_isremote(NULL, 0, &harbor));
	CHECK_INT(harbor, 0);
}

/* Messages that a service leaves behind are answered with errors. */
static void
dropped(void)
{
	struct agent *sender = agent_new(), *a = agent_new();
	struct gate gate;
	bool seen[3] = { false, false, false };
	gate_close(&gate, a);
	skynet_send(driver, sender->handle, a->handle, PTYPE_TEXT, 5, "five", 4);
	skynet_send(driver, sender->handle, a->handle, 10, 6, NULL, 0);
	skynet_send(driver, sender->handle, a->handle, 10 | PTYPE_TAG_DONTCOPY, 0, owned("none"), 4);
	/* the core itself gets no answer */
	skynet_context_send(a->ctx, owned("core"), 4, 0, 10, 7);
	command("KILL", ":%x", a->handle);
	/* from now on there is nobody */
	CHECK_INT(skynet_send(driver, sender->handle, a->handle, PTYPE_TEXT, 8, "x", 1), -1);
	CHECK_INT(a->released, 0);
	gate.open = true;
	WAIT_UNTIL(a->released);
	for (int i = 0; i < 3; i++) {
		struct mail m = agent_mail(sender, i);
		CHECK_INT(m.type, PTYPE_ERROR);
		CHECK_INT(m.source, a->handle);
		CHECK_INT(m.sz, 0);
		CHECK(m.msg == NULL);
		int n = m.session == 0 ? 0 : m.session - 4;
		if (CHECK(n >= 0 && n < 3))
			seen[n] = true;
	}
	CHECK(seen[0] && seen[1] && seen[2]);
	agent_settle(sender);
	CHECK_INT(agent_count(sender), 3);
	CHECK_INT(agent_count(a), 0);
	agent_kill(sender);
}

static void
set_no_callback(struct agent *a, void *arg)
{
	(void)arg;
	skynet_callback(a->ctx, NULL, NULL);
}

static void
no_callback(void)
{
	struct agent *sender = agent_new(), *a = agent_new(), *mute = agent_with(AGENT_MUTE);
	CHECK(mute->handle != 0);
	agent_run(a, set_no_callback, NULL);
	log_mark();
	CHECK_INT(skynet_send(driver, sender->handle, a->handle, 10, 5, "x", 1), 5);
	CHECK_INT(skynet_send(driver, sender->handle, mute->handle, 10, 6, "x", 1), 6);
	pause_ms(30);
	agent_settle(sender);
	CHECK_INT(agent_count(sender), 0);
	CHECK_NOT_LOGGED();
	agent_kill(a);
	agent_kill(mute);
	CHECK_INT(agent_count(sender), 0);
	agent_kill(sender);
}

struct switched {
	volatile int before, after;
};

static int
after_switch(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct switched *s = ud;
	(void)ctx, (void)type, (void)session, (void)source, (void)msg, (void)sz;
	s->after++;
	return 0;
}

static void
do_switch(struct agent *a, void *arg)
{
	struct switched *s = arg;
	skynet_callback(a->ctx, s, after_switch);
	s->before++;
}

static void
new_callback(void)
{
	struct agent *a = agent_new();
	struct switched s = { 0, 0 };
	agent_run(a, do_switch, &s);
	skynet_send(driver, 0, a->handle, 10, 0, "x", 1);
	WAIT_UNTIL(s.after == 1);
	CHECK_INT(s.before, 1);
	CHECK_INT(agent_count(a), 0);
	agent_kill(a);
}

static void
direct(void)
{
	struct agent *a = agent_new();
	struct skynet_message message = {
		.source = 0x77, .session = 3, .data = owned("pushed"),
		.sz = 6 | (size_t)10 << MESSAGE_TYPE_SHIFT,
	};
	CHECK_INT(skynet_context_push(a->handle, &message), 0);
	struct mail m = agent_mail(a, 0);
	CHECK_INT(m.type, 10);
	CHECK_INT(m.session, 3);
	CHECK_INT(m.source, 0x77);
	CHECK_INT(m.sz, 6);
	CHECK(m.msg == message.data);
	char *text = owned("sent");
	skynet_context_send(a->ctx, text, 4, 0x78, 12, 4);
	m = agent_mail(a, 1);
	CHECK_INT(m.type, 12);
	CHECK_INT(m.session, 4);
	CHECK_INT(m.source, 0x78);
	CHECK_INT(m.sz, 4);
	CHECK(m.msg == text);
	agent_kill(a);
	message.data = owned("stays mine");
	CHECK_INT(skynet_context_push(a->handle, &message), -1);
	skynet_free(message.data);
}

/* Lets n messages pile up in front of an agent and waits until they are all received. */
static void
pile_up(struct agent *a, int n)
{
	struct gate gate;
	int before = agent_count(a);
	gate_close(&gate, a);
	for (int i = 0; i < n; i++)
		skynet_send(driver, 0, a->handle, 10, 0, NULL, 0);
	/* nothing more is sent to it until it is done: the numbers are exact */
	gate_open(&gate);
	agent_mail(a, before + n - 1);
	/* and until its queue was found empty */
	pause_ms(20);
}

static void
overload(void)
{
	struct agent *a = agent_new();
	log_mark();
	/* the longest the queue may be without a word: 1024 behind the one that is taken */
	pile_up(a, 1025);
	CHECK_NOT_LOGGED();
	pile_up(a, 1026);
	CHECK_LOGGED(a->handle, ERROR_MARK "May overload, message queue length = 1025");
	/* an empty queue forgets; the threshold passes the length at once, so it is one line again */
	pile_up(a, 5001);
	CHECK_LOGGED(a->handle, ERROR_MARK "May overload, message queue length = 5000");
	pile_up(a, 1026);
	CHECK_LOGGED(a->handle, ERROR_MARK "May overload, message queue length = 1025");
	agent_kill(a);
}

const struct test_case send_cases[] = {
	CASE(copies),
	CASE(gives_away),
	CASE(keeps),
	CASE(types),
	CASE(sources),
	CASE(null_messages),
	CASE(sessions),
	CASE(too_large),
	CASE(nobody),
	CASE(names),
	CASE(order),
	CASE(current_handle),
	CASE(isremote),
	CASE(dropped),
	CASE(no_callback),
	CASE(new_callback),
	CASE(direct),
	CASE(overload),
	{ NULL, NULL },
};
