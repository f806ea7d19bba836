/* What is off: no `logpath`, and `profile` is not exactly true. */
#include "harness.h"

#include <stdlib.h>

static void
no_message_log(void)
{
	struct agent *a = agent_new();
	log_mark();
	CHECK_TEXT(skynet_getenv("logpath"), NULL);
	CHECK_TEXT(command("LOGON", ":%x", a->handle), NULL);
	CHECK_TEXT(command("LOGOFF", ":%x", a->handle), NULL);
	CHECK_NOT_LOGGED();
	agent_kill(a);
}

static void
burn(struct agent *a, void *arg)
{
	uint64_t until = skynet_thread_time() + 20000;
	while (skynet_thread_time() < until) {
	}
	snprintf(arg, 32, "%s", skynet_command(a->ctx, "STAT", "time"));
}

static void
no_profile(void)
{
	struct agent *a = agent_new();
	char text[32];
	long long first = atoll(command_as(a, "STAT", "message"));
	CHECK_TEXT(skynet_getenv("profile"), "1");
	agent_run(a, burn, text);
	CHECK_TEXT(text, "0");
	CHECK_TEXT(command_as(a, "STAT", "cpu"), "0.000000");
	CHECK(first == 1 || wrapping());
	CHECK_INT(atoll(command_as(a, "STAT", "message")), first + 3);
	agent_kill(a);
}

const struct test_case plain_cases[] = {
	CASE(no_message_log),
	CASE(no_profile),
	{ NULL, NULL },
};
