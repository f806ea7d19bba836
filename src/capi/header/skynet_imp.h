/* The start of a node, and string copies at level head. */
#ifndef SKYNET_IMP_H
#define SKYNET_IMP_H

#include "skynet_malloc.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_imp.rs

#if SKYNET_API_HEAD

/* The size bytes at str and a NUL, to be released with skynet_free; NULL without memory. */
static inline char *
skynet_strndup(const char *str, size_t size)
{
	char *copy = (char *)skynet_malloc(size + 1);
	if (copy) {
		memcpy(copy, str, size);
		copy[size] = '\0';
	}
	return copy;
}

static inline char *
skynet_strdup(const char *str)
{
	return skynet_strndup(str, strlen(str));
}

#endif

#ifdef __cplusplus
}
#endif

#endif
