/* Sockets as services see them: event sequences, states, priorities, datagrams, adopted descriptors. */
#include "harness.h"
#include "malloc_hook.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#if SKYNET_API_HEAD
#define ENGINE "socket-server error: "
#else
#define ENGINE "socket-server: "
#endif

/* No socket has this id, or had it. */
#define UNKNOWN 0x7f000001

/* ---- events ---- */

/* A service and how many of its events were looked at. */
struct side {
	struct agent *a;
	int at;
};

struct event {
	int type, id, ud;
	char text[129];
	char data[2048];	/* what fits of DATA and UDP, with its address */
	int address;	/* bytes of it */
};

static struct side
side(void)
{
	struct side s = { agent_new(), 0 };
	return s;
}

/* Takes a DATA or UDP block, which is ours. */
static void
take_block(struct event *e, struct skynet_socket_message *m)
{
	size_t size = (size_t)m->ud;
	const char *address = skynet_socket_udp_address(m, &e->address);
	if (address) {
		CHECK(address == m->buffer + m->ud);
		size += (size_t)e->address;
	}
	memcpy(e->data, m->buffer, size < sizeof(e->data) ? size : sizeof(e->data));
	skynet_free(m->buffer);
}

static struct event
next(struct side *s)
{
	struct event e;
	struct skynet_socket_message m;
	struct mail mail = agent_mail(s->a, s->at);
	memset(&e, 0, sizeof(e));
	if (!CHECK(mail.type == PTYPE_SOCKET && mail.sz >= sizeof(m)))
		return e;
	s->at++;
	CHECK_INT(mail.source, 0);
	CHECK_INT(mail.session, 0);
	memcpy(&m, mail.data, sizeof(m));
	e.type = m.type;
	e.id = m.id;
	e.ud = m.ud;
	if (m.buffer) {
		CHECK(m.type == SKYNET_SOCKET_TYPE_DATA || m.type == SKYNET_SOCKET_TYPE_UDP);
		CHECK_INT(mail.sz, sizeof(m));
		take_block(&e, &m);
	} else if (CHECK(mail.sz - sizeof(m) < sizeof(e.text))) {
		memcpy(e.text, mail.data + sizeof(m), mail.sz - sizeof(m));
		CHECK(skynet_socket_udp_address(&m, &e.address) == NULL);
	}
	return e;
}

#define EXPECT(s, type, id, ud, text) expect(s, SKYNET_SOCKET_TYPE_##type, id, ud, text, __LINE__)
static struct event
expect(struct side *s, int type, int id, int ud, const char *text, int line)
{
	struct event e = next(s);
	check_int(e.type, type, __FILE__, line, "event");
	check_int(e.id, id, __FILE__, line, "id");
	if (ud >= 0)
		check_int(e.ud, ud, __FILE__, line, "ud");
	if (text)
		check_text(e.text, text, __FILE__, line, "text");
	return e;
}

/* Nothing more came. What comes too late is not seen, which makes the check weaker, not wrong. */
#define QUIET(s) quiet(s, __LINE__)
static void
quiet(struct side *s, int line)
{
	pause_ms(30);
	check_int(agent_count(s->a), s->at, __FILE__, line, "events");
}

/* The row of an id, cleared when it is not listed; the list is in order. */
static struct socket_info
row(int id)
{
	struct socket_info found, *list = skynet_socket_info();
	int slot = 65536;
	memset(&found, 0, sizeof(found));
	for (struct socket_info *at = list; at; at = at->next) {
		CHECK(at->id % 65536 < slot);
		slot = at->id % 65536;
		if (at->id == id)
			found = *at;
	}
	if (list)
		socket_info_release(list);
	return found;
}

/* ---- the other end ---- */

static struct sockaddr_in
local(int port)
{
	struct sockaddr_in to;
	memset(&to, 0, sizeof(to));
	to.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return to;
}

static int
port_of(int fd)
{
	struct sockaddr_in name;
	socklen_t size = sizeof(name);
	CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
	return ntohs(name.sin_port);
}

