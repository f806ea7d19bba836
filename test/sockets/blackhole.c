/*
 * To be preloaded: names that end in `.blackhole` are not looked up until the file $BLACKHOLE_END exists, and
 * do not exist then. Everything else is looked up as ever; whether a name is an address can be asked of any.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int (*look_up)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	static const char end[] = ".blackhole";
	size_t n = host == NULL ? 0 : strlen(host);
	int numeric = hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0;
	look_up real;

	if (!numeric && n > sizeof end - 1 && strcmp(host + n - (sizeof end - 1), end) == 0) {
		const char *file = getenv("BLACKHOLE_END");
		struct timespec nap = { 0, 20 * 1000 * 1000 };
		while (file == NULL || access(file, F_OK) != 0)
			nanosleep(&nap, NULL);
		return EAI_NONAME;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real == NULL ? EAI_SYSTEM : real(host, service, hints, found);
}
