/*
 * A program that knows nothing of skynet opens the library while it runs, and starts a node whose log
 * service is a file.
 *
 *   late LIBRARY local|global CSERVICE-FOLDER
 */
#include "skynet_imp.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int
main(int argc, char *argv[]) {
	struct skynet_config config;
	char path[1024];
	int (*start)(struct skynet_config *);
	const char *(*last_error)(void);
	void *library;
	int code;

	if (argc != 4)
		return 2;
	library = dlopen(argv[1], RTLD_NOW | (strcmp(argv[2], "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL));
	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return 2;
	}
	*(void **)&start = dlsym(library, "skynetx_start");
	*(void **)&last_error = dlsym(library, "skynetx_last_error");

	snprintf(path, sizeof path, "%s/?.so", argv[3]);
	memset(&config, 0, sizeof config);
	config.thread = 2;
	config.module_path = path;
	/* Its init fails, and the start with it: as far as this needs to get. */
	config.bootstrap = "gate";
	code = start(&config);
	printf("%d %s\n", code, last_error());
	return 0;
}
