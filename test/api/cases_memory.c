/* The process's malloc family as services meet it, its accounts, and the allocator's controls. */
#include "harness.h"
#include "malloc_hook.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

const char *heap_check(int complete);

/* The file that provides a function. */
static const char *
provider(const char *name)
{
	Dl_info info;
	void *at = dlsym(RTLD_DEFAULT, name);
	return at && dladdr(at, &info) ? info.dli_fname : "";
}

/* Does the executable account for memory? Without jemalloc it leaves malloc to libc. */
static bool
accounts(void)
{
	return strcmp(provider("malloc"), provider("strlen")) != 0;
}

static void
family(void)
{
	static const char *const members[] = {
		"calloc", "realloc", "free", "memalign", "aligned_alloc", "posix_memalign",
	};
	const char *home = provider("malloc");
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		CHECK_TEXT(provider(members[i]), home);
	if (!accounts())
		return;
	/* upstream leaves the rest to libc, whose blocks its free does not take */
	bool complete = strcmp(provider("valloc"), home) == 0;
	CHECK_TEXT(heap_check(complete), NULL);
}

struct measure {
	long long bytes[6];
	long long blocks;
};

static void
measure(struct agent *a, void *arg)
{
	struct measure *m = arg;
	char *p, *q;
	(void)a;
	long long start = (long long)malloc_current_memory();
	p = malloc(1000);
	m->bytes[0] = (long long)malloc_current_memory() - start;
	q = memalign(64, 1000);
	m->bytes[1] = (long long)malloc_current_memory() - start;
	free(q);
	m->bytes[2] = (long long)malloc_current_memory() - start;
	p = realloc(p, 3000);
	m->bytes[3] = (long long)malloc_current_memory() - start;
	free(p);
	m->bytes[4] = (long long)malloc_current_memory() - start;
	/* raw blocks are in nobody's account */
	p = skynet_lalloc(NULL, 0, 5000);
	m->bytes[5] = (long long)malloc_current_memory() - start;
	skynet_lalloc(p, 5000, 0);
}

static void
account(void)
{
	struct agent *a = agent_new();
	struct measure m;
	agent_run(a, measure, &m);
	if (accounts()) {
		const int prefix = SKYNET_API_HEAD ? 16 : 0, aligned = SKYNET_API_HEAD ? 64 : 0;
		CHECK_INT(m.bytes[0], 1000 + prefix);
		CHECK_INT(m.bytes[1], 2000 + prefix + aligned);
		CHECK_INT(m.bytes[2], 1000 + prefix);
		CHECK_INT(m.bytes[3], 3000 + prefix);
	} else {
		CHECK_INT(malloc_used_memory(), 0);
		CHECK_INT(malloc_memory_block(), 0);
		CHECK_INT(m.bytes[0], 0);
	}
	CHECK_INT(m.bytes[4], 0);
	CHECK_INT(m.bytes[5], 0);
	agent_kill(a);
}

#define MILLION 1000000

static void *block;

static void
take_block(struct agent *a, void *arg)
{
	(void)a;
	block = malloc(MILLION);
	*(size_t *)arg = malloc_current_memory();
}

static void
tell(struct agent *a, void *arg)
{
	(void)a;
	*(size_t *)arg = malloc_current_memory();
}

/* Freed by one service, released from the account of the other. */
static void
released_elsewhere(void)
{
	struct agent *a = agent_new();
	size_t before, with, mine, after, used, blocks;
	if (!accounts())
		return;
	agent_run(a, tell, &before);
	used = malloc_used_memory();
	blocks = malloc_memory_block();
	agent_run(a, take_block, &with);
	CHECK(with - before >= MILLION && with - before < MILLION + 1000);
	CHECK(malloc_used_memory() - used > MILLION - 50000);
	CHECK(malloc_memory_block() + 1000 > blocks);
	mine = malloc_current_memory();
	free(block);
	CHECK(malloc_current_memory() == mine);
	agent_run(a, tell, &after);
	CHECK(after < before + 1000);
	CHECK(malloc_used_memory() < used + 100000);
	agent_kill(a);
}

/* As in skynetx.h, which is ours alone. */
struct left {
	uint32_t handle;
	size_t bytes;
	size_t blocks;
};

static size_t (*memory_left)(struct left *list, size_t room);

