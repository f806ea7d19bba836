/*
 * What core.md calls class C: functions of the inside that are exported all the same. Queues that nobody
 * schedules, monitors, modules and message logs by hand, the engine of sockets as a library.
 */
#include "harness.h"
#include "skynet_daemon.h"
#include "skynet_log.h"
#include "skynet_monitor.h"
#include "socket_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* In no header. */
ENTRY int sigign(void);

/* ---- queues ---- */

static void
message_of(struct skynet_message *m, int n)
{
	m->source = 0x100u + n;
	m->session = n;
	m->data = skynet_malloc(8);
	m->sz = 8 | (size_t)10 << MESSAGE_TYPE_SHIFT;
}

struct dropped {
	int count;
	int last;
};

static void
drop(struct skynet_message *m, void *ud)
{
	struct dropped *d = ud;
	d->count++;
	d->last = m->session;
	skynet_free(m->data);
}

static void
queue_keeps_order(void)
{
	/* it counts as scheduled, so that pushes do not put it before a worker */
	struct message_queue *q = skynet_mq_create(0xabcdef);
	struct skynet_message m;
	struct dropped d = { 0, -1 };
	CHECK_INT(skynet_mq_handle(q), 0xabcdef);
	CHECK_INT(skynet_mq_length(q), 0);
	for (int i = 0; i < 200; i++) {
		message_of(&m, i);
		skynet_mq_push(q, &m);
	}
	CHECK_INT(skynet_mq_length(q), 200);
	for (int i = 0; i < 199; i++) {
		memset(&m, 0, sizeof m);
		CHECK_INT(skynet_mq_pop(q, &m), 0);
		CHECK_INT(m.session, i);
		CHECK_INT(m.source, 0x100 + i);
		CHECK_INT(m.sz & MESSAGE_TYPE_MASK, 8);
		CHECK_INT(m.sz >> MESSAGE_TYPE_SHIFT, 10);
		skynet_free(m.data);
	}
	CHECK_INT(skynet_mq_length(q), 1);
	CHECK_INT(skynet_mq_overload(q), 0);
	/* what is left is dropped with it */
	skynet_mq_mark_release(q);
	skynet_mq_release(q, drop, &d);
	CHECK_INT(d.last, 199);
}

static void
queue_drops_what_is_left(void)
{
	struct message_queue *q = skynet_mq_create(1);
	struct skynet_message m;
	struct dropped d = { 0, -1 };
	for (int i = 0; i < 70; i++) {
		message_of(&m, i);
		skynet_mq_push(q, &m);
	}
	skynet_mq_mark_release(q);
	skynet_mq_release(q, drop, &d);
	CHECK_INT(d.count, 70);
	CHECK_INT(d.last, 69);
}

static void
queue_records_overload(void)
{
	struct message_queue *q = skynet_mq_create(1);
	struct skynet_message m;
	struct dropped d = { 0, -1 };
	for (int i = 0; i < 3000; i++) {
		message_of(&m, i);
		skynet_mq_push(q, &m);
	}
	CHECK_INT(skynet_mq_overload(q), 0);
	CHECK_INT(skynet_mq_pop(q, &m), 0);
	skynet_free(m.data);
	/* looked at when a message is taken, forgotten when it is read, not said again below the double */
	CHECK_INT(skynet_mq_overload(q), 2999);
	CHECK_INT(skynet_mq_overload(q), 0);
	CHECK_INT(skynet_mq_pop(q, &m), 0);
	skynet_free(m.data);
	CHECK_INT(skynet_mq_overload(q), 0);
	skynet_mq_mark_release(q);
	skynet_mq_release(q, drop, &d);
	CHECK_INT(d.count, 2998);
}

/* A queue of nobody's comes out of the run queue, behind those of services. */
static void
run_queue(void)
{
	enum { OTHERS = 3 };	/* workers, of four */
	struct agent *busy[OTHERS];
	struct gate gates[OTHERS];
	struct message_queue *q = skynet_mq_create(0xfffffe);
	struct message_queue *got;
	struct skynet_message m;
	struct dropped d = { 0, -1 };
	/* no worker is to take it */
	for (int i = 0; i < OTHERS; i++) {
		busy[i] = agent_new();
		gate_close(&gates[i], busy[i]);
	}
	/* idle now: the next message schedules it */
	CHECK_INT(skynet_mq_pop(q, &m), 1);
	message_of(&m, 7);
	skynet_mq_push(q, &m);
	while ((got = skynet_globalmq_pop()) != NULL && got != q)
		skynet_globalmq_push(got);
	CHECK(got == q);
	CHECK_INT(skynet_mq_length(q), 1);
	skynet_mq_mark_release(q);
	skynet_mq_release(q, drop, &d);
	CHECK_INT(d.last, 7);
	for (int i = 0; i < OTHERS; i++) {
		gate_open(&gates[i]);
		agent_kill(busy[i]);
	}
}

