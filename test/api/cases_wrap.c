/* Sessions at the end of their range; slow, as it takes two thousand million of them to get there. */
#include "harness.h"

#include <limits.h>

static void
sessions(void)
{
	int last, session = skynet_context_newsession(driver);
	do {
		last = session;
		session = skynet_context_newsession(driver);
	} while (session > last);
	CHECK_INT(last, INT_MAX);
	CHECK_INT(session, 1);
	/* and on */
	CHECK_INT(skynet_send(driver, 0, driver_handle, 10 | PTYPE_TAG_ALLOCSESSION, 0, NULL, 0), 2);
	CHECK_INT(skynet_context_newsession(driver), 3);
}

const struct test_case wrap_cases[] = {
	CASE(sessions),
	{ NULL, NULL },
};
