/* Services written the way other projects write them (test/api/third), each in use. */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t
launch(const char *what)
{
	const char *address = command("LAUNCH", "%s", what);
	CHECK(address != NULL);
	return address ? (uint32_t)strtoul(address + 1, NULL, 16) : 0;
}

static void
stop(uint32_t handle)
{
	command("KILL", ":%x", handle);
}

static bool
gone(uint32_t handle)
{
	struct skynet_context *ctx = skynet_handle_grab(handle);
	if (ctx)
		skynet_context_release(ctx);
	return ctx == NULL;
}

static int next_session = 1000;

/* A text in the name of an agent; the session to expect an answer under. */
static int
request(struct agent *from, uint32_t to, const char *text)
{
	int session = ++next_session;
	CHECK_INT(skynet_send(driver, from->handle, to, PTYPE_TEXT, session, (void *)text, strlen(text)),
		session);
	return session;
}

/* The answer that comes as the next mail of an agent. */
static const char *
answer(struct agent *a, int session)
{
	struct mail m = agent_mail(a, 0);
	CHECK_INT(m.type, PTYPE_RESPONSE);
	CHECK_INT(m.session, session);
	CHECK_INT(agent_count(a), 1);
	agent_clear(a);
	if (m.data && m.type == PTYPE_RESPONSE)
		m.data[m.sz] = '\0';
	return m.data ? m.data : "(nothing)";
}

static const char *
ask(struct agent *a, uint32_t to, const char *text)
{
	return answer(a, request(a, to, text));
}

static void
counter(void)
{
	struct agent *a = agent_new();
	uint32_t one = launch("counter"), two = launch("counter 5");
	int slow = request(a, one, "run 1 20"), immediate;
	CHECK_TEXT(answer(a, slow), "20");
	/* no time at all, and two at once */
	immediate = request(a, two, "run 0 3");
	CHECK_TEXT(answer(a, immediate), "8");
	slow = request(a, one, "run 2 5");
	CHECK_TEXT(answer(a, slow), "25");
	CHECK_TEXT(ask(a, two, "count"), "8");
	command("SIGNAL", ":%x 10", two);
	CHECK_TEXT(ask(a, two, "run 1 2"), "28");
	log_mark();
	stop(one);
	stop(two);
	agent_kill(a);
}

/* ---- lines over TCP ---- */