/* What a service left, all zero when it is not in the list. */
static struct left
left_by(uint32_t handle)
{
	struct left found = { 0, 0, 0 };
	size_t room = memory_left(NULL, 0) + 10;
	struct left *list = malloc(room * sizeof *list);
	size_t count = memory_left(list, room);
	for (size_t i = 0; i < count && i < room; i++) {
		if (i > 0)
			CHECK((list[i - 1].handle & 0xffff) < (list[i].handle & 0xffff));
		CHECK(list[i].blocks > 0);
		if (list[i].handle == handle)
			found = list[i];
	}
	free(list);
	return found;
}

/* What outlives a service is told apart from what the living use. */
static void
left_behind(void)
{
	struct agent *a = agent_new(), *b = agent_new();
	size_t bytes;
	*(void **)&memory_left = dlsym(RTLD_DEFAULT, "skynetx_memory_left");
	if (memory_left == NULL)
		return;
	if (!accounts()) {
		CHECK_INT(memory_left(NULL, 0), 0);
		return;
	}
	agent_run(a, take_block, &bytes);
	CHECK_INT(left_by(a->handle).blocks, 0);
	agent_kill(a);
	WAIT_UNTIL(left_by(a->handle).bytes > 0);
	struct left left = left_by(a->handle), one;
	CHECK(left.bytes >= MILLION);
	CHECK(left.blocks >= 1 && left.blocks < 1000);
	/* in no more room than there is */
	memset(&one, 0, sizeof one);
	CHECK(memory_left(&one, 1) >= 1);
	CHECK(one.handle != 0);
	agent_settle(b);
	CHECK_INT(left_by(b->handle).blocks, 0);
	free(block);
	WAIT_UNTIL(left_by(a->handle).bytes < MILLION);
	CHECK(left_by(a->handle).blocks < left.blocks);
	agent_kill(b);
}

/* As in skynetx.h. */
struct service_memory {
	uint32_t handle;
	size_t lua, c, messages;
};

struct map {
	size_t resident, sum, lua, lua_ended, c, c_ended, c_nobody, uncounted, thread_caches, fragments,
		free_pages, metadata, files, stacks, other, untouched, messages, shared, retained;
};

static size_t (*memory_services)(struct service_memory *list, size_t room);
static size_t (*memory_map)(struct map *map, size_t size);
static void (*memory_publish)(struct skynet_context *ctx, const size_t *bytes);

/* What is known of a service, all zero when it is not in the list. */
static struct service_memory
memory_of(uint32_t handle)
{
	struct service_memory found = { 0, 0, 0, 0 };
	size_t room = memory_services(NULL, 0) + 10;
	struct service_memory *list = malloc(room * sizeof *list);
	size_t count = memory_services(list, room);
	for (size_t i = 0; i < count && i < room; i++) {
		if (list[i].handle == handle)
			found = list[i];
	}
	free(list);
	return found;
}

static struct map
look(void)
{
	struct map map;
	memset(&map, 0x55, sizeof map);
	CHECK_INT(memory_map(&map, sizeof map), sizeof map);
	return map;
}

/* Sends itself messages that wait until it is done, and counts them. */
static void
queue_up(struct agent *a, void *arg)
{
	struct service_memory *seen = arg;
	seen[0] = memory_of(a->handle);
	struct map before = look();
	for (int i = 0; i < 10; i++) {
		void *data = calloc(1, MILLION);
		skynet_send(a->ctx, 0, a->handle, 1 | PTYPE_TAG_DONTCOPY, 0, data, MILLION);
	}
	struct map after = look();
	seen[1] = memory_of(a->handle);
	/* others may have messages, too */
	CHECK(after.messages > before.messages + 9 * MILLION);
	CHECK(after.messages < before.messages + 11 * MILLION);
}

