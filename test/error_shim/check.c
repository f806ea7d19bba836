/*
 * Calls skynet_error as C code does and looks at the bytes that would reach the core. Linked with
 * src/capi/error.c, once for each API level.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct skynet_context;

void skynet_error(struct skynet_context *context, const char *fmt, ...);
void skynetx_error_bytes(struct skynet_context *context, const char *text, size_t size);

static struct skynet_context *seen_context;
static char *seen;
static size_t seen_size;
static int calls;
static int failures;

/* Stands in for the core. */
void skynetx_error_bytes(struct skynet_context *context, const char *text, size_t size) {
	seen_context = context;
	free(seen);
	seen = malloc(size + 1);
	if (seen == NULL)
		abort();
	memcpy(seen, text, size);
	seen[size] = '\0';
	seen_size = size;
	calls++;
}

static void expect(int line, const char *text, size_t size) {
	if (calls != 1 || seen_size != size || memcmp(seen, text, size) != 0) {
		fprintf(stderr, "line %d: %d calls, got %lu bytes `%s`, expected %lu bytes `%s`\n", line, calls,
			(unsigned long)seen_size, seen != NULL ? seen : "", (unsigned long)size, text);
		failures++;
	}
	calls = 0;
}

#define EXPECT(text) expect(__LINE__, text, sizeof(text) - 1)

int main(void) {
	static const wchar_t no_character[] = { 0x7fffffff, 0 };
	struct skynet_context *context = (struct skynet_context *)&calls;
	/* around the length that fits the stack, and far beyond */
	static const size_t lengths[] = { 0, 1, 254, 255, 256, 257, 511, 512, 100000 };
	size_t i;

	skynet_error(context, "plain");
	EXPECT("plain");
	if (seen_context != context)
		failures++;
	skynet_error(NULL, "%s = %d, %5.2f, %c%%\n", "x", -3, 2.5, 'y');
	EXPECT("x = -3,  2.50, y%\n");
	if (seen_context != NULL)
		failures++;

	for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		size_t n = lengths[i];
		char *text = malloc(n + 1);
		if (text == NULL)
			abort();
		memset(text, 'a' + (int)i, n);
		text[n] = '\0';
		skynet_error(context, "%s", text);
		expect(__LINE__, text, n);
		free(text);
	}

	/* a width at level 1.8; at level head exactly this format means that many raw bytes */
#if SKYNET_API_HEAD
	skynet_error(context, "%*s", 7, "a\0b\0c\0d");
	EXPECT("a\0b\0c\0d");
	skynet_error(context, "%*s", 2, "abc");
	EXPECT("ab");
	skynet_error(context, "%*s", 0, "abc");
	EXPECT("");
	skynet_error(context, "%*s", -1, "abc");
	EXPECT("");
	skynet_error(context, "%*s", 3, (const char *)NULL);
	EXPECT("");
#else
	skynet_error(context, "%*s", 5, "abc");
	EXPECT("  abc");
	skynet_error(context, "%*s", 2, "abc");
	EXPECT("abc");
#endif
	skynet_error(context, "%*s!", 5, "abc");
	EXPECT("  abc!");

	/* what cannot be formatted is not sent */
	skynet_error(context, "%ls", no_character);
	if (calls != 0) {
		fprintf(stderr, "an impossible text was sent\n");
		failures++;
	}
	return failures != 0;
}
