/*
 * `3rd/lua/luac`: checks Lua files and turns one into the binary form that this VM loads. It keeps
 * to the public API, hence no listing (-l) and no joining of several files.
 *
 *   luac [-o file] [-p] [-s] [-v] [--] files        ("-" is standard input)
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua.h"

#include "lauxlib.h"

static const char *program = "luac";

static int complain(const char *text, const char *detail) {
	fprintf(stderr, detail != NULL ? "%s: %s: %s\n" : "%s: %s\n", program, text, detail);
	return EXIT_FAILURE;
}

static int usage(const char *text, const char *detail) {
	complain(text, detail);
	fprintf(stderr,
		"usage: %s [options] file...\n"
		"  -o name  write to 'name' (default 'luac.out'; '-' is standard output)\n"
		"  -p       only check the syntax, of any number of files\n"
		"  -s       leave debug information out\n"
		"  -v       print the version\n"
		"  --       end of options\n"
		"  -        read standard input\n",
		program);
	return EXIT_FAILURE;
}

static int to_file(lua_State *L, const void *bytes, size_t size, void *file) {
	(void)L;
	return size != 0 && fwrite(bytes, size, 1, file) != 1;
}

/* Writes the function on the top of the stack. */
static int dump(lua_State *L, const char *name, int strip) {
	int standard = strcmp(name, "-") == 0;
	FILE *file = standard ? stdout : fopen(name, "wb");
	if (file == NULL)
		return complain(name, strerror(errno));
	int failed = lua_dump(L, to_file, file, strip) != 0;
	failed |= (standard ? fflush(file) : fclose(file)) != 0;
	return failed ? complain(name, strerror(errno)) : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
	const char *output = "luac.out";
	int check_only = 0, strip = 0, version = 0;
	int i = 1;

	if (argc > 0 && argv[0][0] != '\0')
		program = argv[0];
	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		const char *option = argv[i];
		if (strcmp(option, "--") == 0) {
			i++;
			break;
		} else if (strcmp(option, "-o") == 0) {
			if (++i == argc || (argv[i][0] == '-' && argv[i][1] != '\0'))
				return usage("'-o' needs argument", NULL);
			output = argv[i];
		} else if (strcmp(option, "-p") == 0) {
			check_only = 1;
		} else if (strcmp(option, "-s") == 0) {
			strip = 1;
		} else if (strcmp(option, "-v") == 0) {
			version = 1;
		} else if (strncmp(option, "-l", 2) == 0) {
			return complain("listings are not supported", option);
		} else {
			return usage("unrecognized option", option);
		}
	}
	if (version)
		puts(LUA_COPYRIGHT);
	if (i == argc)
		return version ? EXIT_SUCCESS : usage("no input files given", NULL);
	if (!check_only && argc - i > 1)
		return complain("several files can only be checked (-p), not joined", argv[i + 1]);

	int result = EXIT_SUCCESS;
	for (; i < argc && result == EXIT_SUCCESS; i++) {
		lua_State *L = luaL_newstate();
		if (L == NULL)
			return complain("cannot create state", "not enough memory");
		if (luaL_loadfile(L, strcmp(argv[i], "-") == 0 ? NULL : argv[i]) != LUA_OK)
			result = complain(lua_tostring(L, -1), NULL);
		else if (!check_only)
			result = dump(L, output, strip);
		lua_close(L);
	}
	return result;
}
