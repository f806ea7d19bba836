/* Modules, launches, init and release. */
#include "harness.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* An exported variable of a module. */
#define MODULE_VAR(type, name) (*(type *)dlsym(RTLD_DEFAULT, name))

/* A core may log why a module does not load, or only say it on stderr: all lines are about that. */
static void
logged_only_about(const char *what)
{
	for (int i = 0, n = log_count(); i < n; i++) {
		struct line line = log_line(i);
		CHECK_INT(line.source, 0);
		CHECK(strstr(line.text, what) != NULL);
	}
}

/* An agent for a launch whose parameter is not an address; fields are set in its init. */
static struct agent *
prepare(void)
{
	struct agent *a = agent_blank();
	MODULE_VAR(struct agent *, "agent_next") = a;
	return a;
}

static void
answer(void)
{
	struct agent *a = agent_blank();
	char expected[64];
	const char *text;
	log_mark();
	text = command("LAUNCH", "agent %p", (void *)a);
	snprintf(expected, sizeof expected, ":%08X", a->handle);
	CHECK_TEXT(text, expected);
	CHECK(a->handle != 0);
	snprintf(expected, sizeof expected, "LAUNCH agent %p", (void *)a);
	CHECK_LOGGED(a->handle, expected);
	agent_kill(a);
}

/* The parameter as init sees it. */
static void
parsed(const char *launch, const char *parm, const char *line)
{
	struct agent *a = prepare();
	log_mark();
	if (CHECK(skynet_command(driver, "LAUNCH", launch) != NULL)) {
		CHECK_TEXT(a->parm, parm);
		CHECK_LOGGED(a->handle, line);
		agent_kill(a);
	}
}

static void
parameters(void)
{
	agent_kill(agent_new());	/* loads the module */
	parsed("agent", NULL, "LAUNCH agent ");
	parsed("agent ", "", "LAUNCH agent ");
	parsed("agent one", "one", "LAUNCH agent one");
	parsed("agent one two  three ", "one two  three ", "LAUNCH agent one two  three ");
	parsed("agent  two blanks", " two blanks", "LAUNCH agent  two blanks");
	parsed("agent\tone\ttwo", "one\ttwo", "LAUNCH agent one\ttwo");
	parsed("agent one\nrest", "one", "LAUNCH agent one");
	parsed("agent one\r\nrest", "one", "LAUNCH agent one");
	parsed("agent\none", "one", "LAUNCH agent one");
	parsed("agent \none", "", "LAUNCH agent ");
	log_mark();
	CHECK_TEXT(command("LAUNCH", " agent"), NULL);
	CHECK_TEXT(command("LAUNCH", ""), NULL);
	logged_only_about("try open  failed : ");
}

static void
long_parameter(void)
{
	struct agent *a = prepare();
	char *launch = malloc(70000);
	struct line line;
	strcpy(launch, "agent ");
	memset(launch + 6, 'x', 60000);
	launch[60006] = '\0';
	log_mark();
	CHECK(skynet_command(driver, "LAUNCH", launch) != NULL);
	CHECK_TEXT(a->parm, launch + 6);
	line = log_line(0);
	CHECK_INT(line.sz, 60013);
	agent_kill(a);
	free(launch);
}

static void
no_module(void)
{
	log_mark();
	CHECK_TEXT(command("LAUNCH", "no_such_module x"), NULL);
	CHECK_TEXT(command("LAUNCH", "no_such_module x"), NULL);
	CHECK(skynet_module_query("no_such_module") == NULL);
	logged_only_about("try open no_such_module failed : ");
}

static void
no_create(void)
{
	uint32_t handle;
	const char *text = command("LAUNCH", "nocreate");
	if (!CHECK(text != NULL))
		return;
	handle = (uint32_t)strtoul(text + 1, NULL, 16);
	CHECK(MODULE_VAR(void *, "nocreate_inst") == (void *)~(uintptr_t)0);
	CHECK_INT(skynet_handle_retire(handle), 1);
}

static void
no_init(void)
{
	log_mark();
	CHECK_TEXT(command("LAUNCH", "noinit"), NULL);
	CHECK_TEXT(command("LAUNCH", "noinit"), NULL);
	CHECK(skynet_module_query("noinit") == NULL);
	logged_only_about("noinit_init");
}

static void
null_create(void)
{
	log_mark();
	CHECK_TEXT(command("LAUNCH", "nullcreate x"), NULL);
	CHECK_INT(MODULE_VAR(int, "nullcreate_inits"), 0);
	CHECK_NOT_LOGGED();
}

static void
dotted_name(void)
{
	const char *text = command("LAUNCH", "some.othername");
	if (CHECK(text != NULL)) {
		CHECK_INT(MODULE_VAR(int, "othername_inits"), 1);
		skynet_handle_retire((uint32_t)strtoul(text + 1, NULL, 16));
	}
}

static void
query(void)
{
	struct skynet_module *m = skynet_module_query("agent");
	if (!CHECK(m != NULL))
		return;
	CHECK_TEXT(m->name, "agent");
	CHECK(m->module != NULL);
	CHECK((void *)m->create == dlsym(m->module, "agent_create"));
	CHECK((void *)m->init == dlsym(m->module, "agent_init"));
	CHECK((void *)m->release == dlsym(m->module, "agent_release"));
	CHECK((void *)m->signal == dlsym(m->module, "agent_signal"));
	CHECK(skynet_module_query("agent") == m);
	m = skynet_module_query("nocreate");
	if (CHECK(m != NULL))
		CHECK(m->create == NULL && m->release == NULL && m->signal == NULL);
}

