/* The watch over callbacks that do not return; slow, as it looks every five seconds. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

/* What the log says of callbacks so far; whether one of the service `handle` is among them. */
static bool
said(uint32_t handle, unsigned *source, unsigned *version)
{
	bool found = false;
	for (int i = 0, n = log_count(); i < n; i++) {
		struct line line = log_line(i);
		unsigned from, to, count;
		int end = 0;
		if (strstr(line.text, " is at a message of type "))
			continue;	/* a line of ours about the same */
		CHECK_INT(line.source, 0);
		sscanf(line.text, ERROR_MARK "A message from [ :%8x ] to [ :%8x ] maybe in an endless loop "
			"(version = %u)%n", &from, &to, &count, &end);
		CHECK_INT(end, line.sz);
		if (to == handle) {
			*source = from;
			*version = count;
			found = true;
		}
	}
	return found;
}

static void
reported(void)
{
	struct agent *a = agent_new();
	struct gate gate;
	unsigned source = 0, version = 0;
	bool found = false;
	log_mark();
	gate_close(&gate, a);
	/* ten seconds at most, on a machine that has nothing else to do */
	for (int tries = 0; !found && tries < 80; tries++) {
		pause_ms(500);
		found = said(a->handle, &source, &version);
	}
	gate_open(&gate);
	CHECK(found);
	CHECK_INT(source, driver_handle);
	CHECK(version > 0);
	/* the driver's own callback does not return either */
	CHECK(said(driver_handle, &source, &version));
	/* the flag of the service, until it is read */
	CHECK_TEXT(command_as(a, "STAT", "endless"), "1");
	CHECK_TEXT(command_as(a, "STAT", "endless"), "0");
	agent_kill(a);
}

const struct test_case endless_cases[] = {
	CASE(reported),
	{ NULL, NULL },
};
