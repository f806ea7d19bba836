/* The watch over callbacks that do not return; slow, as it looks every five seconds. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static void
reported(void)
{
	struct agent *a = agent_new();
	struct gate gate;
	unsigned source = 0, destination = 0, version = 0;
	int end = 0, lines;
	/* the driver's own callback does not return either and is reported as well */
	log_mark();
	gate_close(&gate, a);
	pause_ms(11000);
	gate_open(&gate);
	lines = log_count();
	CHECK(lines >= 2);
	for (int i = 0; i < lines; i++) {
		struct line line = log_line(i);
		if (strstr(line.text, " is at a message of type "))
			continue;	/* a line of ours about the same */
		unsigned from, to, n;
		int here = 0;
		CHECK_INT(line.source, 0);
		sscanf(line.text, ERROR_MARK "A message from [ :%8x ] to [ :%8x ] maybe in an endless loop "
			"(version = %u)%n", &from, &to, &n, &here);
		CHECK_INT(here, line.sz);
		if (to == a->handle) {
			source = from;
			destination = to;
			version = n;
			end = here;
		}
	}
	CHECK(end > 0);
	CHECK_INT(source, driver_handle);
	CHECK_INT(destination, a->handle);
	CHECK(version > 0);
	/* the flag of the service, until it is read */
	CHECK_TEXT(command_as(a, "STAT", "endless"), "1");
	CHECK_TEXT(command_as(a, "STAT", "endless"), "0");
	agent_kill(a);
}

const struct test_case endless_cases[] = {
	CASE(reported),
	{ NULL, NULL },
};
