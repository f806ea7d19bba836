/* skynet_error: what printf would print, as one log line. */
#include "harness.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void
formats(void)
{
	char line[64];
	skynet_error(driver, "plain");
	CHECK_LOGGED(driver_handle, "plain");
	skynet_error(driver, "%s", "");
	CHECK_LOGGED(driver_handle, "");
	skynet_error(driver, "100%%");
	CHECK_LOGGED(driver_handle, "100%");
	skynet_error(driver, "[%s|%5s|%-5s|%.2s]", "text", "ab", "ab", "abcdef");
	CHECK_LOGGED(driver_handle, "[text|   ab|ab   |ab]");
	skynet_error(driver, "%d %i %u %x %X %o %c", -1, 42, 3000000000u, 0xbeef, 0xBEEF, 8, 'c');
	CHECK_LOGGED(driver_handle, "-1 42 3000000000 beef BEEF 10 c");
	skynet_error(driver, ":%08x %02d %+d", 0x1234, 5, 5);
	CHECK_LOGGED(driver_handle, ":00001234 05 +5");
	skynet_error(driver, "%zu %zd %lld %llu %ld", (size_t)-1, (ssize_t)-5, -1234567890123LL,
		18446744073709551615ULL, -7L);
	CHECK_LOGGED(driver_handle,
		"18446744073709551615 -5 -1234567890123 18446744073709551615 -7");
	skynet_error(driver, "%" PRId64 " %" PRIu32 " %" PRIx64, INT64_MIN, UINT32_MAX, UINT64_MAX);
	CHECK_LOGGED(driver_handle, "-9223372036854775808 4294967295 ffffffffffffffff");
	skynet_error(driver, "%.2f %f %lf %g %e %8.3f", 3.14159, 0.5, 0.25, 1e10, 12345.678, 2.5);
	CHECK_LOGGED(driver_handle, "3.14 0.500000 0.250000 1e+10 1.234568e+04    2.500");
	/* more than six integers and eight floating point numbers: the rest is on the stack */
	skynet_error(driver, "%d%d%d%d%d%d%d%d%d %.1f%.1f%.1f%.1f%.1f%.1f%.1f%.1f%.1f%.1f %s",
		1, 2, 3, 4, 5, 6, 7, 8, 9, .0, .1, .2, .3, .4, .5, .6, .7, .8, .9, "end");
	CHECK_LOGGED(driver_handle, "123456789 0.00.10.20.30.40.50.60.70.80.9 end");
	skynet_error(driver, "%*d|%-*d|%.*f", 5, 42, 5, 42, 1, 2.25);
	CHECK_LOGGED(driver_handle, "   42|42   |2.2");
	skynet_error(driver, "%p", (void *)driver);
	snprintf(line, sizeof line, "%p", (void *)driver);
	CHECK_LOGGED(driver_handle, line);
	skynet_error(driver, "two\nlines\n");
	CHECK_LOGGED(driver_handle, "two\nlines\n");
	skynet_error(driver, "%s", "\xff\xfe bytes");
	CHECK_LOGGED(driver_handle, "\xff\xfe bytes");
}

static void
lengths(void)
{
	static const int sizes[] = { 1, 254, 255, 256, 257, 511, 512, 4095, 4096, 100000 };
	char *text = malloc(100001);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (int j = 0; j < sizes[i]; j++)
			text[j] = (char)('a' + j % 26);
		text[sizes[i]] = '\0';
		skynet_error(driver, "%s", text);
		struct line line = log_line(0);
		CHECK_INT(line.sz, sizes[i]);
		CHECK(strcmp(line.text, text) == 0);
		log_mark();
		/* as the format itself, and behind something else */
		skynet_error(driver, text);
		CHECK_INT(log_line(0).sz, sizes[i]);
		log_mark();
		skynet_error(driver, "%d %s", 1, text);
		line = log_line(0);
		CHECK_INT(line.sz, sizes[i] + 2);
		CHECK(strcmp(line.text + 2, text) == 0);
		log_mark();
	}
	free(text);
}

static void
given_length(void)
{
	struct line line;
	skynet_error(driver, "%*s", 3, "abcdef");
	line = log_line(0);
#if SKYNET_API_HEAD
	CHECK_TEXT(line.text, "abc");
	CHECK_INT(line.sz, 3);
	log_mark();
	skynet_error(driver, "%*s", 5, "a\0b\0c");
	line = log_line(0);
	CHECK_INT(line.sz, 5);
	CHECK(memcmp(line.text, "a\0b\0c", 5) == 0);
	log_mark();
	skynet_error(driver, "%*s", 0, "abc");
	CHECK_INT(log_line(0).sz, 0);
	CHECK_INT(log_count(), 1);
	log_mark();
	char *text = malloc(3000);
	memset(text, 'y', 3000);
	skynet_error(driver, "%*s", 3000, text);
	CHECK_INT(log_line(0).sz, 3000);
	free(text);
#else
	CHECK_TEXT(line.text, "abcdef");
#endif
	log_mark();
	/* any other format with it is printf's */
	skynet_error(driver, "%*s.", 3, "abcdef");
	CHECK_LOGGED(driver_handle, "abcdef.");
	skynet_error(driver, "%*s|", 5, "ab");
	CHECK_LOGGED(driver_handle, "   ab|");
}

static void *
in_foreign_thread(void *arg)
{
	skynet_error(arg, "foreign %d", 1);
	skynet_error(NULL, "nobody %d", 2);
	return NULL;
}

static void
sources(void)
{
	struct agent *a = agent_new();
	pthread_t thread;
	log_mark();
	skynet_error(NULL, "from %s", "the core");
	CHECK_LOGGED(0, "from the core");
	skynet_error(a->ctx, "as the agent");
	CHECK_LOGGED(a->handle, "as the agent");
	pthread_create(&thread, NULL, in_foreign_thread, driver);
	pthread_join(thread, NULL);
	CHECK_INT(log_count(), 2);
	CHECK_TEXT(log_line(0).text, "foreign 1");
	CHECK_INT(log_line(0).source, driver_handle);
	CHECK_TEXT(log_line(1).text, "nobody 2");
	CHECK_INT(log_line(1).source, 0);
	agent_kill(a);
}

const struct test_case error_cases[] = {
	CASE(formats),
	CASE(lengths),
	CASE(given_length),
	CASE(sources),
	{ NULL, NULL },
};
