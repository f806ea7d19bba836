/* The start of a node, and string copies at level head. */
#ifndef SKYNET_IMP_H
#define SKYNET_IMP_H

#include "skynet_malloc.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kinds of threads, for skynet_initthread. */
#define THREAD_WORKER 0
#define THREAD_MAIN 1
#define THREAD_SOCKET 2
#define THREAD_TIMER 3
#define THREAD_MONITOR 4

/* What the config file says. daemon and logger may be NULL. */
struct skynet_config {
	int thread;
	int harbor;
	int profile;
	const char *daemon;
	const char *module_path;
	const char *bootstrap;
	const char *logger;
	const char *logservice;
};

/* Runs a node until its last service is gone. When it cannot start, says why on stderr and ends the
   process with code 1, as upstream does. Only when the process has, or had, its node does it return
   after the line on stderr. skynetx_start returns in every case. */
void skynet_start(struct skynet_config *config);

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