static int
dial(int port)
{
	struct sockaddr_in address;
	struct timeval patience = { 15, 0 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_port = htons((uint16_t)port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void
say(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		if (!CHECK(n > 0))
			return;
		text += n;
		len -= (size_t)n;
	}
}

/* As many bytes, or fewer at the end of the stream. */
static size_t
hear(int fd, char *to, size_t len)
{
	size_t got = 0;
	while (got < len) {
		ssize_t n = recv(fd, to + got, len - got, 0);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

static void
expect(int fd, const char *text)
{
	char got[64] = "";
	hear(fd, got, strlen(text));
	CHECK_TEXT(got, text);
}

static void
line_server(void)
{
	enum { CLIENTS = 20, LONG = 200000 };
	struct agent *a = agent_new();
	uint32_t server = launch("lineserver 127.0.0.1");
	int fds[CLIENTS], port = 0;
	char *big = malloc(LONG + 8), *back = malloc(LONG + 8);
	/* it learns of the port by an event */
	for (int tries = 0; port == 0 && tries < 5000; tries++) {
		port = atoi(ask(a, server, "port"));
		if (port == 0)
			pause_ms(1);
	}
	CHECK(port > 0);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = dial(port);
	for (int i = 0; i < CLIENTS; i++)
		say(fds[i], "first\nsecond\nthi", 16);
	for (int i = 0; i < CLIENTS; i++)
		expect(fds[i], "1 first\n2 second\n");
	CHECK_INT(atoi(ask(a, server, "connections")), CLIENTS);
	for (int i = 0; i < CLIENTS; i++) {
		say(fds[i], "rd\n\n", 4);
		expect(fds[i], "3 third\n4 \n");
	}
	memset(big, 'x', LONG);
	big[LONG] = '\n';
	say(fds[0], big, LONG + 1);
	CHECK_INT(hear(fds[0], back, LONG + 3), LONG + 3);
	CHECK(memcmp(back, "5 ", 2) == 0 && memcmp(back + 2, big, LONG + 1) == 0);
	/* one says so, one just goes, the others are cut off by the end of the service */
	say(fds[1], "last\nquit\nnever", 15);
	expect(fds[1], "5 last\n");
	CHECK_INT(hear(fds[1], back, 1), 0);
	close(fds[2]);
	int left = 0;
	for (int tries = 0; left != CLIENTS - 2 && tries < 5000; tries++) {
		left = atoi(ask(a, server, "connections"));
		pause_ms(1);
	}
	CHECK_INT(left, CLIENTS - 2);
	stop(server);
	CHECK_INT(hear(fds[3], back, 1), 0);
	for (int i = 0; i < CLIENTS; i++) {
		if (i != 2)
			close(fds[i]);
	}
	free(big);
	free(back);
	agent_kill(a);
}

/* ---- the others ---- */

static void
supervisor(void)
{
	struct agent *a = agent_new();
	uint32_t boss = launch("supervisor .boss");
	char ward[16];
	CHECK_INT(skynet_queryname(driver, ".boss"), boss);
	CHECK_TEXT(ask(a, boss, "spawn no_such_module x"), "failed");
	CHECK_TEXT(ask(a, boss, "ask count"), "nobody");
	snprintf(ward, sizeof ward, "%s", ask(a, boss, "spawn counter 7"));
	CHECK(ward[0] == ':' && strlen(ward) == 9);
	CHECK_TEXT(ask(a, boss, "ask count"), "7");
	CHECK_TEXT(ask(a, boss, "signal 0x10"), "done");
	CHECK_TEXT(ask(a, boss, "ask run 1 2"), "39");
	CHECK_TEXT(ask(a, boss, "kill"), ward);
	CHECK_TEXT(ask(a, boss, "ask count"), "nobody");
	/* the name is free again */
	CHECK(ask(a, boss, "spawn counter 1")[0] == ':');
	CHECK_TEXT(ask(a, boss, "ask count"), "1");
	CHECK(ask(a, boss, "kill")[0] == ':');
	command("MONITOR", ":0");
	stop(boss);
	agent_kill(a);
}

static void
kept_messages(void)
{
	enum { FIRST = 12, LAST = 127 };
	struct agent *a = agent_new();
	uint32_t stash = launch("stash");
	char text[32];
	int session;
	for (int type = FIRST; type <= LAST; type++) {
		snprintf(text, sizeof text, "of type %d", type);
		CHECK_INT(skynet_send(driver, a->handle, stash, type, type, text, strlen(text)), type);
	}
	session = request(a, stash, "return");
	for (int i = 0; i <= LAST - FIRST; i++) {
		struct mail m = agent_mail(a, i);
		snprintf(text, sizeof text, "of type %d", FIRST + i);
		CHECK_INT(m.type, FIRST + i);
		CHECK_INT(m.session, i + 1);
		CHECK_INT(m.source, stash);
		CHECK(m.sz == strlen(text) && memcmp(m.data, text, m.sz) == 0);
	}
	CHECK_INT(agent_mail(a, LAST - FIRST + 1).session, session);
	agent_clear(a);
	/* freed by a thread of its own, and some more with the service */
	for (int i = 0; i < 100; i++)
		skynet_send(driver, a->handle, stash, 12 + i, 0, text, sizeof text);
	CHECK_TEXT(ask(a, stash, "drop"), "100");
	CHECK_TEXT(ask(a, stash, "drop"), "0");
	for (int i = 0; i < 50; i++)
		skynet_send(driver, a->handle, stash, 60, 0, text, sizeof text);
	stop(stash);
	agent_kill(a);
}

static void
foreign_thread(void)
{
	enum { ROUNDS = 200 };
	struct agent *a = agent_new();
	char what[64];
	int sent = 0, pushed = 0, given = 0, ticks = 0, lines = 0;
	log_mark();
	snprintf(what, sizeof what, "outside %x %d", a->handle, ROUNDS);
	uint32_t outside = launch(what);
	agent_mail(a, 4 * ROUNDS - 1);
	CHECK_INT(agent_count(a), 4 * ROUNDS);
	for (int i = 0; i < agent_count(a); i++) {
		struct mail m = agent_mail(a, i);
		char text[32] = "";
		CHECK_INT(m.source, outside);
		switch (m.type) {
		case 29:
			snprintf(text, sizeof text, "sent %d", ++sent);
			CHECK_INT(m.session, sent);
			break;
		case 30:
			snprintf(text, sizeof text, "pushed %d", ++pushed);
			CHECK_INT(m.session, pushed);
			break;
		case 31:
			snprintf(text, sizeof text, "given %d", ++given);
			CHECK_INT(m.session, given);
			break;
		case 32:
			/* by way of the timer and the service: in no order */
			CHECK(m.session >= 1 && m.session <= ROUNDS);
			ticks++;
			break;
		default:
			CHECK_INT(m.type, 29);
		}
		CHECK(m.sz == strlen(text) && (m.sz == 0 || memcmp(m.data, text, m.sz) == 0));
	}
	CHECK_INT(sent, ROUNDS);
	CHECK_INT(pushed, ROUNDS);
	CHECK_INT(given, ROUNDS);
	CHECK_INT(ticks, ROUNDS);
	/* its release waits for the thread, so every line is out when the service is gone */
	stop(outside);
	WAIT_UNTIL(gone(outside));
	for (int tries = 0; lines < ROUNDS && tries < 5000; tries++) {
		int n = log_count();
		lines = 0;
		for (int i = 0; i < n; i++) {
			struct line line = log_line(i);
			lines += line.source == outside && strstr(line.text, "of a thread of its own") != NULL;
		}
	}
	CHECK_INT(lines, ROUNDS);
	agent_clear(a);
	agent_kill(a);
}

static void
broker(void)
{
	struct agent *a = agent_new(), *b = agent_new();
	uint32_t one = launch("broker"), two = launch("broker");
	CHECK_TEXT(ask(a, one, "post nobody"), "0");
	CHECK_TEXT(ask(a, one, "join"), "0");
	CHECK_TEXT(ask(b, two, "join"), "0");
	/* by either: they share the list */
	int session = request(b, two, "post some news");
	struct mail m = agent_mail(a, 0);
	CHECK_INT(m.type, 40);
	CHECK_INT(m.source, b->handle);
	CHECK(m.sz == 9 && memcmp(m.data, "some news", 9) == 0);
	CHECK_INT(agent_mail(b, 0).type, 40);
	CHECK_INT(agent_mail(b, 1).session, session);
	agent_clear(a);
	agent_clear(b);
	/* one has gone without a word, the other leaves */
	agent_kill(a);
	session = request(b, one, "post again");
	CHECK_INT(agent_mail(b, 0).type, 40);
	m = agent_mail(b, 1);
	CHECK_INT(m.session, session);
	CHECK(m.sz == 1 && m.data[0] == '1');
	agent_clear(b);
	CHECK_TEXT(ask(b, two, "leave"), "0");
	CHECK_TEXT(ask(b, one, "post nobody"), "0");
	CHECK_TEXT(ask(b, one, "queue"), "644");
	stop(one);
	stop(two);
	agent_kill(b);
}

static void
module_with_main(void)
{
	struct agent *a = agent_new();
	uint32_t service = launch("withmain some text");
	CHECK_TEXT(ask(a, service, "?"), "main was called 0 times");
	stop(service);
	agent_kill(a);
}

const struct test_case third_cases[] = {
	CASE(counter),
	CASE(line_server),
	CASE(supervisor),
	CASE(kept_messages),
	CASE(foreign_thread),
	CASE(broker),
	CASE(module_with_main),
	{ NULL, NULL },
};
