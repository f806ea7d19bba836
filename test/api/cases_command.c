/* skynet_command, one case for each command (launch and message logs have groups of their own). */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *
hex(uint32_t handle)
{
	static char text[4][16];
	static int turn;
	turn = (turn + 1) % 4;
	snprintf(text[turn], sizeof text[turn], ":%x", handle);
	return text[turn];
}

static void
unknown(void)
{
	CHECK_TEXT(command("NOSUCH", "x"), NULL);
	CHECK_TEXT(command("reg", ""), NULL);
	CHECK_TEXT(command("", ""), NULL);
	CHECK_TEXT(command("REGISTER", ""), NULL);
	CHECK_NOT_LOGGED();
}

static void
reg(void)
{
	struct agent *a = agent_new();
	log_mark();
	CHECK_TEXT(command("REG", NULL), hex(driver_handle));
	CHECK_TEXT(command("REG", ""), hex(driver_handle));
	CHECK_TEXT(command("REG", ".case_reg"), "case_reg");
	CHECK_TEXT(command("REG", ".case_reg"), NULL);
	CHECK_TEXT(command_as(a, "REG", ".case_reg"), NULL);
	/* several names for one, and names with anything in them */
	CHECK_TEXT(command("REG", ".case_reg2"), "case_reg2");
	CHECK_TEXT(command("REG", ".Case_Reg"), "Case_Reg");
	CHECK_TEXT(command("REG", ".with a blank"), "with a blank");
	CHECK_TEXT(command("QUERY", ".with a blank"), hex(driver_handle));
	CHECK_TEXT(command("REG", ".%0200d", 1) + 190, "0000000001");
	CHECK_NOT_LOGGED();
	CHECK_TEXT(command("REG", "global"), NULL);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Can't register global name global in C");
	agent_kill(a);
}

static void
query(void)
{
	struct agent *a = agent_new();
	command_as(a, "REG", ".case_query");
	log_mark();
	CHECK_TEXT(command("QUERY", ".case_query"), hex(a->handle));
	CHECK_TEXT(command("QUERY", ".case_Query"), NULL);
	CHECK_TEXT(command("QUERY", ".case_quer"), NULL);
	CHECK_TEXT(command("QUERY", "case_query"), NULL);
	CHECK_TEXT(command("QUERY", "%s", hex(a->handle)), NULL);
	CHECK_TEXT(command("QUERY", ""), NULL);
	CHECK_TEXT(command("QUERY", ".logger"), ":1");
	CHECK_NOT_LOGGED();
	agent_kill(a);
	CHECK_TEXT(command("QUERY", ".case_query"), NULL);
	/* the name of a dead service is free */
	CHECK_TEXT(command("REG", ".case_query"), "case_query");
}

static void
name(void)
{
	struct agent *a = agent_new();
	log_mark();
	CHECK_TEXT(command("NAME", ".case_name :%x", a->handle), "case_name");
	CHECK_TEXT(command("QUERY", ".case_name"), hex(a->handle));
	CHECK_TEXT(command("NAME", ".case_name :%x", driver_handle), NULL);
	CHECK_TEXT(command("NAME", ".case_name2    :%X", a->handle), "case_name2");
	CHECK_TEXT(command("QUERY", ".case_name2"), hex(a->handle));
	/* the handle need not exist */
	CHECK_TEXT(command("NAME", ".case_ghost :7fff"), "case_ghost");
	CHECK_TEXT(command("QUERY", ".case_ghost"), ":7fff");
	CHECK_TEXT(command("NAME", ".case_nothing"), NULL);
	CHECK_TEXT(command("NAME", ".case_nothing 12"), NULL);
	CHECK_TEXT(command("NAME", ".case_nothing :0"), NULL);
	CHECK_TEXT(command("NAME", ".case_nothing :x"), NULL);
	CHECK_TEXT(command("NAME", ""), NULL);
	CHECK_TEXT(command("QUERY", ".case_nothing"), NULL);
	CHECK_NOT_LOGGED();
	CHECK_TEXT(command("NAME", "global :%x", a->handle), NULL);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Can't set global name global in C");
	agent_kill(a);
}

static void
exit_(void)
{
	struct agent *a = agent_new();
	log_mark();
	CHECK_TEXT(command_as(a, "EXIT", NULL), NULL);
	CHECK_LOGGED(a->handle, "KILL self");
	WAIT_UNTIL(a->released);
	CHECK_INT(skynet_send(driver, 0, a->handle, PTYPE_TEXT, 0, "x", 1), -1);
}

