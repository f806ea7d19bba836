/*
 * The service that runs the cases: `bootstrap = "apitest GROUP"`. Logs PASS or FAIL for each case and
 * a summary, then ends the process with ABORT. The groups of one case that is to kill the process
 * are at the end.
 */
#include "harness.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ENTRY int apitest_init(void *inst, struct skynet_context *ctx, const char *parm);

struct skynet_context *driver;
uint32_t driver_handle;

static struct capture *capture;
static int mark;
static int marks;
static int failures;	/* of the current case */

/* ---- checks ---- */

bool
check(bool held, const char *file, int line, const char *what)
{
	if (!held) {
		failures++;
		skynet_error(driver, "%s:%d: %s", file, line, what);
	}
	return held;
}

bool
check_text(const char *got, const char *expected, const char *file, int line, const char *what)
{
	bool same = got == expected || (got && expected && strcmp(got, expected) == 0);
	if (!same) {
		failures++;
		skynet_error(driver, "%s:%d: %s is \"%s\", not \"%s\"", file, line, what,
			got ? got : "(NULL)", expected ? expected : "(NULL)");
	}
	return same;
}

bool
check_int(long long got, long long expected, const char *file, int line, const char *what)
{
	if (got != expected) {
		failures++;
		skynet_error(driver, "%s:%d: %s is %lld, not %lld", file, line, what, got, expected);
	}
	return got == expected;
}

bool
wrapping(void)
{
	return skynet_getenv("sk_debug_wrap") != NULL;
}

void
pause_ms(int ms)
{
	usleep((useconds_t)ms * 1000);
}

/* ---- commands ---- */

static const char *
command_on(struct skynet_context *ctx, const char *cmd, const char *fmt, va_list ap)
{
	char parm[1024];
	if (fmt == NULL)
		return skynet_command(ctx, cmd, NULL);
	vsnprintf(parm, sizeof parm, fmt, ap);
	return skynet_command(ctx, cmd, parm);
}

const char *
command(const char *cmd, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	const char *result = command_on(driver, cmd, fmt, ap);
	va_end(ap);
	return result;
}

struct command_call {
	const char *cmd;
	const char *parm;
	const char *result;
};

static void
run_command(struct agent *a, void *arg)
{
	static char kept[64];
	struct command_call *call = arg;
	call->result = skynet_command(a->ctx, call->cmd, call->parm);
	if (call->result) {
		/* the context and its buffer may be gone when the agent has left */
		snprintf(kept, sizeof kept, "%s", call->result);
		call->result = kept;
	}
}

const char *
command_as(struct agent *a, const char *cmd, const char *fmt, ...)
{
	char parm[1024];
	struct command_call call = { .cmd = cmd };
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(parm, sizeof parm, fmt, ap);
		va_end(ap);
		call.parm = parm;
	}
	agent_run(a, run_command, &call);
	return call.result;
}

/* ---- agents ---- */

struct agent *
agent_blank(void)
{
	static struct agent *all;
	struct agent *a = calloc(1, sizeof *a);
	pthread_mutex_init(&a->lock, NULL);
	a->next = all;
	all = a;
	return a;
}

struct agent *
agent_with(const char *word)
{
	struct agent *a = agent_blank();
	command("LAUNCH", "agent %p%s%s", (void *)a, word ? " " : "", word ? word : "");
	return a;
}

struct agent *
agent_new(void)
{
	struct agent *a = agent_with(NULL);
	CHECK(a->handle != 0);
	return a;
}

void
agent_post(struct agent *a, agent_fn fn, void *arg, volatile bool *done)
{
	struct task task = { fn, arg, done };
	*done = false;
	CHECK(skynet_send(driver, 0, a->handle, TYPE_RUN, 0, &task, sizeof task) == 0);
}

void
agent_run(struct agent *a, agent_fn fn, void *arg)
{
	volatile bool done;
	agent_post(a, fn, arg, &done);
	for (int tries = 0; !done; tries++) {
		/* no way to go on: the task would use a frame that is gone */
		if (tries > 30000) {
			fprintf(stderr, "agent :%08x does not answer\n", a->handle);
			abort();
		}
		pause_ms(1);
	}
}

static void
nothing(struct agent *a, void *arg)
{
	(void)a, (void)arg;
}

void
agent_settle(struct agent *a)
{
	agent_run(a, nothing, NULL);
}

int
agent_count(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	int n = a->count;
	pthread_mutex_unlock(&a->lock);
	return n;
}

struct mail
agent_mail(struct agent *a, int index)
{
	struct mail m = { .type = -1, .data = "" };
	WAIT_UNTIL(agent_count(a) > index);
	pthread_mutex_lock(&a->lock);
	if (a->count > index)
		m = a->inbox[index];
	pthread_mutex_unlock(&a->lock);
	return m;
}

void
agent_clear(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	a->count = 0;
	pthread_mutex_unlock(&a->lock);
}

void
agent_kill(struct agent *a)
{
	command("KILL", ":%x", a->handle);
	WAIT_UNTIL(a->released);
}

static void
stand_at_gate(struct agent *a, void *arg)
{
	struct gate *g = arg;
	(void)a;
	g->entered = true;
	while (!g->open)
		pause_ms(1);
}

void
gate_close(struct gate *g, struct agent *a)
{
	g->entered = g->open = false;
	agent_post(a, stand_at_gate, g, &g->done);
	WAIT_UNTIL(g->entered);
}

void
gate_open(struct gate *g)
{
	g->open = true;
	WAIT_UNTIL(g->done);
}

/* ---- the log ---- */