static void
failing_init(void)
{
	struct agent *heir = agent_new(), *a;
	struct mail m;
	command_as(heir, "REG", ".heir");
	int total = skynet_context_total();
	log_mark();
	a = agent_with(AGENT_FAILS);
#if SKYNET_API_HEAD
	CHECK_LOGGED(a->handle, "error: launch agent FAILED");
#else
	CHECK_LOGGED(a->handle, "FAILED launch agent");
#endif
	CHECK(a->handle != 0);
	CHECK_INT(a->released, 1);
	CHECK_INT(skynet_send(driver, 0, a->handle, 10, 0, "x", 1), -1);
	CHECK_INT(skynet_context_total(), total);
	/* what it had sent to itself is answered */
	m = agent_mail(heir, 0);
	CHECK_INT(m.type, PTYPE_ERROR);
	CHECK_INT(m.session, 77);
	CHECK_INT(m.source, a->handle);
	CHECK_INT(m.sz, 0);
	CHECK_TEXT(command("LAUNCH", "agent without address"), NULL);
	agent_kill(heir);
}

static void
leaving_init(void)
{
	struct agent *a;
	log_mark();
	a = agent_with(AGENT_LEAVES);
	CHECK_INT(skynet_send(driver, 0, a->handle, 10, 0, "x", 1), -1);
	WAIT_UNTIL(a->released);
	CHECK_TEXT(log_line(0).text, "KILL self");
	CHECK_INT(log_line(0).source, a->handle);
#if SKYNET_API_HEAD
	char expected[64];
	snprintf(expected, sizeof expected, "LAUNCH agent %p leaves", (void *)a);
	CHECK_INT(log_count(), 2);
	CHECK_TEXT(log_line(1).text, expected);
#else
	CHECK_INT(log_count(), 1);
#endif
}

static void
leaving_init_answer(void)
{
	struct agent *a = agent_blank();
	const char *text = command("LAUNCH", "agent %p leaves", (void *)a);
#if SKYNET_API_HEAD
	char expected[16];
	snprintf(expected, sizeof expected, ":%08X", a->handle);
	CHECK_TEXT(text, expected);
#else
	CHECK_TEXT(text, NULL);
#endif
}

static void
init_sends(void)
{
	struct agent *a = agent_with(AGENT_TALKS);
	struct mail m = agent_mail(a, 0);
	CHECK_TEXT(m.data, "to myself");
	CHECK_INT(m.type, 20);
	CHECK_INT(m.source, a->handle);
	agent_kill(a);
}

/* Somebody else drops the table's reference after KILL, in his own time. Whether that was within the pause, so that
 * the last one was ours. */
static bool
last_is_ours(int ms)
{
	bool last;
	struct agent *a = agent_blank();
	char parm[32];
	int total = skynet_context_total();
	snprintf(parm, sizeof parm, "%p", (void *)a);
#if SKYNET_API_HEAD
	uint32_t handle = skynet_context_new("agent", parm);
	CHECK_INT(handle, a->handle);
	CHECK_INT(skynet_context_new("no_such_module", parm), 0);
#else
	struct skynet_context *ctx = skynet_context_new("agent", parm);
	CHECK(ctx == a->ctx);
	CHECK(skynet_context_new("no_such_module", parm) == NULL);
#endif
	CHECK_INT(skynet_context_total(), total + 1);
	CHECK_INT(skynet_context_handle(a->ctx), a->handle);
	skynet_context_grab(a->ctx);
	command("KILL", ":%x", a->handle);
	pause_ms(ms);
	CHECK_INT(a->released, 0);
	CHECK_INT(skynet_context_total(), total + 1);
	/* level head's header says nothing of a result, but we give it at both */
	if (!SKYNET_API_HEAD || dlsym(RTLD_DEFAULT, "skynetx_start")) {
		struct skynet_context *(*release)(struct skynet_context *);
		*(void **)&release = dlsym(RTLD_DEFAULT, "skynet_context_release");
		skynet_context_grab(a->ctx);
		CHECK(release(a->ctx) == a->ctx);
		last = release(a->ctx) == NULL;
	} else {
		skynet_context_release(a->ctx);
		last = a->released;
	}
	/* at once */
	if (last)
		CHECK(a->released && skynet_context_total() == total);
	WAIT_UNTIL(a->released);
	CHECK_INT(a->released, 1);
	WAIT_UNTIL(skynet_context_total() == total);
	return last;
}

static void
contexts(void)
{
	int tries = 0;
	while (!last_is_ours(10 + 10 * tries) && ++tries < 20) {
	}
	CHECK(tries < 20);
}

/* Handles grow and are not soon used again. */
static void
new_handles(void)
{
	uint32_t last = 0;
	int smaller = 0;
	for (int i = 0; i < 300; i++) {
		struct agent *a = agent_new();
		CHECK(a->handle != last && a->handle != driver_handle);
		if (a->handle < last)
			smaller++;
		last = a->handle;
		agent_kill(a);
	}
	/* once when they begin again, which takes 2^24 of them */
	CHECK_INT(smaller, wrapping());
}

const struct test_case launch_cases[] = {
	CASE(answer),
	CASE(parameters),
	CASE(long_parameter),
	CASE(no_module),
	CASE(no_create),
	CASE(no_init),
	CASE(null_create),
	CASE(dotted_name),
	CASE(query),
	CASE(failing_init),
	CASE(leaving_init),
	CASE(leaving_init_answer),
	CASE(init_sends),
	CASE(contexts),
	CASE(new_handles),
	{ NULL, NULL },
};