static void
kill_(void)
{
	struct agent *a = agent_new(), *b = agent_new();
	char line[32];
	command_as(b, "REG", ".case_kill");
	log_mark();
	CHECK_TEXT(command("KILL", ":%08X", a->handle), NULL);
	snprintf(line, sizeof line, "KILL :%x", a->handle);
	CHECK_LOGGED(driver_handle, line);
	WAIT_UNTIL(a->released);
	/* again: it is only said */
	CHECK_TEXT(command("KILL", ":%x", a->handle), NULL);
	CHECK_LOGGED(driver_handle, line);

	CHECK_TEXT(command("KILL", ".case_kill"), NULL);
	snprintf(line, sizeof line, "KILL :%x", b->handle);
	CHECK_LOGGED(driver_handle, line);
	WAIT_UNTIL(b->released);
	CHECK_INT(b->released, 1);

	CHECK_TEXT(command("KILL", ".case_kill"), NULL);
	CHECK_TEXT(command("KILL", ":0"), NULL);
	CHECK_TEXT(command("KILL", ":"), NULL);
	CHECK_NOT_LOGGED();
	CHECK_TEXT(command("KILL", "global"), NULL);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Can't convert global to handle");
	CHECK_TEXT(command("KILL", ""), NULL);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Can't convert  to handle");
}

static void
env(void)
{
	const char *value;
	CHECK_TEXT(command("GETENV", "case_from_config"), "a value");
	CHECK_TEXT(command("GETENV", "harbor"), "0");
	CHECK_TEXT(command("GETENV", "profile"), "true");
	CHECK_TEXT(command("GETENV", "daemon"), NULL);
	CHECK_TEXT(command("GETENV", "no_such_key"), NULL);
	CHECK_TEXT(command("SETENV", "case_env  two blanks before, one behind "), NULL);
	value = command("GETENV", "case_env");
	CHECK_TEXT(value, " two blanks before, one behind ");
	CHECK_TEXT(command("SETENV", "case_env_empty "), NULL);
	CHECK_TEXT(command("GETENV", "case_env_empty"), "");
	CHECK_TEXT(command("SETENV", "case_env_none"), NULL);
	CHECK_TEXT(command("GETENV", "case_env_none"), NULL);
	/* the pointer is for good, and the C functions know the same values */
	CHECK(skynet_getenv("case_env") == value);
	skynet_setenv("case_env_c", "from C");
	CHECK_TEXT(command("GETENV", "case_env_c"), "from C");
	CHECK_TEXT(skynet_getenv("no_such_key"), NULL);
	for (int i = 0; i < 200; i++) {
		char key[32];
		snprintf(key, sizeof key, "case_env_%d", i);
		skynet_setenv(key, key);
	}
	CHECK_TEXT(value, " two blanks before, one behind ");
	CHECK_TEXT(skynet_getenv("case_env_199"), "case_env_199");
}

static void
starttime(void)
{
	const char *text = command("STARTTIME", NULL);
	long long started = strtoll(text, NULL, 10), now = (long long)time(NULL);
	CHECK_INT(skynet_starttime(), started);
	CHECK(started <= now && now - started < 300);
	CHECK_TEXT(command("STARTTIME", "ignored"), text);
}

/* The session of a command or idiom that draws one. */
static int
draw(void)
{
	return skynet_send(driver, 0, 0, PTYPE_TAG_ALLOCSESSION, 0, NULL, 0);
}

static int
draw_as(struct agent *a)
{
	return atoi(command_as(a, "TIMEOUT", "0"));
}

static void
timeout(void)
{
	struct agent *a = agent_new();
	int first = draw_as(a), session;
	CHECK(first > 0);
	struct mail m = agent_mail(a, 0);
	CHECK_INT(m.type, PTYPE_RESPONSE);
	CHECK_INT(m.session, first);
	CHECK_INT(m.source, 0);
	CHECK_INT(m.sz, 0);
	CHECK(m.msg == NULL);
	/* at once for what is not positive or no number */
	CHECK_INT(atoi(command_as(a, "TIMEOUT", "-5")), first + 1);
	CHECK_INT(atoi(command_as(a, "TIMEOUT", "soon")), first + 2);
	CHECK_INT(atoi(command_as(a, "TIMEOUT", "")), first + 3);
	agent_settle(a);
	CHECK_INT(agent_count(a), 4);
	CHECK_INT(agent_mail(a, 3).session, first + 3);
	uint64_t before = skynet_now();
	session = atoi(command_as(a, "TIMEOUT", "10"));
	CHECK_INT(session, first + 4);
	m = agent_mail(a, 4);
	CHECK_INT(m.session, session);
	CHECK(m.now - before >= 9);
	agent_kill(a);
	/* the driver's own sessions are another sequence */
	session = draw();
	CHECK_INT(draw(), session + 1);
}