/* ---- contexts ---- */

static void
endless_by_hand(void)
{
	struct agent *a = agent_new();
	skynet_context_endless(a->handle);
	CHECK_TEXT(command_as(a, "STAT", "endless"), "1");
	CHECK_TEXT(command_as(a, "STAT", "endless"), "0");
	/* nobody */
	skynet_context_endless(0xfffffe);
	agent_kill(a);
}

static void
reserved_contexts_do_not_count(void)
{
	struct agent *a = agent_new();
	int total = skynet_context_total();
	skynet_context_reserve(a->ctx);
	CHECK_INT(skynet_context_total(), total - 1);
	/* the service goes on, and is there for who reserved it after its end */
	skynet_send(driver, 0, a->handle, PTYPE_TEXT, 5, NULL, 0);
	CHECK_INT(agent_mail(a, 0).session, 5);
	command("KILL", ":%x", a->handle);
	CHECK_INT(skynet_context_handle(a->ctx), a->handle);
	CHECK_INT(skynet_handle_retire(a->handle), 0);
}

/* ---- monitors ---- */

static void
monitor_by_hand(void)
{
	struct agent *a = agent_new();
	struct skynet_monitor *sm = skynet_monitor_new();
	char text[200];
	CHECK(sm != NULL);
	log_mark();
	/* nothing happens, and nothing is said */
	skynet_monitor_check(sm);
	skynet_monitor_check(sm);
	CHECK_NOT_LOGGED();
	/* a message that ends between two looks */
	skynet_monitor_trigger(sm, driver_handle, a->handle);
	skynet_monitor_check(sm);
	skynet_monitor_trigger(sm, 0, 0);
	skynet_monitor_check(sm);
	skynet_monitor_check(sm);
	CHECK_NOT_LOGGED();
	/* one that does not */
	skynet_monitor_trigger(sm, driver_handle, a->handle);
	skynet_monitor_check(sm);
	skynet_monitor_check(sm);
	snprintf(text, sizeof text, ERROR_MARK "A message from [ :%08x ] to [ :%08x ] maybe in an "
		"endless loop (version = 3)", driver_handle, a->handle);
	CHECK_LOGGED(0, text);
	CHECK_TEXT(command_as(a, "STAT", "endless"), "1");
	skynet_monitor_delete(sm);
	agent_kill(a);
}

/* ---- modules ---- */

static void
module_by_hand(void)
{
	struct agent *a = agent_new();
	struct skynet_module *m = skynet_module_query("nocreate");
	struct skynet_module *agents = skynet_module_query("agent");
	void *inst;
	if (!CHECK(m != NULL) || !CHECK(agents != NULL))
		return;
	CHECK_TEXT(m->name, "nocreate");
	CHECK(m->module != NULL && m->init != NULL);
	CHECK(m->create == NULL && m->release == NULL && m->signal == NULL);
	inst = skynet_module_instance_create(m);
	CHECK(inst == (void *)~(uintptr_t)0);
	CHECK_INT(skynet_module_instance_init(m, inst, a->ctx, NULL), 0);
	/* there are none: nothing is called */
	skynet_module_instance_signal(m, inst, 3);
	skynet_module_instance_release(m, inst);

	CHECK(agents->create != NULL && agents->release != NULL && agents->signal != NULL);
	CHECK(skynet_module_query("agent") == agents);
	skynet_module_instance_signal(agents, a->inst, 17);
	CHECK_INT(a->signals, 1);
	CHECK_INT(a->signal, 17);

	m = skynet_module_query("nullcreate");
	if (CHECK(m != NULL))
		CHECK(skynet_module_instance_create(m) == NULL);
	agent_kill(a);
}

/* ---- message logs ---- */