static int
plain_socket(int type)
{
	struct timeval limit = { 10, 0 };
	int fd = socket(AF_INET, type, 0);
	CHECK(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static int
dial(int port)
{
	int fd = plain_socket(SOCK_STREAM);
	struct sockaddr_in to = local(port);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

/* Bound to a port of its own. */
static int
bound(int type)
{
	int fd = plain_socket(type);
	struct sockaddr_in to = local(0);
	CHECK(bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

static void
put(int fd, const char *bytes, size_t size)
{
	CHECK_INT(write(fd, bytes, size), (long long)size);
}

/* Reads to the end, or until there are size bytes. How many there were. */
static size_t
get(int fd, char *bytes, size_t size)
{
	size_t have = 0;
	while (have < size) {
		ssize_t n = read(fd, bytes + have, size - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return have;
}

static bool
at_end(int fd)
{
	char byte;
	return read(fd, &byte, 1) == 0;
}

/* Nothing to read. */
static bool
silent(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	return poll(&p, 1, 30) == 0;
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ---- what most cases begin with ---- */

static bool
ours(void)
{
	return dlsym(RTLD_DEFAULT, "skynetx_socket_option") != NULL;
}

/* Fills what the kernel takes, so that everything that follows waits. */
#define FILLING 8000000
static char filling[FILLING];

static int
send_as(int (*f)(struct skynet_context *, struct socket_sendbuffer *), int id, const char *bytes,
	size_t size)
{
	struct socket_sendbuffer out;
	memset(&out, 0, sizeof(out));
	out.id = id;
	out.type = SOCKET_BUFFER_RAWPOINTER;
	out.buffer = bytes;
	out.sz = size;
	return f(NULL, &out);
}

static int
send_high(int id, const char *bytes, size_t size)
{
	return send_as(skynet_socket_sendbuffer, id, bytes, size);
}

static int
send_low(int id, const char *bytes, size_t size)
{
	return send_as(skynet_socket_sendbuffer_lowpriority, id, bytes, size);
}

/* A listener that accepts. */
static int
listening(struct side *s, int *port)
{
	int id = skynet_socket_listen(s->a->ctx, "127.0.0.1", 0, 32);
	*port = EXPECT(s, CONNECT, id, -1, "127.0.0.1").ud;
	CHECK(*port > 0);
	skynet_socket_start(s->a->ctx, id);
	EXPECT(s, CONNECT, id, 0, "start");
	return id;
}

/* A connection from outside that was accepted and is not started. */
static int
accepted(struct side *s, int listener, int port, int *fd)
{
	char text[64];
	*fd = dial(port);
	struct event e = EXPECT(s, ACCEPT, listener, -1, NULL);
	snprintf(text, sizeof(text), "127.0.0.1:%d", port_of(*fd));
	CHECK_TEXT(e.text, text);
	CHECK(e.ud > 0);
	return e.ud;
}

/* The same, started. */
static int
connected(struct side *s, int listener, int port, int *fd)
{
	int id = accepted(s, listener, port, fd);
	skynet_socket_start(s->a->ctx, id);
	EXPECT(s, CONNECT, id, 0, "start");
	return id;
}

static void
done(struct side *s, int listener)
{
	skynet_socket_close(s->a->ctx, listener);
	EXPECT(s, CLOSE, listener, 0, "");
	agent_kill(s->a);
}

/* ---- event sequences ---- */

static void
from_listen_to_data(void)
{
	static const int sizes[] = { 64, 128, 256, 512, 40 };
	struct side s = side();
	char sent[1000];
	int fd, port, at = 0;
	int listener = skynet_socket_listen(s.a->ctx, "127.0.0.1", 0, 32);
	CHECK(listener > 0);
	port = EXPECT(&s, CONNECT, listener, -1, "127.0.0.1").ud;
	CHECK(port > 0);
	fd = dial(port);
	QUIET(&s);
	skynet_socket_start(s.a->ctx, listener);
	EXPECT(&s, CONNECT, listener, 0, "start");
	int id = EXPECT(&s, ACCEPT, listener, -1, NULL).ud;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7);
	put(fd, sent, sizeof(sent));
	QUIET(&s);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, CONNECT, id, 0, "start");
	for (int i = 0; i < 5; i++) {
		struct event e = EXPECT(&s, DATA, id, sizes[i], "");
		CHECK(at + e.ud <= 1000 && memcmp(e.data, sent + at, (size_t)e.ud) == 0);
		at += e.ud;
	}
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, CONNECT, id, 0, "transfer");
	/* the buffer that was found out to do is there for what comes now */
	put(fd, sent, 100);
	EXPECT(&s, DATA, id, 100, "");
	close(fd);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_close(s.a->ctx, id);
	done(&s, listener);
}

static void
peer_closes(void)
{
	struct side s = side();
	int fd, port, listener = listening(&s, &port);
	int id = connected(&s, listener, port, &fd);
	char text[8];
	shutdown(fd, SHUT_WR);
	EXPECT(&s, CLOSE, id, 0, "");
	/* the other direction still works */
	CHECK_INT(send_high(id, "answer", 6), 0);
	CHECK_INT(get(fd, text, 6), 6);
	CHECK(memcmp(text, "answer", 6) == 0);
	skynet_socket_close(s.a->ctx, id);
	CHECK(at_end(fd));
	QUIET(&s);
	CHECK_INT(send_high(id, "x", 1), -1);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, ERROR, id, 0, "invalid socket");
	close(fd);
	done(&s, listener);
}

static void
own_close(void)
{
	struct side s = side();
	int fd, port, listener = listening(&s, &port);
	int id = connected(&s, listener, port, &fd);
	skynet_socket_close(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_close(s.a->ctx, id);
	skynet_socket_shutdown(s.a->ctx, id);
	skynet_socket_pause(s.a->ctx, id);
	skynet_socket_nodelay(s.a->ctx, id);
	QUIET(&s);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, ERROR, id, 0, "invalid socket");
	CHECK_INT(send_high(id, "x", 1), -1);
	CHECK_INT(send_low(id, "x", 1), -1);
	CHECK(at_end(fd));
	close(fd);
	done(&s, listener);
}

static void
refused(void)
{
	struct side s = side();
	int fd = bound(SOCK_STREAM), port = port_of(fd);
	int id = skynet_socket_connect(s.a->ctx, "127.0.0.1", port);
	CHECK(id > 0);
	EXPECT(&s, ERROR, id, 0, "Connection refused");
	QUIET(&s);
	CHECK_INT(send_high(id, "x", 1), -1);
	close(fd);
	agent_kill(s.a);
}

static void
warnings(void)
{
	static char block[1000000];
	struct side s = side();
	int fd, port, seen = 0, mark = 1024, listener = listening(&s, &port);
	int id = connected(&s, listener, port, &fd);
	struct event e;
	for (int i = 0; i < 20; i++)
		CHECK_INT(send_high(id, block, sizeof(block)), 0);
	/* what the kernel takes is its own affair: each comes at the next mark or later */
	for (size_t have = 0; have < 20 * sizeof(block); have += sizeof(block))
		CHECK_INT(get(fd, block, sizeof(block)), sizeof(block));
	do {
		e = EXPECT(&s, WARNING, id, -1, "");
		if (e.ud) {
			CHECK(e.ud >= mark);
			CHECK(e.ud <= 20000000 / 1024 + 1);
			mark *= 2;
			seen++;
		}
	} while (e.type == SKYNET_SOCKET_TYPE_WARNING && e.ud);
	CHECK(seen >= 3);
	QUIET(&s);
	close(fd);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_close(s.a->ctx, id);
	done(&s, listener);
}

static void
sent_before_start(void)
{
	struct side s = side();
	int fd, port, listener = listening(&s, &port);
	int id = accepted(&s, listener, port, &fd);
	char text[8];
	CHECK_INT(send_high(id, "early", 5), 0);
	CHECK_INT(send_low(id, "early", 5), 0);
	CHECK(silent(fd));
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, CONNECT, id, 0, "start");
	CHECK_INT(send_high(id, "now", 3), 0);
	CHECK_INT(get(fd, text, 3), 3);
	CHECK(memcmp(text, "now", 3) == 0);
	CHECK(silent(fd));
	skynet_socket_close(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	close(fd);
	done(&s, listener);
}

/* ---- start, in every state ---- */

static void
start_unknown(void)
{
	struct side s = side();
	skynet_socket_start(s.a->ctx, UNKNOWN);
	EXPECT(&s, ERROR, UNKNOWN, 0, "invalid socket");
	agent_kill(s.a);
}

/* Who starts a socket owns it. */
static void
start_by_another(void)
{
	struct side a = side(), b = side();
	int fd, other, port;
	int listener = skynet_socket_listen(a.a->ctx, "127.0.0.1", 0, 32);
	port = EXPECT(&a, CONNECT, listener, -1, NULL).ud;
	skynet_socket_start(b.a->ctx, listener);
	EXPECT(&b, CONNECT, listener, 0, "start");
	int id = accepted(&b, listener, port, &fd);
	skynet_socket_start(a.a->ctx, id);
	EXPECT(&a, CONNECT, id, 0, "start");
	put(fd, "to a", 4);
	EXPECT(&a, DATA, id, 4, "");
	skynet_socket_start(b.a->ctx, id);
	EXPECT(&b, CONNECT, id, 0, "transfer");
	put(fd, "to b", 4);
	EXPECT(&b, DATA, id, 4, "");
	/* a listener that accepts stays with its owner */
	skynet_socket_start(a.a->ctx, listener);
	QUIET(&a);
	int second = accepted(&b, listener, port, &other);
	/* half closed */
	shutdown(fd, SHUT_WR);
	EXPECT(&b, CLOSE, id, 0, "");
	skynet_socket_start(a.a->ctx, id);
	EXPECT(&a, ERROR, id, 0, "socket closed");
	/* the owner hears of it, not who closes */
	skynet_socket_close(a.a->ctx, second);
	EXPECT(&b, CLOSE, second, 0, "");
	skynet_socket_close(a.a->ctx, id);
	QUIET(&a);
	close(fd);
	close(other);
	agent_kill(a.a);
	done(&b, listener);
}

static void
pause_and_start(void)
{
	struct side s = side();
	int fd, other, port, listener = listening(&s, &port);
	int id = connected(&s, listener, port, &fd);
	skynet_socket_pause(s.a->ctx, id);
	QUIET(&s);
	put(fd, "later", 5);
	QUIET(&s);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, CONNECT, id, 0, "transfer");
	EXPECT(&s, DATA, id, 5, "");
	skynet_socket_pause(s.a->ctx, listener);
	QUIET(&s);
	other = dial(port);
	QUIET(&s);
	skynet_socket_start(s.a->ctx, listener);
	int second = EXPECT(&s, ACCEPT, listener, -1, NULL).ud;
	skynet_socket_pause(s.a->ctx, UNKNOWN);
	skynet_socket_nodelay(s.a->ctx, id);
	QUIET(&s);
	skynet_socket_shutdown(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_shutdown(s.a->ctx, second);
	EXPECT(&s, CLOSE, second, 0, "");
	close(fd);
	close(other);
	done(&s, listener);
}

/* A port at which connects are neither taken nor refused, until somebody accepts. */
#define WAITING 4
struct full {
	int fd, port, waiting[WAITING];
};

static struct full
full(void)
{
	struct full f;
	f.fd = bound(SOCK_STREAM);
	f.port = port_of(f.fd);
	struct sockaddr_in to = local(f.port);
	CHECK(listen(f.fd, 0) == 0);
	for (int i = 0; i < WAITING; i++) {
		f.waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(f.waiting[i], (struct sockaddr *)&to, sizeof(to));
	}
	return f;
}

/* Those that stood in the way go. Connects that wait come through at their next try, after a second or more. */
static void
make_room(struct full *f)
{
	for (int i = 0; i < WAITING; i++)
		close(f->waiting[i]);
	close(accept(f->fd, NULL, NULL));
}

static void
start_connecting(void)
{
	struct side s = side();
	struct full f = full();
	int id = skynet_socket_connect(s.a->ctx, "127.0.0.1", f.port);
	QUIET(&s);
	skynet_socket_start(s.a->ctx, id);
	QUIET(&s);
	CHECK_INT(send_high(id, "queued", 6), 0);
	skynet_socket_shutdown(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	make_room(&f);
	close(f.fd);
	QUIET(&s);
	agent_kill(s.a);
}

/* Pieces of growing size, with the bytes of a pattern that runs through all of them. */
#define PIECES 40
#define PIECE(i) ((size_t)(i) * (size_t)(i) * 17 + 1)
#define PIECES_SIZE 350000

static size_t
send_pieces(int id, char *bytes)
{
	size_t size = 0;
	for (size_t i = 0; i < PIECES_SIZE; i++)
		bytes[i] = (char)(i * 31 + i / 251);
	for (int i = 0; i < PIECES && CHECK(size + PIECE(i) <= PIECES_SIZE); i++) {
		CHECK_INT(send_high(id, bytes + size, PIECE(i)), 0);
		size += PIECE(i);
	}
	return size;
}

/* The next connection that has anything to say, and that this is what was sent. */
static int
accept_pieces(int fd, const char *sent, size_t size)
{
	static char got[PIECES_SIZE];
	size_t have;
	int peer;
	while (CHECK((peer = accept(fd, NULL, NULL)) >= 0)) {
		have = get(peer, got, size);
		if (have > 0) {
			CHECK_INT(have, size);
			CHECK(memcmp(got, sent, size) == 0);
			return peer;
		}
		close(peer);
	}
	return -1;
}

/* What is sent to a socket that is not connected yet goes out when it is. */
static void
sent_while_connecting(void)
{
	static char bytes[PIECES_SIZE];
	struct side s = side();
	struct full f = full();
	int id = skynet_socket_connect(s.a->ctx, "127.0.0.1", f.port), peer;
	QUIET(&s);
	size_t size = send_pieces(id, bytes);
	QUIET(&s);
	make_room(&f);
	EXPECT(&s, CONNECT, id, 0, "127.0.0.1");
	peer = accept_pieces(f.fd, bytes, size);
	put(peer, "back", 4);
	EXPECT(&s, DATA, id, 4, "");
	close(peer);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_close(s.a->ctx, id);
	/* the same at once; upstream aborts when the socket is opened behind a send */
	for (int i = 0; i < 20 && ours(); i++) {
		id = skynet_socket_connect(s.a->ctx, "127.0.0.1", f.port);
		size = send_pieces(id, bytes);
		peer = accept_pieces(f.fd, bytes, size);
		EXPECT(&s, CONNECT, id, 0, "127.0.0.1");
		skynet_socket_close(s.a->ctx, id);
		EXPECT(&s, CLOSE, id, 0, "");
		CHECK(at_end(peer));
		close(peer);
	}
	close(f.fd);
	agent_kill(s.a);
}

/* The id is gone, and everything about it has been said. */
static void
gone(struct side *s, int id)
{
	skynet_socket_start(s->a->ctx, id);
	EXPECT(s, ERROR, id, 0, "invalid socket");
}

static void
closed_while_connecting(void)
{
	struct side s = side();
	struct full f = full();
	int id = skynet_socket_connect(s.a->ctx, "127.0.0.1", f.port);
	QUIET(&s);
	skynet_socket_close(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_close(s.a->ctx, id);
	gone(&s, id);
	CHECK_INT(send_high(id, "x", 1), -1);
	/* nor does it come when it could */
	make_room(&f);
	pause_ms(1500);
	QUIET(&s);
	close(f.fd);
	/* the same at any moment: a CONNECT may come, but not behind the CLOSE */
	f.fd = bound(SOCK_STREAM);
	f.port = port_of(f.fd);
	CHECK(listen(f.fd, 128) == 0);
	for (int i = 0; i < 100; i++) {
		id = skynet_socket_connect(s.a->ctx, "127.0.0.1", f.port);
		for (volatile int spin = 0; spin < i * 200; spin++) {
		}
		skynet_socket_close(s.a->ctx, id);
		struct event e = next(&s);
		CHECK_INT(e.id, id);
		if (e.type == SKYNET_SOCKET_TYPE_CONNECT)
			EXPECT(&s, CLOSE, id, 0, "");
		else
			CHECK_INT(e.type, SKYNET_SOCKET_TYPE_CLOSE);
		gone(&s, id);
	}
	close(f.fd);
	agent_kill(s.a);
}

/* ---- a peer that resets ---- */

#define BLOCK 100000

/* Hands over blocks of the agent's account. */
static void
send_blocks(struct agent *a, void *arg)
{
	struct socket_sendbuffer out;
	memset(&out, 0, sizeof(out));
	out.id = *(int *)arg;
	out.type = SOCKET_BUFFER_MEMORY;
	out.sz = BLOCK;
	for (int i = 0; i < 3; i++) {
		out.buffer = skynet_malloc(BLOCK);
		memset((void *)out.buffer, i, BLOCK);
		skynet_socket_sendbuffer(a->ctx, &out);
	}
}

static void
account(struct agent *a, void *arg)
{
	(void)a;
	*(size_t *)arg = malloc_current_memory();
}

static size_t
account_of(struct agent *a)
{
	size_t bytes;
	agent_run(a, account, &bytes);
	return bytes;
}

/* Writing to a socket whose peer has reset it. Its end is told once, an ERROR in front of it; upstream may tell two,
 * or one behind it, when the writes fail as well. */
static void
peer_resets(void)
{
	struct linger now = { 1, 0 };
	struct side s = side();
	int fd, port, listener = listening(&s, &port);
	size_t before = account_of(s.a);
	for (int i = 0; i < 50; i++) {
		int errors = 0, late = 0, closes = 0, id = connected(&s, listener, port, &fd);
		struct event e;
		/* with output that waits for the peer, and without */
		if (i % 2)
			CHECK_INT(send_high(id, filling, FILLING), 0);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
		agent_run(s.a, send_blocks, &id);
		do
			e = next(&s);
		while (e.type == SKYNET_SOCKET_TYPE_WARNING);
		skynet_socket_shutdown(s.a->ctx, id);
		skynet_socket_start(s.a->ctx, id);
		for (; e.type && strcmp(e.text, "invalid socket") != 0; e = next(&s)) {
			CHECK_INT(e.id, id);
			if (e.type == SKYNET_SOCKET_TYPE_CLOSE)
				closes++;
			else if (e.type != SKYNET_SOCKET_TYPE_WARNING && CHECK_INT(e.type, SKYNET_SOCKET_TYPE_ERROR))
				*(closes ? &late : &errors) += 1;
		}
		CHECK_INT(closes, 1);
		CHECK(ours() ? errors <= 1 && late == 0 : errors + late <= 2);
		CHECK_INT(send_high(id, "x", 1), -1);
	}
	/* less than a block; the events are on the account as well */
	WAIT_UNTIL(account_of(s.a) < before + BLOCK);
	done(&s, listener);
}

static void
connect_and_queue(void)
{
	struct side s = side();
	int fd = bound(SOCK_STREAM), port = port_of(fd), peer;
	char text[16];
	CHECK(listen(fd, 8) == 0);
	int id = skynet_socket_connect(s.a->ctx, "127.0.0.1", port);
	struct event e = EXPECT(&s, CONNECT, id, 0, "127.0.0.1");
	CHECK_INT(e.id, id);
	CHECK_INT(send_high(id, "hello", 5), 0);
	peer = accept(fd, NULL, NULL);
	CHECK_INT(get(peer, text, 5), 5);
	put(peer, "back", 4);
	EXPECT(&s, DATA, id, 4, "");
	close(peer);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_close(s.a->ctx, id);
	close(fd);
	agent_kill(s.a);
}

static void
names_that_cannot_be(void)
{
	struct side s = side();
	char host[300], line[400];
	log_mark();
	memset(host, 'h', sizeof(host));
	host[232] = '\0';
	CHECK_INT(skynet_socket_connect(s.a->ctx, host, 80), -1);
#if SKYNET_API_HEAD
	snprintf(line, sizeof(line), "socket-server error: Invalid addr %s.", host);
#else
	snprintf(line, sizeof(line), "socket-server : Invalid addr %s.", host);
#endif
	CHECK_LOGGED(0, line);
	int id = skynet_socket_connect(s.a->ctx, "256.256.256.256", 80);
	struct event e = EXPECT(&s, ERROR, id, 0, NULL);
	CHECK(strlen(e.text) > 0);
	QUIET(&s);
	CHECK_INT(send_high(id, "x", 1), -1);
	agent_kill(s.a);
}

/* ---- sending and closing ---- */

static void
close_flushes(void)
{
	struct side s = side();
	int fd, port, listener = listening(&s, &port);
	int id = connected(&s, listener, port, &fd);
	struct event e;
	memset(filling, 'f', FILLING);
	CHECK_INT(send_high(id, filling, FILLING), 0);
	skynet_socket_close(s.a->ctx, id);
	do
		e = next(&s);
	while (e.type == SKYNET_SOCKET_TYPE_WARNING && e.ud);
	CHECK_INT(e.type, SKYNET_SOCKET_TYPE_CLOSE);
	CHECK_INT(e.id, id);
	CHECK_INT(send_high(id, "x", 1), -1);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, ERROR, id, 0, "socket closed");
	skynet_socket_close(s.a->ctx, id);
	memset(filling, 0, FILLING);
	CHECK_INT(get(fd, filling, FILLING), FILLING);
	CHECK(filling[0] == 'f' && filling[FILLING - 1] == 'f');
	CHECK(at_end(fd));
	close(fd);
	pause_ms(30);
	/* at most the news that all is out */
	while (agent_count(s.a) > s.at)
		EXPECT(&s, WARNING, id, 0, "");
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, ERROR, id, 0, "invalid socket");
	done(&s, listener);
}

static void
shutdown_does_not(void)
{
	struct side s = side();
	int fd, port, listener = listening(&s, &port);
	int id = connected(&s, listener, port, &fd);
	struct event e;
	CHECK_INT(send_high(id, filling, FILLING), 0);
	skynet_socket_shutdown(s.a->ctx, id);
	do
		e = next(&s);
	while (e.type == SKYNET_SOCKET_TYPE_WARNING);
	CHECK_INT(e.type, SKYNET_SOCKET_TYPE_CLOSE);
	CHECK(get(fd, filling, FILLING) < FILLING);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, ERROR, id, 0, "invalid socket");
	close(fd);
	done(&s, listener);
}

static void
priorities(void)
{
	struct side s = side();
	int fd, port, listener = listening(&s, &port);
	int id = connected(&s, listener, port, &fd);
	char text[16];
	/* low priority at the front is like any other, and is finished first */
	CHECK_INT(send_low(id, filling, FILLING), 0);
	CHECK_INT(send_low(id, "l", 1), 0);
	CHECK_INT(send_high(id, "h", 1), 0);
	CHECK_INT(send_low(id, "m", 1), 0);
	CHECK_INT(send_high(id, "i", 1), 0);
	CHECK_INT(get(fd, filling, FILLING), FILLING);
	CHECK_INT(get(fd, text, 4), 4);
	CHECK(memcmp(text, "hilm", 4) == 0);
	/* a block that is handed over */
	struct socket_sendbuffer out;
	memset(&out, 0, sizeof(out));
	out.id = id;
	out.type = SOCKET_BUFFER_MEMORY;
	out.buffer = skynet_strdup("given");
	out.sz = 5;
	CHECK_INT(skynet_socket_sendbuffer(s.a->ctx, &out), 0);
	CHECK_INT(get(fd, text, 5), 5);
	CHECK(memcmp(text, "given", 5) == 0);
	out.id = UNKNOWN;
	out.buffer = skynet_strdup("released");
	CHECK_INT(skynet_socket_sendbuffer(s.a->ctx, &out), -1);
	out.buffer = skynet_strdup("released");
	CHECK_INT(skynet_socket_sendbuffer_lowpriority(s.a->ctx, &out), -1);
	skynet_socket_shutdown(s.a->ctx, id);
	while (next(&s).type == SKYNET_SOCKET_TYPE_WARNING) {
	}
	close(fd);
	done(&s, listener);
}

static void
send_to_listener(void)
{
	struct side s = side();
	int port, listener = listening(&s, &port);
	char line[80];
	log_mark();
	CHECK_INT(send_high(listener, "x", 1), 0);
	WAIT_UNTIL(log_count() > 0);
	snprintf(line, sizeof(line), ENGINE "write to listen fd %d.", listener);
	CHECK_LOGGED(0, line);
	done(&s, listener);
}

/* Nobody is there to hear of it; the socket lives on. */
static void
owner_is_gone(void)
{
	struct side a = side(), b = side();
	int fd, port, listener = listening(&a, &port);
	int id = connected(&a, listener, port, &fd);
	char text[8];
	skynet_socket_start(b.a->ctx, id);
	EXPECT(&b, CONNECT, id, 0, "transfer");
	agent_kill(b.a);
	put(fd, "lost", 4);
	CHECK_INT(send_high(id, "still", 5), 0);
	CHECK_INT(get(fd, text, 5), 5);
	/* read for the one who is gone */
	WAIT_UNTIL(row(id).read == 4);
	skynet_socket_start(a.a->ctx, id);
	EXPECT(&a, CONNECT, id, 0, "transfer");
	put(fd, "found", 5);
	EXPECT(&a, DATA, id, 5, "");
	close(fd);
	EXPECT(&a, CLOSE, id, 0, "");
	skynet_socket_close(a.a->ctx, id);
	done(&a, listener);
}

/* ---- adopted descriptors ---- */

static void
bind_pipe(void)
{
	struct side s = side();
	int ends[2];
	CHECK(pipe(ends) == 0);
	int id = skynet_socket_bind(s.a->ctx, ends[0]);
	CHECK(id > 0);
	EXPECT(&s, CONNECT, id, 0, "binding");
	put(ends[1], "through", 7);
	EXPECT(&s, DATA, id, 7, "");
	skynet_socket_start(s.a->ctx, id);
	QUIET(&s);
	/* the writer's end is a hang-up: the id goes at once, the descriptor stays */
	close(ends[1]);
	EXPECT(&s, CLOSE, id, 0, "");
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, ERROR, id, 0, "invalid socket");
	CHECK(is_open(ends[0]));
	close(ends[0]);

	CHECK(pipe(ends) == 0);
	id = skynet_socket_bind(s.a->ctx, ends[1]);
	EXPECT(&s, CONNECT, id, 0, "binding");
	CHECK_INT(send_high(id, "out", 3), 0);
	char text[4];
	CHECK_INT(get(ends[0], text, 3), 3);
	skynet_socket_close(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	CHECK(is_open(ends[1]));
	close(ends[0]);
	close(ends[1]);
	agent_kill(s.a);
}

static void
bind_socket(void)
{
	struct side s = side();
	int ends[2];
	char text[8];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	int id = skynet_socket_bind(s.a->ctx, ends[0]);
	EXPECT(&s, CONNECT, id, 0, "binding");
	put(ends[1], "in", 2);
	EXPECT(&s, DATA, id, 2, "");
	CHECK_INT(send_high(id, "out", 3), 0);
	CHECK_INT(get(ends[1], text, 3), 3);
	/* an end of file makes the descriptor the core's */
	shutdown(ends[1], SHUT_WR);
	EXPECT(&s, CLOSE, id, 0, "");
	CHECK_INT(send_high(id, "after", 5), 0);
	CHECK_INT(get(ends[1], text, 5), 5);
	skynet_socket_close(s.a->ctx, id);
	CHECK(at_end(ends[1]));
	WAIT_UNTIL(!is_open(ends[0]));
	QUIET(&s);
	close(ends[1]);
	agent_kill(s.a);
}

static void
bind_nothing(void)
{
	struct side s = side();
	int id = skynet_socket_bind(s.a->ctx, 9999);
	CHECK(id > 0);
	EXPECT(&s, ERROR, id, 0, "reach skynet socket number limit");
	QUIET(&s);
	agent_kill(s.a);
}

/* ---- datagrams ---- */

static int
udp_send(int id, const char *address, const char *bytes, size_t size)
{
	struct socket_sendbuffer out;
	memset(&out, 0, sizeof(out));
	out.id = id;
	out.type = SOCKET_BUFFER_RAWPOINTER;
	out.buffer = bytes;
	out.sz = size;
	return skynet_socket_udp_sendbuffer(NULL, address, &out);
}

/* A port that nobody has. */
static int
free_port(void)
{
	int fd = bound(SOCK_DGRAM), port = port_of(fd);
	close(fd);
	return port;
}

static void
datagrams(const char *host, int address)
{
	struct side a = side(), b = side();
	int port = free_port();
	static char large[65000];
	int server = skynet_socket_udp_listen(a.a->ctx, host, port);
	CHECK(server > 0);
	int client = skynet_socket_udp_dial(b.a->ctx, host, port);
	CHECK(client > 0);
	QUIET(&a);
	QUIET(&b);
	CHECK_INT(send_high(client, "ping", 4), 0);
	struct event e = EXPECT(&a, UDP, server, 4, "");
	CHECK_INT(e.address, address);
	CHECK_INT(e.data[4], address == 7 ? 1 : 2);
	CHECK(memcmp(e.data, "ping", 4) == 0);
	CHECK_INT(udp_send(server, e.data + 4, "pong", 4), 0);
	struct event back = EXPECT(&b, UDP, client, 4, "");
	CHECK_INT(back.address, address);
	CHECK_INT((unsigned char)back.data[5] << 8 | (unsigned char)back.data[6], port);
	/* empty, and nearly as long as can be */
	CHECK_INT(udp_send(server, e.data + 4, "", 0), 0);
	EXPECT(&b, UDP, client, 0, "");
	CHECK_INT(send_high(client, large, sizeof(large)), 0);
	EXPECT(&a, UDP, server, sizeof(large), "");
	/* low priority is no different while nothing waits */
	CHECK_INT(send_low(client, "low", 3), 0);
	EXPECT(&a, UDP, server, 3, "");
	/* the other family, and none */
	char wrong[19] = { address == 7 ? 2 : 1 }, none[19] = { 3 };
	CHECK_INT(udp_send(server, wrong, "x", 1), -1);
	CHECK_INT(udp_send(server, none, "x", 1), -1);
	none[0] = 0;
	CHECK_INT(udp_send(server, none, "x", 1), -1);
	CHECK_INT(udp_send(UNKNOWN, e.data + 4, "x", 1), -1);
	/* start, pause, close */
	skynet_socket_start(b.a->ctx, server);
	EXPECT(&b, CONNECT, server, 0, "transfer");
	skynet_socket_pause(b.a->ctx, server);
	QUIET(&b);
	CHECK_INT(send_high(client, "waits", 5), 0);
	QUIET(&b);
	skynet_socket_start(b.a->ctx, server);
	EXPECT(&b, CONNECT, server, 0, "transfer");
	EXPECT(&b, UDP, server, 5, "");
	skynet_socket_close(a.a->ctx, server);
	EXPECT(&b, CLOSE, server, 0, "");
	skynet_socket_shutdown(b.a->ctx, client);
	EXPECT(&b, CLOSE, client, 0, "");
	QUIET(&a);
	agent_kill(a.a);
	agent_kill(b.a);
}

static void
datagrams_v4(void)
{
	datagrams("127.0.0.1", 7);
}

static void
datagrams_v6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in6 any;
	memset(&any, 0, sizeof(any));
	any.sin6_family = AF_INET6;
	any.sin6_addr = in6addr_loopback;
	/* a machine without IPv6 has nothing to show */
	bool there = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;
	close(fd);
	if (there)
		datagrams("::1", 19);
}

static void
udp_destinations(void)
{
	struct side s = side();
	char line[100];
	int port = free_port(), fd = bound(SOCK_DGRAM), other = bound(SOCK_DGRAM);
	CHECK_INT(skynet_socket_udp_listen(s.a->ctx, "127.0.0.1", 0), -1);
	CHECK_INT(skynet_socket_udp_listen(s.a->ctx, "192.0.2.1", port), -1);
	CHECK_INT(skynet_socket_udp_dial(s.a->ctx, "256.256.256.256", port), -1);
	CHECK_INT(skynet_socket_udp(s.a->ctx, "192.0.2.1", port), -1);
	CHECK_INT(skynet_socket_udp_connect(s.a->ctx, UNKNOWN, "127.0.0.1", port), -1);
	int id = skynet_socket_udp(s.a->ctx, NULL, 0);
	CHECK(id > 0);
	QUIET(&s);
	log_mark();
	CHECK_INT(send_high(id, "nowhere", 7), -1);
#if SKYNET_API_HEAD
	snprintf(line, sizeof(line), "socket-server : set udp (%d) error: address first.", id);
#else
	snprintf(line, sizeof(line), "socket-server : set udp (%d) address first.", id);
#endif
	CHECK_LOGGED(0, line);
	CHECK_INT(skynet_socket_udp_connect(s.a->ctx, id, "256.256.256.256", port), -1);
	/* each destination is for what is sent afterwards */
	char text[16];
	CHECK_INT(skynet_socket_udp_connect(s.a->ctx, id, "127.0.0.1", port_of(fd)), 0);
	CHECK_INT(send_high(id, "first", 5), 0);
	CHECK_INT(recv(fd, text, sizeof(text), 0), 5);
	CHECK_INT(skynet_socket_udp_connect(s.a->ctx, id, "127.0.0.1", port_of(other)), 0);
	CHECK_INT(send_high(id, "second", 6), 0);
	CHECK_INT(recv(other, text, sizeof(text), 0), 6);
	QUIET(&s);
	CHECK_INT(skynet_socket_udp_connect(s.a->ctx, id, "::1", port), 0);
	EXPECT(&s, ERROR, id, 0, "protocol mismatch");
	/* anybody may send to it */
	skynet_socket_close(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	CHECK_INT(skynet_socket_udp_connect(s.a->ctx, id, "127.0.0.1", port), -1);
	/* bound */
	id = skynet_socket_udp(s.a->ctx, "127.0.0.1", port);
	CHECK(id > 0);
	struct sockaddr_in to = local(port);
	CHECK_INT(sendto(other, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
	struct event e = EXPECT(&s, UDP, id, 5, "");
	CHECK_INT((unsigned char)e.data[6] << 8 | (unsigned char)e.data[7], port_of(other));
	skynet_socket_close(s.a->ctx, id);
	EXPECT(&s, CLOSE, id, 0, "");
	close(fd);
	close(other);
	agent_kill(s.a);
}

/* ---- snapshots ---- */

static void
snapshots(void)
{
	struct side s = side();
	struct socket_info r;
	char name[64];
	int fd, other, port, ends[2];
	int listener = skynet_socket_listen(s.a->ctx, "127.0.0.1", 0, 32);
	port = EXPECT(&s, CONNECT, listener, -1, NULL).ud;
	CHECK_INT(row(listener).id, 0);
	skynet_socket_start(s.a->ctx, listener);
	EXPECT(&s, CONNECT, listener, 0, "start");
	int id = accepted(&s, listener, port, &fd);
	CHECK_INT(row(id).id, 0);
	r = row(listener);
	CHECK_INT(r.type, SOCKET_INFO_LISTEN);
	CHECK_INT(r.read, 1);
	CHECK_INT(r.opaque, s.a->handle);
	snprintf(name, sizeof(name), "127.0.0.1:%d", port);
	CHECK_TEXT(r.name, name);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, CONNECT, id, 0, "start");
	r = row(id);
	CHECK_INT(r.type, SOCKET_INFO_TCP);
	CHECK(r.rtime == 0 && r.wtime == 0 && r.read == 0 && r.write == 0);
	put(fd, "abc", 3);
	EXPECT(&s, DATA, id, 3, "");
	CHECK_INT(send_high(id, "defg", 4), 0);
	CHECK_INT(get(fd, name, 4), 4);
	WAIT_UNTIL(row(id).write == 4);
	r = row(id);
	CHECK_INT(r.read, 3);
	CHECK(r.reading == 1 && r.writing == 0 && r.wbuffer == 0);
	CHECK(r.rtime > 0 && r.rtime <= skynet_now() && r.wtime > 0 && r.wtime <= skynet_now());
	snprintf(name, sizeof(name), "127.0.0.1:%d", port_of(fd));
	CHECK_TEXT(r.name, name);
	skynet_socket_pause(s.a->ctx, id);
	WAIT_UNTIL(row(id).reading == 0);
	skynet_socket_start(s.a->ctx, id);
	EXPECT(&s, CONNECT, id, 0, "transfer");
	CHECK_INT(row(id).reading, 1);
	/* output that waits */
	CHECK_INT(send_high(id, filling, FILLING), 0);
	WAIT_UNTIL(row(id).writing == 1);
	/* the rest of the first block is not counted by all cores */
	CHECK_INT(send_high(id, "1", 1), 0);
	WAIT_UNTIL(row(id).wbuffer > 0);
	skynet_socket_close(s.a->ctx, id);
	WAIT_UNTIL(row(id).type == SOCKET_INFO_CLOSING);
	CHECK_INT(get(fd, filling, FILLING), FILLING);
	CHECK_INT(get(fd, name, 1), 1);
	WAIT_UNTIL(row(id).id == 0);
	close(fd);
	while (next(&s).type == SKYNET_SOCKET_TYPE_WARNING) {
	}
	pause_ms(30);
	s.at = agent_count(s.a);
	/* the others */
	int half = connected(&s, listener, port, &fd);
	shutdown(fd, SHUT_WR);
	EXPECT(&s, CLOSE, half, 0, "");
	CHECK_INT(row(half).type, SOCKET_INFO_CLOSING);
	skynet_socket_close(s.a->ctx, half);
	other = bound(SOCK_DGRAM);
	int udp = skynet_socket_udp_dial(s.a->ctx, "127.0.0.1", port_of(other));
	WAIT_UNTIL(row(udp).type == SOCKET_INFO_UDP);
	snprintf(name, sizeof(name), "127.0.0.1:%d", port_of(other));
	CHECK_TEXT(row(udp).name, name);
	CHECK(pipe(ends) == 0);
	int bind = skynet_socket_bind(s.a->ctx, ends[0]);
	EXPECT(&s, CONNECT, bind, 0, "binding");
	CHECK_INT(row(bind).type, SOCKET_INFO_BIND);
	skynet_socket_close(s.a->ctx, bind);
	EXPECT(&s, CLOSE, bind, 0, "");
	skynet_socket_close(s.a->ctx, udp);
	EXPECT(&s, CLOSE, udp, 0, "");
	close(ends[0]);
	close(ends[1]);
	close(other);
	close(fd);
	done(&s, listener);
}

const struct test_case socket_cases[] = {
	CASE(from_listen_to_data),
	CASE(peer_closes),
	CASE(own_close),
	CASE(refused),
	CASE(warnings),
	CASE(sent_before_start),
	CASE(start_unknown),
	CASE(start_by_another),
	CASE(pause_and_start),
	CASE(start_connecting),
	CASE(connect_and_queue),
	CASE(sent_while_connecting),
	CASE(closed_while_connecting),
	CASE(peer_resets),
	CASE(names_that_cannot_be),
	CASE(close_flushes),
	CASE(shutdown_does_not),
	CASE(priorities),
	CASE(send_to_listener),
	CASE(owner_is_gone),
	CASE(bind_pipe),
	CASE(bind_socket),
	CASE(bind_nothing),
	CASE(datagrams_v4),
	CASE(datagrams_v6),
	CASE(udp_destinations),
	CASE(snapshots),
	{ NULL, NULL },
};
