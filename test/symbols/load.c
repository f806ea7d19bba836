/*
 * load LIBRARY MODULE... : loads libskynet.so into a running program, uses it from there, and loads
 * modules that find their symbols in it.
 */

#include <dlfcn.h>
#include <stdio.h>

static void *load(const char *path) {
	void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (library == NULL)
		fprintf(stderr, "%s\n", dlerror());
	return library;
}

int main(int argc, char **argv) {
	void *library;
	void *(*new_state)(void);
	void (*close_state)(void *);
	unsigned long (*now)(void);
	int i;

	if (argc < 2 || (library = load(argv[1])) == NULL)
		return 1;
	/* the way to turn a data pointer into a function that C99 lets pass */
	*(void **)&new_state = dlsym(library, "luaL_newstate");
	*(void **)&close_state = dlsym(library, "lua_close");
	*(void **)&now = dlsym(library, "skynet_now");
	if (new_state == NULL || close_state == NULL || now == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	for (i = 0; i < 3; i++) {
		void *state = new_state();
		if (state == NULL)
			return 1;
		close_state(state);
	}
	(void)now();
	for (i = 2; i < argc; i++)
		if (load(argv[i]) == NULL)
			return 1;
	return 0;
}