static void
monitor(void)
{
	struct agent *watcher = agent_new(), *a = agent_new(), *b = agent_new();
	struct mail m;
	CHECK_TEXT(command("MONITOR", NULL), NULL);
	CHECK_TEXT(command("MONITOR", ""), NULL);
	CHECK_TEXT(command("MONITOR", ":%x", watcher->handle), NULL);
	CHECK_TEXT(command("MONITOR", NULL), hex(watcher->handle));
	CHECK_TEXT(command("MONITOR", ""), hex(watcher->handle));
	command_as(a, "EXIT", NULL);
	m = agent_mail(watcher, 0);
	CHECK_INT(m.type, PTYPE_CLIENT);
	CHECK_INT(m.session, 0);
	CHECK_INT(m.source, a->handle);
	CHECK_INT(m.sz, 0);
	CHECK(m.msg == NULL);
	command("KILL", ":%x", b->handle);
	CHECK_INT(agent_mail(watcher, 1).source, b->handle);
	/* also for what never was */
	command("KILL", ":7ffe");
	CHECK_INT(agent_mail(watcher, 2).source, 0x7ffe);
	/* not for failed launches */
	agent_with(AGENT_FAILS);
	agent_settle(watcher);
	CHECK_INT(agent_count(watcher), 3);
	/* by name; an address that is none clears it */
	command_as(watcher, "REG", ".case_monitor");
	CHECK_TEXT(command("MONITOR", ".no_such_name"), NULL);
	CHECK_TEXT(command("MONITOR", NULL), NULL);
	CHECK_TEXT(command("MONITOR", ".case_monitor"), NULL);
	CHECK_TEXT(command("MONITOR", NULL), hex(watcher->handle));
	log_mark();
	CHECK_TEXT(command("MONITOR", "global"), NULL);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Can't convert global to handle");
	CHECK_TEXT(command("MONITOR", NULL), NULL);
	agent_kill(watcher);
}

static void
burn(struct agent *a, void *arg)
{
	/* processor time, not waiting */
	uint64_t until = skynet_thread_time() + 30000;
	volatile unsigned long n = 0;
	(void)a;
	while (skynet_thread_time() < until)
		n++;
	snprintf(arg, 32, "%s", skynet_command(a->ctx, "STAT", "time"));
}

static void
stat(void)
{
	struct agent *a = agent_new();
	char text[32];
	/* the launch itself was no message, this is the first */
	long long first = atoll(command_as(a, "STAT", "message"));
	CHECK(first == 1 || wrapping());
	CHECK_INT(atoll(command_as(a, "STAT", "message")), first + 1);
	CHECK_TEXT(command_as(a, "STAT", "mqlen"), "0");
	CHECK_TEXT(command_as(a, "STAT", "endless"), "0");
	CHECK_TEXT(command_as(a, "STAT", "nonsense"), "");
	CHECK_TEXT(command_as(a, "STAT", ""), "");
	CHECK_TEXT(command_as(a, "STAT", "MQLEN"), "");
	/* time of the current callback, then of all that are done, six decimals each */
	agent_run(a, burn, text);
	double inside = atof(text);
	CHECK(inside >= 0.030 && inside < 5);
	CHECK(strchr(text, '.') && strlen(strchr(text, '.')) == 7);
	snprintf(text, sizeof text, "%s", command_as(a, "STAT", "cpu"));
	CHECK(atof(text) >= inside && atof(text) < inside + 5);
	CHECK(strchr(text, '.') && strlen(strchr(text, '.')) == 7);
	agent_kill(a);
}

static void
queue_length(struct agent *a, void *arg)
{
	for (int i = 0; i < 5; i++)
		skynet_send(a->ctx, 0, a->handle, PTYPE_TEXT, 0, "x", 1);
	snprintf(arg, 32, "%s", skynet_command(a->ctx, "STAT", "mqlen"));
}

static void
stat_mqlen(void)
{
	struct agent *a = agent_new();
	char text[32];
	agent_run(a, queue_length, text);
	CHECK_TEXT(text, "5");
	agent_settle(a);
	CHECK_INT(agent_count(a), 5);
	agent_kill(a);
}

