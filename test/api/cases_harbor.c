/* The hand-over to the harbor service. The node's number is 1; the agents play the harbor. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static struct agent *harbor;

static void
become_harbor(struct agent *a, void *arg)
{
	(void)arg;
	skynet_harbor_start(a->ctx);
}

static void
start(void)
{
	int total;
	harbor = agent_new();
	CHECK_INT(harbor->handle >> HANDLE_REMOTE_SHIFT, 1);
	CHECK_INT(driver_handle >> HANDLE_REMOTE_SHIFT, 1);
	total = skynet_context_total();
	agent_run(harbor, become_harbor, NULL);
	/* alive, but not counted */
	CHECK_INT(skynet_context_total(), total - 1);
}

static void
remote(void)
{
	int node = 0;
	CHECK(!skynet_isremote(driver, driver_handle, &node));
	CHECK_INT(node, 1);
	CHECK(skynet_isremote(driver, 0x02000001, &node));
	CHECK_INT(node, 2);
	CHECK(!skynet_isremote(driver, 5, NULL));
	CHECK(skynet_harbor_message_isremote(0x02000001));
	CHECK(!skynet_harbor_message_isremote(0x01ffffff));
	CHECK(!skynet_harbor_message_isremote(0x00000001));
	/* without a node number it is nobody */
	log_mark();
	CHECK_INT(skynet_send(driver, 0, driver_handle & HANDLE_MASK, 10, 1, "x", 1), -1);
	CHECK_NOT_LOGGED();
}

/* The message that the harbor got next, checked. */
static struct remote_message
arrived(int index, uint32_t source, int session)
{
	struct mail m = agent_mail(harbor, index);
	struct remote_message r;
	memset(&r, 0, sizeof r);
	CHECK_INT(m.type, PTYPE_SYSTEM);
	CHECK_INT(m.source, source);
	CHECK_INT(m.session, session);
	if (CHECK_INT(m.sz, sizeof r))
		memcpy(&r, m.data, sizeof r);
	return r;
}

static void
by_handle(void)
{
	struct remote_message r;
	char *text = skynet_malloc(5);
	agent_clear(harbor);
	CHECK_INT(skynet_send(driver, 0, 0x02000005, 10, 7, "hello", 5), 7);
	r = arrived(0, driver_handle, 7);
	CHECK_INT(r.destination.handle, 0x02000005);
	CHECK_INT(r.type, 10);
	CHECK_INT(r.sz, 5);
	CHECK(r.message && memcmp(r.message, "hello", 6) == 0);
	skynet_free((void *)r.message);
	strcpy(text, "mine");
	CHECK_INT(skynet_send(driver, 77, 0xff000001, PTYPE_CLIENT | PTYPE_TAG_DONTCOPY, 8, text, 4), 8);
	r = arrived(1, 77, 8);
	CHECK(r.message == text);
	CHECK_INT(r.type, PTYPE_CLIENT);
	CHECK_INT(r.destination.handle, 0xff000001u);
	skynet_free(text);
	int first = skynet_send(driver, 0, 0, PTYPE_TAG_ALLOCSESSION, 0, NULL, 0);
	CHECK_INT(skynet_send(driver, 0, 0x02000005, 10 | PTYPE_TAG_ALLOCSESSION, 0, NULL, 0), first + 1);
	r = arrived(2, driver_handle, first + 1);
	CHECK(r.message == NULL);
	CHECK_INT(r.sz, 0);
	/* as text */
	CHECK_INT(skynet_sendname(driver, 0, ":2000009", 10, 9, "x", 1), 9);
	r = arrived(3, driver_handle, 9);
	CHECK_INT(r.destination.handle, 0x02000009);
	skynet_free((void *)r.message);
}

static void
by_name(void)
{
	static const struct { const char *name; char bytes[GLOBALNAME_LENGTH + 1]; } names[] = {
		{ "GLOBAL", "GLOBAL" },
		{ "", "" },
		{ "fifteen letters", "fifteen letters" },
		{ "sixteen letters!", "sixteen letters!" },
		{ "seventeen letters", "seventeen letter" },
		{ "a name that is much too long for this", "a name that is m" },
	};
	agent_clear(harbor);
	for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++) {
		CHECK_INT(skynet_sendname(driver, 0, names[i].name, 10, 20 + i, "x", 1), 20 + i);
		struct remote_message r = arrived(i, driver_handle, 20 + i);
		CHECK_INT(r.destination.handle, 0);
		CHECK(memcmp(r.destination.name, names[i].bytes, GLOBALNAME_LENGTH) == 0);
		CHECK_INT(r.type, 10);
		CHECK_INT(r.sz, 1);
		skynet_free((void *)r.message);
	}
	int first = skynet_send(driver, 0, 0, PTYPE_TAG_ALLOCSESSION, 0, NULL, 0);
	char *text = skynet_malloc(2);
	CHECK_INT(skynet_sendname(driver, 5, "G", 12 | PTYPE_TAG_ALLOCSESSION | PTYPE_TAG_DONTCOPY, 0,
		text, 2), first + 1);
	CHECK(arrived(6, 5, first + 1).message == text);
	skynet_free(text);
}

static void
by_name_too_large(void)
{
	agent_clear(harbor);
	log_mark();
	CHECK_INT(skynet_sendname(driver, 0, "GLOBAL", 10, 1, "x", (size_t)1 << 56), -2);
	CHECK_LOGGED(driver_handle, ERROR_MARK "The message to GLOBAL is too large");
	CHECK_INT(skynet_sendname(driver, 0, "GLOBAL", 10 | PTYPE_TAG_DONTCOPY, 1, skynet_malloc(1),
		SIZE_MAX), -2);
	CHECK_LOGGED(driver_handle, ERROR_MARK "The message to GLOBAL is too large");
	CHECK_INT(skynet_send(driver, 0, 0x02000005, 10, 1, "x", (size_t)1 << 56), -2);
	CHECK_LOGGED(driver_handle, ERROR_MARK "The message to 2000005 is too large");
	agent_settle(harbor);
	CHECK_INT(agent_count(harbor), 0);
}

static void
directly(void)
{
	struct remote_message *r = skynet_malloc(sizeof *r);
	memset(r, 0, sizeof *r);
	strcpy(r->destination.name, "DIRECT");
	r->message = skynet_malloc(3);
	r->sz = 3;
	r->type = 14;
	const void *message = r->message;
	agent_clear(harbor);
	skynet_harbor_send(r, 55, 66);
	struct remote_message got = arrived(0, 55, 66);
	CHECK_TEXT(got.destination.name, "DIRECT");
	CHECK(got.message == message);
	CHECK_INT(got.type, 14);
	skynet_free((void *)message);
}

const struct test_case harbor_cases[] = {
	CASE(start),
	CASE(remote),
	CASE(by_handle),
	CASE(by_name),
	CASE(by_name_too_large),
	CASE(directly),
	{ NULL, NULL },
};