static void
message_log_by_hand(void)
{
	char path[512], text[600], line[256];
	FILE *f;
	int n = 0;
	snprintf(path, sizeof path, "%s/00abcdef.log", skynet_getenv("logpath"));
	unlink(path);
	log_mark();
	f = skynet_log_open(driver, 0xabcdef);
	snprintf(text, sizeof text, "Open log file %s", path);
	CHECK_LOGGED(driver_handle, text);
	if (!CHECK(f != NULL))
		return;
	skynet_log_output(f, 0x12, 10, -3, "\x01\xab", 2);
	skynet_log_close(driver, f, 0xabcdef);
	CHECK_LOGGED(driver_handle, "Close log file :00abcdef");
	f = fopen(path, "r");
	if (!CHECK(f != NULL))
		return;
	while (fgets(line, sizeof line, f)) {
		n++;
		if (n == 1)
			CHECK(strncmp(line, "open time: ", 11) == 0);
		if (n == 2) {
			CHECK_TEXT(strncmp(line, ":00000012 10 -3 ", 16) ? line : "", "");
			CHECK(strcmp(line + strlen(line) - 6, " 01ab\n") == 0);
		}
		if (n == 3)
			CHECK(strncmp(line, "close time: ", 12) == 0);
	}
	CHECK_INT(n, 3);
	fclose(f);
	unlink(path);
}

/* ---- signals and daemons ---- */

static void
sigpipe_is_ignored(void)
{
	struct sigaction now;
	CHECK_INT(sigign(), 0);
	CHECK_INT(sigaction(SIGPIPE, NULL, &now), 0);
	CHECK(now.sa_handler == SIG_IGN);
}

