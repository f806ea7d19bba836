/*
 * What the process's malloc family must do for C code in a dlopened module. One function, so that
 * the unit tests of the allocator load this file as a module of its own and the service `apitest`
 * links it in and runs it under a real executable.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *heap_check(int complete);

#define REQUIRE(cond) do { if (!(cond)) return #cond; } while (0)
#define MULTIPLE(p, of) ((uintptr_t)(p) % (of) == 0)

/* Blocks on their way from one thread to another. */
struct crate {
	void *blocks[1000];
};

static void *
fill(void *arg)
{
	struct crate *c = arg;
	for (int i = 0; i < 1000; i++) {
		/* every third one with a long prefix */
		size_t len = (size_t)i * 7;
		c->blocks[i] = i % 3 ? malloc(len) : memalign(256, len);
		memset(c->blocks[i], i, len);
	}
	return NULL;
}

static void *
empty(void *arg)
{
	struct crate *c = arg;
	for (int i = 0; i < 1000; i++) {
		free(c->blocks[i]);
	}
	return NULL;
}

static const char *
across_threads(void)
{
	static struct crate c;
	pthread_t giver, taker;
	REQUIRE(pthread_create(&giver, NULL, fill, &c) == 0);
	REQUIRE(pthread_join(giver, NULL) == 0);
	for (int i = 0; i < 1000; i++) {
		const unsigned char *bytes = c.blocks[i];
		for (int j = 0; j < i * 7; j++) {
			REQUIRE(bytes[j] == (unsigned char)i);
		}
	}
	REQUIRE(pthread_create(&taker, NULL, empty, &c) == 0);
	REQUIRE(pthread_join(taker, NULL) == 0);
	return NULL;
}

/* Blocks that libc allocates for its callers. */
static const char *
from_libc(void)
{
	char *s = strdup("a string of libc");
	REQUIRE(s && strcmp(s, "a string of libc") == 0);
	s = realloc(s, 1000);
	REQUIRE(strcmp(s, "a string of libc") == 0);
	free(s);
	s = strndup("abcdef", 3);
	REQUIRE(s && strcmp(s, "abc") == 0);
	free(s);
	REQUIRE(asprintf(&s, "%0500d", 7) == 500);
	free(s);
	s = realpath("/", NULL);
	REQUIRE(s && strcmp(s, "/") == 0);
	free(s);
	s = getcwd(NULL, 0);
	REQUIRE(s);
	free(s);
	s = NULL;
	size_t cap = 0;
	FILE *f = fopen("/proc/self/status", "r");
	if (f) {
		REQUIRE(getline(&s, &cap, f) > 0);
		free(s);
		fclose(f);
	}
	f = open_memstream(&s, &cap);
	REQUIRE(f);
	for (int i = 0; i < 1000; i++) {
		fprintf(f, "%d ", i);
	}
	fclose(f);
	REQUIRE(strlen(s) == cap && cap == 3890);
	free(s);
	s = reallocarray(NULL, 10, 10);
	REQUIRE(s);
	s = reallocarray(s, 100, 100);
	REQUIRE(s);
	free(s);
	return NULL;
}

static const char *
sizes(void)
{
	void *p = malloc(0), *q = malloc(0);
	REQUIRE(p && q && p != q);
	free(p);
	free(q);
	free(NULL);
	for (size_t len = 1; len < (size_t)1 << 24; len = len * 3 + 1) {
		p = malloc(len);
		REQUIRE(MULTIPLE(p, 16));
		memset(p, 0x55, len);
		p = realloc(p, len * 2);
		REQUIRE(MULTIPLE(p, 16));
		REQUIRE(((unsigned char *)p)[0] == 0x55 && ((unsigned char *)p)[len - 1] == 0x55);
		p = realloc(p, len / 2 + 1);
		REQUIRE(((unsigned char *)p)[len / 2] == 0x55);
		free(p);
		unsigned char *z = calloc(len, 1);
		REQUIRE(MULTIPLE(z, 16) && z[0] == 0 && z[len / 2] == 0 && z[len - 1] == 0);
		free(z);
	}
	p = realloc(NULL, 10);
	REQUIRE(p);
	p = realloc(p, 0);
	REQUIRE(p);
	p = realloc(p, 100);
	memset(p, 1, 100);
	free(p);
	p = calloc(0, 8);
	REQUIRE(p);
	free(p);
	return NULL;
}

static const char *
alignments(void)
{
	for (size_t align = 8; align <= 1 << 16; align *= 2) {
		void *p = aligned_alloc(align, align * 2);
		REQUIRE(MULTIPLE(p, align));
		memset(p, 1, align * 2);
		free(p);
		p = memalign(align, 1);
		REQUIRE(MULTIPLE(p, align));
		free(p);
	}
	return NULL;
}

/* What upstream does not do right: it leaves valloc and its like to libc, whose blocks its own free
   does not take, its posix_memalign answers a place where its own prefix is, and its realloc does not
   know blocks with an alignment. */
static const char *
complete_family(void)
{
	for (size_t align = 8; align <= 1 << 16; align *= 2) {
		void *p = NULL;
		REQUIRE(posix_memalign(&p, align, 100) == 0);
		REQUIRE(MULTIPLE(p, align));
		memset(p, 0x66, 100);
		free(p);
		p = memalign(align, 100);
		memset(p, 0x66, 100);
		p = realloc(p, 5000);
		REQUIRE(((unsigned char *)p)[0] == 0x66 && ((unsigned char *)p)[99] == 0x66);
		free(p);
		p = realloc(memalign(align, 1), 0);
		REQUIRE(p);
		free(p);
	}
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = valloc(10);
	REQUIRE(MULTIPLE(p, page));
	memset(p, 1, 10);
	REQUIRE(malloc_usable_size(p) >= 10);
	free(p);
	p = pvalloc(page + 1);
	REQUIRE(MULTIPLE(p, page));
	REQUIRE(malloc_usable_size(p) >= 2 * page);
	memset(p, 1, 2 * page);
	p = realloc(p, 3 * page);
	REQUIRE(((unsigned char *)p)[2 * page - 1] == 1);
	free(p);
	REQUIRE(malloc_usable_size(NULL) == 0);
	p = calloc(5, 0);
	REQUIRE(p);
	free(p);
	p = malloc(100);
	REQUIRE(malloc_usable_size(p) >= 100);
	free(p);
	/* Alignments that are none: POSIX's error, or the next one up. */
	void *q = &p;
	REQUIRE(posix_memalign(&q, 24, 10) != 0 && q == &p);
	REQUIRE(posix_memalign(&q, 4, 10) != 0 && q == &p);
	REQUIRE(posix_memalign(&q, 0, 10) != 0 && q == &p);
	p = memalign(24, 10);
	REQUIRE(MULTIPLE(p, 32));
	free(p);
	p = memalign(0, 10);
	REQUIRE(p);
	free(p);
	return NULL;
}

/* NULL, or the condition that did not hold. `complete`: also what upstream's executable lacks. */
const char *
heap_check(int complete)
{
	const char *failed = sizes();
	if (!failed) failed = alignments();
	if (!failed) failed = from_libc();
	if (!failed) failed = across_threads();
	if (!failed && complete) failed = complete_family();
	return failed;
}