/* Where the memory is: what a test uses turns up under its name. */
static void
whereabouts(void)
{
	*(void **)&memory_services = dlsym(RTLD_DEFAULT, "skynetx_memory_services");
	*(void **)&memory_map = dlsym(RTLD_DEFAULT, "skynetx_memory_map");
	*(void **)&memory_publish = dlsym(RTLD_DEFAULT, "skynetx_memory_publish");
	if (memory_map == NULL)
		return;
	struct agent *a = agent_new();
	struct service_memory seen[2];
	size_t counter = 0, bytes;
	struct map before = look(), after;

	/* a counter is read when somebody asks */
	CHECK_INT(memory_of(a->handle).lua, 0);
	memory_publish(a->ctx, &counter);
	counter = 123456789;
	CHECK_INT(memory_of(a->handle).lua, 123456789);
	after = look();
	CHECK(after.lua - before.lua >= 123456789 && after.lua - before.lua < 140000000);
	/* of a service that has ended, as long as somebody has it */
	skynet_context_grab(a->ctx);
	command("KILL", ":%x", a->handle);
	WAIT_UNTIL(memory_of(a->handle).handle == 0);
	CHECK_INT(look().lua_ended - before.lua_ended, 123456789);
	skynet_context_release(a->ctx);
	WAIT_UNTIL(a->released);
	CHECK_INT(look().lua_ended, before.lua_ended);
	/* NULL ends it, and there may be no context */
	struct agent *b = agent_new();
	memory_publish(b->ctx, &counter);
	memory_publish(b->ctx, NULL);
	CHECK_INT(memory_of(b->handle).lua, 0);
	memory_publish(NULL, &counter);

	/* blocks, and messages that wait */
	agent_run(b, queue_up, seen);
	CHECK_INT(seen[1].messages - seen[0].messages, 10);
	if (accounts()) {
		CHECK(seen[1].c - seen[0].c >= 10 * MILLION);
		before = look();
		agent_run(b, take_block, &bytes);
		after = look();
		CHECK(memory_of(b->handle).c >= MILLION);
		agent_kill(b);
		WAIT_UNTIL(look().c_ended >= before.c_ended + MILLION);
		free(block);
	} else {
		CHECK_INT(look().c, 0);
		agent_kill(b);
	}

	/* a part of the map */
	memset(&after, 0x55, sizeof after);
	CHECK_INT(memory_map(&after, sizeof after.resident), sizeof after);
	CHECK(after.resident != 0x5555555555555555);
	CHECK(after.sum == 0x5555555555555555);
	CHECK_INT(memory_map(NULL, 0), sizeof after);
	struct service_memory one;
	memset(&one, 0, sizeof one);
	CHECK(memory_services(&one, 1) > 1);
	CHECK(one.handle != 0);
}

static void
dump(void)
{
	struct agent *a = agent_new();
	size_t bytes;
	char prefix[16];
	unsigned long long kilo, rest, sum = 0, total = 0;
	int found = 0, n, end = 0;
	if (accounts())
		agent_run(a, take_block, &bytes);
	log_mark();
	dump_c_mem();
	n = log_count();
	CHECK_TEXT(log_line(0).text, "dump all service mem:");
	CHECK_INT(log_line(0).source, 0);
	snprintf(prefix, sizeof prefix, ":%08x -> ", a->handle);
	for (int i = 1; i < n - 1; i++) {
		struct line line = log_line(i);
		unsigned handle;
		CHECK_INT(line.source, 0);
		/* the whole line */
		end = 0;
		sscanf(line.text, ":%8x -> %llukb %llub%n", &handle, &kilo, &rest, &end);
		CHECK_INT(end, line.sz);
#if SKYNET_API_HEAD
		CHECK_INT(kilo, rest / 1024);
		sum += rest;
#else
		CHECK(rest < 1024);
		sum += kilo * 1024 + rest;
#endif
		if (strncmp(line.text, prefix, strlen(prefix)) == 0) {
			found++;
			CHECK(kilo >= MILLION / 1024 && kilo < MILLION / 1024 + 100);
		}
	}
	end = 0;
	sscanf(log_line(n - 1).text, "+total: %llukb%n", &total, &end);
	CHECK_INT(end, log_line(n - 1).sz);
	CHECK_INT(total, sum / 1024);
	CHECK_INT(found, accounts());
	if (accounts())
		free(block);
	else
		CHECK_INT(n, 2);
	agent_kill(a);
}

static void
debug(struct agent *a, void *arg)
{
	(void)a, (void)arg;
	skynet_debug_memory("apitest debug");
}

/* On stderr, where the program that runs us looks. */
static void
debug_memory(void)
{
	struct agent *a = agent_new();
	agent_run(a, debug, NULL);
	agent_kill(a);
}

