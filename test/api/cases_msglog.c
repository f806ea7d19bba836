/* LOGON and LOGOFF: the log of one service's messages. `logpath` is set. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static char *
path_of(struct agent *a)
{
	static char path[512];
	snprintf(path, sizeof path, "%s/%08x.log", skynet_getenv("logpath"), a->handle);
	return path;
}

/* The lines of a file, without their ends. */
static int
read_lines(const char *path, char lines[][256], int room)
{
	FILE *f = fopen(path, "r");
	int n = 0;
	if (f == NULL)
		return -1;
	while (n < room && fgets(lines[n], 256, f)) {
		lines[n][strcspn(lines[n], "\n")] = '\0';
		n++;
	}
	fclose(f);
	return n;
}

/* "prefix NOW rest", where NOW is a number. */
static bool
matches(const char *line, const char *prefix, const char *rest)
{
	char *end;
	if (strncmp(line, prefix, strlen(prefix)) != 0)
		return false;
	line += strlen(prefix);
	strtoul(line, &end, 10);
	return end > line && strcmp(end, rest) == 0;
}

static void
on_and_off(void)
{
	struct agent *a = agent_new();
	static char lines[16][256];
	char text[600], prefix[64];
	int n;
	log_mark();
	CHECK_TEXT(command("LOGON", ":%x", a->handle), NULL);
	snprintf(text, sizeof text, "Open log file %s", path_of(a));
	CHECK_LOGGED(driver_handle, text);
	/* it is on */
	CHECK_TEXT(command("LOGON", ":%x", a->handle), NULL);
	CHECK_NOT_LOGGED();
	skynet_send(driver, 0, a->handle, 10, 42, "\x01\xfe text", 7);
	skynet_send(driver, 0x77, a->handle, PTYPE_TEXT, -1, NULL, 0);
	skynet_send(driver, 0, a->handle, 10, 0, "", 0);
	/* each line is there when the callback runs */
	agent_mail(a, 2);
	n = read_lines(path_of(a), lines, 16);
	if (CHECK_INT(n, 4)) {
		CHECK(strncmp(lines[0], "open time: ", 11) == 0);
		/* the number, then the date as ctime writes it */
		char *end;
		strtoul(lines[0] + 11, &end, 10);
		CHECK_INT(strlen(end), 25);
		snprintf(prefix, sizeof prefix, ":%08x 10 42 ", driver_handle);
		CHECK(matches(lines[1], prefix, " 01fe2074657874"));
		CHECK(matches(lines[2], ":00000077 0 -1 ", " "));
		snprintf(prefix, sizeof prefix, ":%08x 10 0 ", driver_handle);
		CHECK(matches(lines[3], prefix, " "));
	}
	log_mark();
	CHECK_TEXT(command("LOGOFF", ":%x", a->handle), NULL);
	snprintf(text, sizeof text, "Close log file :%08x", a->handle);
	CHECK_LOGGED(driver_handle, text);
	CHECK_TEXT(command("LOGOFF", ":%x", a->handle), NULL);
	CHECK_NOT_LOGGED();
	skynet_send(driver, 0, a->handle, 10, 43, "x", 1);
	agent_settle(a);
	n = read_lines(path_of(a), lines, 16);
	CHECK_INT(n, 5);
	CHECK(matches(lines[4], "close time: ", ""));
	/* on again: the file goes on */
	command("LOGON", ":%x", a->handle);
	n = read_lines(path_of(a), lines, 16);
	CHECK_INT(n, 6);
	CHECK(strncmp(lines[5], "open time: ", 11) == 0);
	/* a service that ends leaves no last line */
	agent_kill(a);
	CHECK_INT(read_lines(path_of(a), lines, 16), 6);
}

static void
names(void)
{
	struct agent *a = agent_new();
	static char lines[4][256];
	command_as(a, "REG", ".case_msglog");
	command("LOGON", ".case_msglog");
	CHECK_INT(read_lines(path_of(a), lines, 4), 1);
	command("LOGOFF", ".case_msglog");
	CHECK_INT(read_lines(path_of(a), lines, 4), 2);
	log_mark();
	CHECK_TEXT(command("LOGON", ".no_such_name"), NULL);
	CHECK_TEXT(command("LOGOFF", ".no_such_name"), NULL);
	CHECK_TEXT(command("LOGON", ":7ff8"), NULL);
	CHECK_TEXT(command("LOGOFF", ":7ff8"), NULL);
	CHECK_NOT_LOGGED();
	CHECK_TEXT(command("LOGON", "global"), NULL);
	CHECK_LOGGED(driver_handle, ERROR_MARK "Can't convert global to handle");
	agent_kill(a);
}

/* Events of sockets have a form of their own. They are made by hand here, and look as if they came
   from the core: a core may refuse to believe others what is behind their pointers. */
static void
sockets(void)
{
	struct agent *a = agent_new();
	struct skynet_socket_message *event;
	static char lines[8][256];
	command("LOGON", ":%x", a->handle);
	event = skynet_malloc(sizeof *event);
	event->type = SKYNET_SOCKET_TYPE_DATA;
	event->id = 5;
	event->ud = 3;
	event->buffer = "\x0a\xbcz";
	skynet_context_send(a->ctx, event, sizeof *event, 0, PTYPE_SOCKET, 0);
	/* the text is longer than ud on purpose: its length is that of the message */
	event = skynet_malloc(sizeof *event + 6);
	event->type = SKYNET_SOCKET_TYPE_CONNECT;
	event->id = 6;
	event->ud = 0;
	event->buffer = NULL;
	memcpy(event + 1, "start", 6);
	skynet_context_send(a->ctx, event, sizeof *event + 5, 0, PTYPE_SOCKET, 0);
	agent_mail(a, 1);
	int n = read_lines(path_of(a), lines, 8);
	CHECK_INT(n, 3);
	CHECK_TEXT(lines[1], "[socket] 1 5 3 0abc7a");
	CHECK(strncmp(lines[2], "[socket] 2 6 0 [start", 21) == 0);
	agent_kill(a);
}

const struct test_case msglog_cases[] = {
	CASE(on_and_off),
	CASE(names),
	CASE(sockets),
	{ NULL, NULL },
};