/* Logs a line, waits for it and answers its index. What was sent to the log before it, by this
   thread or by what this thread waited for, stands before it. */
static int
log_sync(void)
{
	char text[32];
	int found = -1;
	snprintf(text, sizeof text, "-- mark %d", ++marks);
	skynet_error(driver, "%s", text);
	for (int tries = 0; found < 0; tries++) {
		if (tries > 30000) {
			fprintf(stderr, "the log service does not answer\n");
			abort();
		}
		pthread_mutex_lock(&capture->lock);
		for (int i = capture->count - 1; i >= 0 && i >= mark && found < 0; i--) {
			if (strcmp(capture->lines[i].text, text) == 0)
				found = i;
		}
		pthread_mutex_unlock(&capture->lock);
		if (found < 0)
			pause_ms(1);
	}
	return found;
}

void
log_mark(void)
{
	mark = log_sync() + 1;
}

/* Lines that the harness itself logs do not count. */
static bool
counts(const struct line *line)
{
	return strncmp(line->text, "-- mark ", 8) != 0;
}

int
log_count(void)
{
	int end = log_sync(), n = 0;
	pthread_mutex_lock(&capture->lock);
	for (int i = mark; i < end; i++)
		n += counts(&capture->lines[i]);
	pthread_mutex_unlock(&capture->lock);
	return n;
}

struct line
log_line(int n)
{
	struct line line = { 0, 0, "" };
	int end = log_sync();
	pthread_mutex_lock(&capture->lock);
	for (int i = mark; i < end; i++) {
		if (counts(&capture->lines[i]) && n-- == 0) {
			line = capture->lines[i];
			break;
		}
	}
	pthread_mutex_unlock(&capture->lock);
	return line;
}

void
check_logged(uint32_t source, const char *text, const char *file, int at)
{
	struct line line = log_line(0);
	int n = log_count();
	if (n != 1 || line.source != source || strcmp(line.text, text) != 0) {
		failures++;
		skynet_error(driver, "%s:%d: %d lines, the first from :%08x \"%s\", not from :%08x \"%s\"",
			file, at, n, line.source, line.text, source, text);
	}
	log_mark();
}

/* ---- groups ---- */

static const struct {
	const char *name;
	const struct test_case *cases;
} groups[] = {
	{ "command", command_cases },
	{ "send", send_cases },
	{ "launch", launch_cases },
	{ "error", error_cases },
	{ "timer", timer_cases },
	{ "harbor", harbor_cases },
	{ "memory", memory_cases },
	{ "msglog", msglog_cases },
	{ "endless", endless_cases },
	{ "timerx", timerx_cases },
	{ "socket", socket_cases },
	{ "socketx", socketx_cases },
	{ "plain", plain_cases },
	{ "core", core_cases },
	{ "third", third_cases },
	{ "wrap", wrap_cases },
};

/* What must end the process. */
static bool
run_deadly(const char *what)
{
	if (strcmp(what, "setenv-twice") == 0) {
		command("SETENV", "apitest_once 1");
		command("SETENV", "apitest_once 2");
	} else if (strcmp(what, "setenv-twice-c") == 0) {
		skynet_setenv("thread", "1");
	} else if (strcmp(what, "allocsession-with-session") == 0) {
		skynet_send(driver, 0, driver_handle, PTYPE_TEXT | PTYPE_TAG_ALLOCSESSION, 1, NULL, 0);
	} else if (strcmp(what, "remote-without-harbor") == 0) {
		skynet_send(driver, 0, 0x02000001, 10, 1, NULL, 0);
	} else if (strcmp(what, "exit") == 0) {
		/* every service ends by itself, the log service last */
		command("KILL", "%s", ".logger");
		command("EXIT", NULL);
		return true;
	} else if (strcmp(what, "retireall") == 0) {
		skynet_handle_retireall();
		return true;
	} else if (strcmp(what, "register") == 0) {
		/* a second handle, which upstream cannot take back: that is the end of this node */
		uint32_t second;
		skynet_context_grab(driver);
		second = skynet_handle_register(driver);
		_exit(second != 0 && second != driver_handle ? 0 : 3);
	} else {
		return false;
	}
	if (strcmp(what, "exit") != 0)
		fprintf(stderr, "still alive after %s\n", what);
	return true;
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	const char *name = ud;
	int passed = 0, failed = 0;
	(void)ctx, (void)session, (void)source, (void)msg, (void)sz;
	if (type != PTYPE_TEXT)
		return 0;
	if (run_deadly(name))
		return 0;
	capture = dlsym(RTLD_DEFAULT, "apilog");
	if (capture == NULL) {
		fprintf(stderr, "the log service is not apilog\n");
		abort();
	}
	for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
		if (strcmp(groups[g].name, name) != 0)
			continue;
		for (const struct test_case *c = groups[g].cases; c->name; c++) {
			failures = 0;
			log_mark();
			c->run();
			skynet_error(driver, "%s %s.%s", failures ? "FAIL" : "PASS", name, c->name);
			failures ? failed++ : passed++;
		}
	}
	skynet_error(driver, "apitest %s: %d passed, %d failed", name, passed, failed);
	log_sync();
	command("ABORT", NULL);
	return 0;
}

int
apitest_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	static char *group;
	(void)inst;
	driver = ctx;
	group = strdup(parm);
	driver_handle = (uint32_t)strtoul(skynet_command(ctx, "REG", NULL) + 1, NULL, 16);
	skynet_callback(ctx, group, on_message);
	skynet_send(ctx, 0, driver_handle, PTYPE_TEXT, 0, NULL, 0);
	return 0;
}