static void
controls(void)
{
	size_t one = 1, epoch;
	int five = 5;
	bool off = false;
	log_mark();
	if (!accounts()) {
		CHECK_INT(mallctl_int64("epoch", NULL), 0);
		CHECK_LOGGED(0, "No jemalloc : mallctl_int64 epoch.");
		CHECK_INT(mallctl_opt("opt.narenas", &five), 0);
		CHECK_LOGGED(0, "No jemalloc : mallctl_opt opt.narenas.");
		CHECK_INT(mallctl_bool("prof.active", &off), 0);
		CHECK_LOGGED(0, "No jemalloc : mallctl_bool prof.active.");
		CHECK_INT(mallctl_cmd("prof.dump"), 0);
		CHECK_LOGGED(0, "No jemalloc : mallctl_cmd prof.dump.");
		memory_info_dump(NULL);
		CHECK_LOGGED(0, "No jemalloc");
		return;
	}
	epoch = mallctl_int64("epoch", &one);
	CHECK(mallctl_int64("epoch", NULL) >= epoch && epoch > 0);
	CHECK(mallctl_int64("stats.allocated", NULL) >= 100000);
	CHECK(mallctl_int64("stats.active", NULL) >= mallctl_int64("stats.allocated", NULL) / 2);
	CHECK(mallctl_int64("stats.resident", NULL) > 0);
	CHECK(mallctl_int64("stats.mapped", NULL) > 0);
	mallctl_int64("stats.retained", NULL);
	CHECK_INT(mallctl_int64("no.such.control", NULL), 0);
	CHECK(mallctl_opt("opt.narenas", NULL) > 0);
	CHECK_INT(mallctl_opt("no.such.control", NULL), 0);
	CHECK(!mallctl_bool("prof.active", NULL));
	CHECK(mallctl_bool("config.prof", NULL));
	CHECK_INT(mallctl_cmd("thread.tcache.flush"), 0);
	CHECK_INT(mallctl_cmd("no.such.control"), 2);
	CHECK_NOT_LOGGED();
	/* it may only be read */
	mallctl_opt("opt.narenas", &five);
	CHECK_LOGGED(0, "set new value(5) for (opt.narenas) failed: error -> 1\n");
}

static void
strings(void)
{
	/* exported at both levels, declared here or there */
	char *(*dup)(const char *) = (char *(*)(const char *))dlsym(RTLD_DEFAULT, "skynet_strdup");
	if (CHECK(dup != NULL)) {
		char *text = dup("a text");
		CHECK_TEXT(text, "a text");
		skynet_free(text);
	}
	char *text = skynet_strdup("another");
	CHECK_TEXT(text, "another");
	skynet_free(text);
#if SKYNET_API_HEAD
	text = skynet_strndup("ab\0de-not-this", 5);
	CHECK(memcmp(text, "ab\0de", 6) == 0);
	skynet_free(text);
#endif
}

static void
lalloc(void)
{
	char *p = skynet_lalloc(NULL, 0, 10);
	CHECK(p != NULL);
	memset(p, 7, 10);
	p = skynet_lalloc(p, 10, 100000);
	CHECK(p[0] == 7 && p[9] == 7);
	p = skynet_lalloc(p, 100000, 3);
	CHECK(p[2] == 7);
	CHECK(skynet_lalloc(p, 3, 0) == NULL);
	CHECK(skynet_lalloc(NULL, 0, 0) == NULL);
	/* the one allocation that may fail */
	CHECK(skynet_lalloc(NULL, 0, (size_t)1 << 62) == NULL);
}

#if SKYNET_API_HEAD
static void
mem_info(void)
{
	MemInfo sum;
	AtomicMemInfo shared;
	meminfo_init(&sum);
	CHECK_INT(sum.alloc + sum.alloc_count + sum.free + sum.free_count, 0);
	meminfo_alloc(&sum, 100);
	meminfo_alloc(&sum, 10);
	meminfo_free(&sum, 10);
	atomic_meminfo_init(&shared);
	atomic_meminfo_alloc(&shared, 7);
	atomic_meminfo_free(&shared, 5);
	atomic_meminfo_free(&shared, 1);
	atomic_meminfo_merge(&sum, &shared);
	CHECK_INT(sum.alloc, 117);
	CHECK_INT(sum.alloc_count, 3);
	CHECK_INT(sum.free, 16);
	CHECK_INT(sum.free_count, 3);
	MemInfo twice = sum;
	meminfo_merge(&twice, &sum);
	CHECK_INT(twice.alloc, 234);
	CHECK_INT(twice.alloc_count, 6);
	CHECK_INT(twice.free, 32);
	CHECK_INT(twice.free_count, 6);
}
#endif

const struct test_case memory_cases[] = {
	CASE(family),
	CASE(account),
	CASE(released_elsewhere),
	CASE(left_behind),
	CASE(whereabouts),
	CASE(dump),
	CASE(debug_memory),
	CASE(controls),
	CASE(strings),
	CASE(lalloc),
#if SKYNET_API_HEAD
	CASE(mem_info),
#endif
	{ NULL, NULL },
};