static void
daemon_and_its_file(void)
{
	char path[512], text[64] = "";
	pid_t pid;
	int fd, n = 0, status = 0;
	snprintf(path, sizeof path, "%s/daemon.pid", skynet_getenv("logpath"));
	unlink(path);
	CHECK(daemon_exit(path) != 0);
	pid = fork();
	if (pid == 0) {
		/* this process ends inside, another one comes back and tells by the file's end */
		int result = daemon_init(path);
		pause_ms(300);
		if (result == 0)
			result = daemon_exit(path);
		_exit(result);
	}
	CHECK(pid > 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	for (int tries = 0; n <= 0 && tries < 3000; tries++) {
		fd = open(path, O_RDONLY);
		if (fd >= 0) {
			n = (int)read(fd, text, sizeof text - 1);
			close(fd);
		}
		if (n <= 0)
			pause_ms(1);
	}
	CHECK(n > 1 && text[n - 1] == '\n');
	CHECK(atoi(text) > 0 && atoi(text) != pid && atoi(text) != getpid());
	WAIT_UNTIL(access(path, F_OK) != 0);
}

/* ---- the engine of sockets ---- */

/* The next event, whatever it is. */
static int
next(struct socket_server *ss, struct socket_message *m)
{
	int more = 1, type;
	do {
		type = socket_server_poll(ss, m, &more);
	} while (type < 0);
	return type;
}

/* An address that the caller's code keeps as a number. */
#define OWNER 0x1234567890u

static void
engine_alone(void)
{
	struct socket_server *ss = socket_server_create(100);
	struct socket_message m;
	struct socket_sendbuffer out;
	struct socket_info *info;
	int listener, client, server, port = 0, events = 0, sockets = 0;
	if (!CHECK(ss != NULL))
		return;
	socket_server_updatetime(ss, 200);
	for (port = 17380; port < 17399; port++) {
		listener = socket_server_listen(ss, OWNER, "127.0.0.1", port, 8);
		if (listener >= 0)
			break;
	}
	if (!CHECK(listener >= 0))
		return;
	socket_server_start(ss, OWNER, listener);
	do {
		CHECK_INT(next(ss, &m), SOCKET_OPEN);
		CHECK_INT(m.id, listener);
		CHECK(m.opaque == OWNER);
		events++;
	} while (strcmp(m.data, "start") != 0 && events < 3);

	client = socket_server_connect(ss, OWNER + 1, "127.0.0.1", port);
	CHECK(client >= 0 && client != listener);
	server = -1;
	for (events = 0; events < 2; events++) {
		int type = next(ss, &m);
		if (type == SOCKET_ACCEPT) {
			CHECK_INT(m.id, listener);
			server = m.ud;
		} else {
			CHECK_INT(type, SOCKET_OPEN);
			CHECK_INT(m.id, client);
			CHECK(m.opaque == OWNER + 1);
		}
	}
	if (!CHECK(server >= 0))
		return;
	socket_server_start(ss, OWNER + 2, server);
	CHECK_INT(next(ss, &m), SOCKET_OPEN);
	CHECK_INT(m.id, server);

	socket_server_nodelay(ss, client);
	out.id = client;
	out.type = SOCKET_BUFFER_RAWPOINTER;
	out.buffer = "hello ";
	out.sz = 6;
	CHECK_INT(socket_server_send(ss, &out), 0);
	out.type = SOCKET_BUFFER_MEMORY;
	out.buffer = strdup("world");
	out.sz = 5;
	CHECK_INT(socket_server_send_lowpriority(ss, &out), 0);
	for (int got = 0; got < 11; ) {
		char text[12] = "";
		CHECK_INT(next(ss, &m), SOCKET_DATA);
		CHECK_INT(m.id, server);
		CHECK(m.opaque == OWNER + 2);
		if (!CHECK(m.ud > 0 && got + m.ud <= 11))
			break;
		memcpy(text, m.data, m.ud);
		CHECK(strncmp("hello world" + got, text, m.ud) == 0);
		got += m.ud;
		free(m.data);
	}
	info = socket_server_info(ss);
	for (struct socket_info *i = info; i; i = i->next) {
		sockets++;
		if (i->id == server) {
			CHECK_INT(i->type, SOCKET_INFO_TCP);
			CHECK_INT(i->read, 11);
			CHECK_INT(i->rtime, 200);
			CHECK(i->opaque == OWNER + 2);
		}
	}
	CHECK_INT(sockets, 3);
	socket_info_release(info);

	socket_server_close(ss, OWNER + 1, client);
	for (events = 0; events < 2; events++) {
		int type = next(ss, &m);
		CHECK_INT(type, SOCKET_CLOSE);
		CHECK(m.id == client || m.id == server);
	}
	out.id = client;
	out.type = SOCKET_BUFFER_RAWPOINTER;
	CHECK_INT(socket_server_send(ss, &out), -1);
	socket_server_exit(ss);
	CHECK_INT(next(ss, &m), SOCKET_EXIT);
	socket_server_release(ss);
}

static int objects_freed;

static const void *
object_buffer(const void *object)
{
	return (const char *)object + 1;
}

static size_t
object_size(const void *object)
{
	return *(const unsigned char *)object;
}

static void
object_free(void *object)
{
	(void)object;
	objects_freed++;
}

static void
engine_sends_objects(void)
{
	struct socket_object_interface objects = { object_buffer, object_size, object_free };
	struct socket_server *ss = socket_server_create(0);
	struct socket_message m;
	struct socket_sendbuffer out;
	int fd[2], id;
	char text[8] = "";
	if (!CHECK(ss != NULL) || !CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0))
		return;
	socket_server_userobject(ss, &objects);
	id = socket_server_bind(ss, OWNER, fd[1]);
	CHECK(id >= 0);
	CHECK_INT(next(ss, &m), SOCKET_OPEN);
	CHECK_INT(m.id, id);
	objects_freed = 0;
	out.id = id;
	out.type = SOCKET_BUFFER_OBJECT;
	out.buffer = "\4text";
	out.sz = 0;
	CHECK_INT(socket_server_send(ss, &out), 0);
	/* it is written by some poll; each has a byte to tell of, so that it returns */
	for (int tries = 0; tries < 10 && recv(fd[0], text, sizeof text, MSG_DONTWAIT) < 4; tries++) {
		CHECK_INT(write(fd[0], "x", 1), 1);
		CHECK_INT(next(ss, &m), SOCKET_DATA);
		free(m.data);
	}
	CHECK_TEXT(text, "text");
	CHECK_INT(objects_freed, 1);
	close(fd[0]);
	close(fd[1]);
	socket_server_release(ss);
}

const struct test_case core_cases[] = {
	CASE(queue_keeps_order),
	CASE(queue_drops_what_is_left),
	CASE(queue_records_overload),
	CASE(run_queue),
	CASE(endless_by_hand),
	CASE(reserved_contexts_do_not_count),
	CASE(monitor_by_hand),
	CASE(module_by_hand),
	CASE(message_log_by_hand),
	CASE(sigpipe_is_ignored),
	CASE(daemon_and_its_file),
	CASE(engine_alone),
	CASE(engine_sends_objects),
	{ NULL, NULL },
};