static void
signal_(void)
{
	struct agent *a = agent_new();
	command_as(a, "REG", ".case_signal");
	log_mark();
	CHECK_TEXT(command("SIGNAL", ":%x", a->handle), NULL);
	/* done when the command returns, on this thread */
	CHECK_INT(a->signals, 1);
	CHECK_INT(a->signal, 0);
	CHECK(pthread_equal(a->signal_thread, pthread_self()));
	command("SIGNAL", ":%x 5", a->handle);
	CHECK_INT(a->signal, 5);
	command("SIGNAL", ":%x 0x10", a->handle);
	CHECK_INT(a->signal, 16);
	command("SIGNAL", ":%x 010", a->handle);
	CHECK_INT(a->signal, 8);
	command("SIGNAL", ":%x -1", a->handle);
	CHECK_INT(a->signal, -1);
	command("SIGNAL", ":%x what", a->handle);
	CHECK_INT(a->signal, 0);
	CHECK_INT(a->signals, 6);
	command("SIGNAL", "%s", ".case_signal");
	CHECK_INT(a->signals, 7);
	/* this is a name with a blank, and there is no such one */
	command("SIGNAL", "%s", ".case_signal 3");
	CHECK_INT(a->signals, 7);
	CHECK_TEXT(command("SIGNAL", ":7ffd 1"), NULL);
	CHECK_NOT_LOGGED();
	/* beside a callback that runs */
	struct gate gate;
	gate_close(&gate, a);
	command("SIGNAL", ":%x 9", a->handle);
	CHECK_INT(a->signal, 9);
	gate_open(&gate);
	agent_kill(a);
	command("SIGNAL", ":%x 1", a->handle);
	CHECK_INT(a->signals, 8);
	CHECK_TEXT(command("SIGNAL", "global 1"), NULL);
	/* a service without an entry for signals */
	log_mark();
	command("SIGNAL", ":%x 1", driver_handle);
	CHECK_NOT_LOGGED();
}

static void
queryname(void)
{
	log_mark();
	CHECK_INT(skynet_queryname(driver, ":1f"), 0x1f);
	CHECK_INT(skynet_queryname(driver, ":0000001F"), 0x1f);
	CHECK_INT(skynet_queryname(driver, ":0"), 0);
	CHECK_INT(skynet_queryname(driver, ":"), 0);
	CHECK_INT(skynet_queryname(driver, ":ffffffff"), 0xffffffffu);
	CHECK_INT(skynet_queryname(driver, ":12 rest"), 0x12);
	CHECK_INT(skynet_queryname(driver, ".logger"), 1);
	CHECK_INT(skynet_queryname(driver, ".no_such_name"), 0);
	CHECK_INT(skynet_queryname(driver, "."), 0);
	CHECK_NOT_LOGGED();
	CHECK_INT(skynet_queryname(driver, "global"), 0);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Don't support query global name global");
	CHECK_INT(skynet_queryname(driver, ""), 0);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Don't support query global name ");
}

/* The functions below the commands. */
static void
handles(void)
{
	struct agent *a = agent_new();
	const char *kept = skynet_handle_namehandle(a->handle, "case_handles");
	CHECK_TEXT(kept, "case_handles");
	CHECK_TEXT(skynet_handle_namehandle(a->handle, "case_handles"), NULL);
	CHECK_TEXT(skynet_handle_namehandle(driver_handle, "case_handles"), NULL);
	CHECK_INT(skynet_handle_findname("case_handles"), a->handle);
	CHECK_INT(skynet_handle_findname(".case_handles"), 0);
	CHECK_TEXT(command("QUERY", ".case_handles"), hex(a->handle));
	for (int i = 0; i < 100; i++) {
		char text[32];
		snprintf(text, sizeof text, "case_handles_%02d", i * 37 % 100);
		CHECK_TEXT(skynet_handle_namehandle(a->handle, text), text);
	}
	CHECK_TEXT(kept, "case_handles");
	CHECK_INT(skynet_handle_findname("case_handles_00"), a->handle);
	CHECK_INT(skynet_handle_findname("case_handles_99"), a->handle);

	struct skynet_context *ctx = skynet_handle_grab(a->handle);
	CHECK(ctx == a->ctx);
	CHECK_INT(skynet_context_handle(ctx), a->handle);
	CHECK_INT(skynet_handle_retire(a->handle), 1);
	CHECK_INT(skynet_handle_retire(a->handle), 0);
	CHECK(skynet_handle_grab(a->handle) == NULL);
	CHECK_INT(skynet_handle_findname("case_handles_50"), 0);
	CHECK_INT(skynet_handle_findname("case_handles"), 0);
	/* what we hold keeps it */
	agent_count(a);
	pause_ms(20);
	CHECK_INT(a->released, 0);
	skynet_context_release(ctx);
	WAIT_UNTIL(a->released);
	CHECK(skynet_handle_grab(0) == NULL);
	CHECK(skynet_handle_grab(0x7ffc) == NULL);
	CHECK_INT(skynet_handle_retire(0x7ffc), 0);
}

const struct test_case command_cases[] = {
	CASE(unknown),
	CASE(reg),
	CASE(query),
	CASE(name),
	CASE(exit_),
	CASE(kill_),
	CASE(env),
	CASE(starttime),
	CASE(timeout),
	CASE(monitor),
	CASE(stat),
	CASE(stat_mqlen),
	CASE(signal_),
	CASE(queryname),
	CASE(handles),
	{ NULL, NULL },
};
