/*
 * skynet_error, the one variadic function of skynet.h, which stable Rust cannot define. It turns
 * the format into bytes and leaves everything else to skynetx_error_bytes (skynet.rs beside this).
 *
 * SKYNET_API_HEAD, 0 or 1, comes from build.rs.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct skynet_context;

void skynet_error(struct skynet_context *context, const char *fmt, ...);
void skynetx_error_bytes(struct skynet_context *context, const char *text, size_t size);

/* Long enough for nearly every line; longer ones are formatted a second time into the heap. */
#define SHORT_LINE 256

/* How long the text is, of which `size` bytes were written; negative when it cannot be formatted. */
static int format(char *text, size_t size, const char *fmt, va_list args) {
	int length = vsnprintf(text, size, fmt, args);
	if (length < 0)
		perror("vsnprintf error :");
	return length;
}

void skynet_error(struct skynet_context *context, const char *fmt, ...) {
	char line[SHORT_LINE];
	char *text = line;
	int length;
	va_list args;

	if (fmt == NULL)
		fmt = "(null)";

#if SKYNET_API_HEAD
	/* Exactly this format means raw bytes: (int length, const char *bytes). */
	if (strcmp(fmt, "%*s") == 0) {
		const char *bytes;
		va_start(args, fmt);
		length = va_arg(args, int);
		bytes = va_arg(args, const char *);
		va_end(args);
		if (bytes == NULL || length < 0)
			length = 0;
		skynetx_error_bytes(context, length > 0 ? bytes : line, (size_t)length);
		return;
	}
#endif

	va_start(args, fmt);
	length = format(line, sizeof line, fmt, args);
	va_end(args);
	if (length >= SHORT_LINE) {
		size_t size = (size_t)length + 1;
		text = malloc(size);
		if (text == NULL) {
			perror("malloc error :");
			return;
		}
		va_start(args, fmt);
		length = format(text, size, fmt, args);
		va_end(args);
	}
	if (length >= 0)
		skynetx_error_bytes(context, text, (size_t)length);
	if (text != line)
		free(text);
}
