/*
 * The stand-alone interpreter `3rd/lua/lua`: the VM of the core without the core, for scripts,
 * client programs and tools. It takes the options of the usual `lua` and prints what that prints.
 *
 *   lua [-e text] [-l module] [-i] [-v] [-E] [-W] [--] [- | script [arguments]]
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "lua.h"

#include "lauxlib.h"
#include "lualib.h"

#define INIT_VARIABLE "LUA_INIT"
#define PROMPT_FIRST "> "
#define PROMPT_MORE ">> "

/* The state that control-C interrupts; only set while a chunk runs. */
static lua_State *running = NULL;
static const char *program = "lua";

/* What the command line asks for; `script` is an index into argv, argc when there is none. */
struct request {
	char **argv;
	int argc;
	int script;
	int interactive;
	int version;
	int ignore_environment;
	int statements; /* how many -e and -l there are */
	const char *bad;  /* the argument that makes no sense, with the reason below */
	const char *reason;
};

/* ---- running chunks ---- */

static void interrupt_hook(lua_State *L, lua_Debug *ar) {
	(void)ar;
	lua_sethook(L, NULL, 0, 0);
	luaL_error(L, "interrupted!");
}

/* lua_sethook is the one function that a signal handler may call. */
static void on_interrupt(int sig) {
	signal(sig, SIG_DFL);
	lua_sethook(running, interrupt_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* Message handler: any error value becomes text with a traceback. */
static int explain(lua_State *L) {
	const char *text = lua_tostring(L, 1);
	if (text == NULL) {
		if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
			return 1;
		text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
	}
	luaL_traceback(L, L, text, 1);
	return 1;
}

/* Calls the function below its `nargs` arguments; an error leaves its text on the stack. */
static int call(lua_State *L, int nargs, int nresults) {
	int handler = lua_gettop(L) - nargs;
	int status;
	lua_pushcfunction(L, explain);
	lua_insert(L, handler);
	running = L;
	signal(SIGINT, on_interrupt);
	status = lua_pcall(L, nargs, nresults, handler);
	signal(SIGINT, SIG_DFL);
	running = NULL;
	lua_remove(L, handler);
	return status;
}

/* Prints the error on the top of the stack, if there is one, and pops it. */
static int report(lua_State *L, int status, const char *prefix) {
	if (status == LUA_OK)
		return 1;
	const char *text = lua_tostring(L, -1);
	fflush(stdout);
	if (prefix != NULL)
		fprintf(stderr, "%s: ", prefix);
	fprintf(stderr, "%s\n", text != NULL ? text : "(no error message)");
	lua_pop(L, 1);
	return 0;
}

static int run_text(lua_State *L, const char *text, const char *name) {
	int status = luaL_loadbuffer(L, text, strlen(text), name);
	if (status == LUA_OK)
		status = call(L, 0, 0);
	return report(L, status, program);
}

/* -l name, or -l global=name */
static int run_require(lua_State *L, const char *what) {
	const char *equals = strchr(what, '=');
	const char *module = equals != NULL ? equals + 1 : what;
	int status;
	lua_getglobal(L, "require");
	lua_pushstring(L, module);
	status = call(L, 1, 1);
	if (status == LUA_OK) {
		if (equals != NULL)
			lua_pushlstring(L, what, (size_t)(equals - what));
		else /* what follows a hyphen is a version mark, not part of the name */
			lua_pushlstring(L, what, strcspn(what, LUA_IGMARK));
		lua_insert(L, -2);
		lua_pushglobaltable(L);
		lua_insert(L, -3);
		lua_settable(L, -3);
		lua_pop(L, 1);
	}
	return report(L, status, program);
}

/* Runs the script at argv[request->script]; "-" is standard input. */
static int run_script(lua_State *L, const struct request *request) {
	const char *name = request->argv[request->script];
	int nargs = request->argc - request->script - 1;
	int from_stdin = strcmp(name, "-") == 0 && strcmp(request->argv[request->script - 1], "--") != 0;
	int status = luaL_loadfile(L, from_stdin ? NULL : name);
	if (status == LUA_OK) {
		luaL_checkstack(L, nargs + 1, "too many arguments to script");
		for (int i = 1; i <= nargs; i++)
			lua_pushstring(L, request->argv[request->script + i]);
		status = call(L, nargs, LUA_MULTRET);
	}
	return report(L, status, program);
}

/* ---- the interactive loop ---- */

/* Pushes one line of standard input without its end; 0 at the end of the input. */
static int read_line(lua_State *L, const char *prompt_name, const char *prompt) {
	luaL_Buffer line;
	char piece[512];
	int got = 0;
	if (lua_getglobal(L, prompt_name) != LUA_TNIL) /* _PROMPT and _PROMPT2 */
		prompt = luaL_tolstring(L, -1, NULL);
	else
		lua_pushnil(L);
	fputs(prompt, stdout);
	fflush(stdout);
	luaL_buffinit(L, &line);
	while (fgets(piece, sizeof piece, stdin) != NULL) {
		size_t n = strlen(piece);
		got = 1;
		if (n > 0 && piece[n - 1] == '\n') {
			luaL_addlstring(&line, piece, n - 1);
			break;
		}
		luaL_addlstring(&line, piece, n);
	}
	luaL_pushresult(&line);
	lua_replace(L, -3);
	lua_pop(L, 1);
	if (!got)
		lua_pop(L, 1);
	return got;
}

/* Whether loading failed only because the text stops too early. */
static int wants_more(lua_State *L, int status) {
	static const char mark[] = "<eof>";
	size_t n;
	const char *text;
	if (status != LUA_ERRSYNTAX)
		return 0;
	text = lua_tolstring(L, -1, &n);
	return n >= sizeof mark - 1 && strcmp(text + n - (sizeof mark - 1), mark) == 0;
}

/* Replaces the text at index 1 by its function: first as an expression, then as a statement that
   may go on over more lines. */
static int load_input(lua_State *L) {
	size_t n;
	const char *text = lua_tolstring(L, 1, &n);
	const char *expression = lua_pushfstring(L, "return %s", text);
	int status = luaL_loadbuffer(L, expression, strlen(expression), "=stdin");
	if (status != LUA_OK) {
		lua_settop(L, 1);
		for (;;) {
			text = lua_tolstring(L, 1, &n);
			status = luaL_loadbuffer(L, text, n, "=stdin");
			if (!wants_more(L, status) || !read_line(L, "_PROMPT2", PROMPT_MORE))
				break;
			lua_remove(L, 2); /* the message about the missing rest */
			lua_pushliteral(L, "\n");
			lua_insert(L, 2);
			lua_concat(L, 3);
		}
	}
	lua_replace(L, 1);
	lua_settop(L, 1);
	return status;
}

static void converse(lua_State *L) {
	const char *name = program;
	program = NULL; /* errors are printed without a name here */
	lua_settop(L, 0);
	while (read_line(L, "_PROMPT", PROMPT_FIRST)) {
		int status = load_input(L);
		if (status == LUA_OK)
			status = call(L, 0, LUA_MULTRET);
		if (status == LUA_OK && lua_gettop(L) > 0) {
			luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
			lua_getglobal(L, "print");
			lua_insert(L, 1);
			status = lua_pcall(L, lua_gettop(L) - 1, 0, 0);
			if (status != LUA_OK)
				lua_pushfstring(L, "error calling 'print' (%s)", lua_tostring(L, -1));
		}
		report(L, status, program);
		lua_settop(L, 0);
	}
	putchar('\n');
	fflush(stdout);
	program = name;
}

/* ---- the command line ---- */

/* Finds out what is asked for, without doing any of it. */
static void parse(struct request *request, int argc, char **argv) {
	memset(request, 0, sizeof *request);
	request->argv = argv;
	request->argc = argc;
	int i = 1;
	for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
		const char *option = argv[i];
		if (strcmp(option, "--") == 0) {
			i++;
			break;
		}
		switch (option[1]) {
		case 'e':
		case 'l': /* the value may follow at once or be the next argument */
			request->statements++;
			if (option[2] == '\0' && (++i >= argc || argv[i][0] == '-')) {
				request->bad = option;
				request->reason = "needs argument";
				return;
			}
			continue;
		case 'i':
			request->interactive = request->version = 1;
			break;
		case 'v':
			request->version = 1;
			break;
		case 'E':
			request->ignore_environment = 1;
			break;
		case 'W':
			break;
		default:
			request->bad = option;
			request->reason = "unrecognized option";
			return;
		}
		if (option[2] != '\0') {
			request->bad = option;
			request->reason = "unrecognized option";
			return;
		}
	}
	request->script = i;
}

/* Carries out -e, -l and -W in their order. */
static int run_options(lua_State *L, const struct request *request) {
	for (int i = 1; i < request->script; i++) {
		const char *option = request->argv[i];
		char kind = option[1];
		if (kind == 'W')
			lua_warning(L, "@on", 0);
		if (kind != 'e' && kind != 'l')
			continue;
		const char *value = option[2] != '\0' ? option + 2 : request->argv[++i];
		if (!(kind == 'e' ? run_text(L, value, "=(command line)") : run_require(L, value)))
			return 0;
	}
	return 1;
}

/* The variable LUA_INIT, of this version or of any: text, or @ and the name of a file. */
static int run_init(lua_State *L) {
	const char *name = "=" INIT_VARIABLE LUA_VERSUFFIX;
	const char *init = getenv(name + 1);
	if (init == NULL) {
		name = "=" INIT_VARIABLE;
		init = getenv(name + 1);
	}
	if (init == NULL)
		return 1;
	if (init[0] != '@')
		return run_text(L, init, name);
	int status = luaL_loadfile(L, init + 1);
	if (status == LUA_OK)
		status = call(L, 0, 0);
	return report(L, status, program);
}

/* The global `arg`: the script at 0, its arguments after, what stands before it below. */
static void set_arg(lua_State *L, const struct request *request) {
	int zero = request->script < request->argc ? request->script : 0;
	lua_createtable(L, request->argc - zero, zero + 1);
	for (int i = 0; i < request->argc; i++) {
		lua_pushstring(L, request->argv[i]);
		lua_rawseti(L, -2, i - zero);
	}
	lua_setglobal(L, "arg");
}

static void usage(const struct request *request) {
	fprintf(stderr, "%s: %s '%s'\n", program, request->reason, request->bad);
	fprintf(stderr,
		"usage: %s [options] [script [args]]\n"
		"  -e text    run 'text'\n"
		"  -i         talk to the user after 'script'\n"
		"  -l mod     require 'mod' into global 'mod'\n"
		"  -l g=mod   require 'mod' into global 'g'\n"
		"  -v         print the version\n"
		"  -E         ignore environment variables\n"
		"  -W         turn warnings on\n"
		"  --         end of options\n"
		"  -          run standard input\n",
		program);
}

/* The whole run, protected: takes the request, returns whether everything went well. */
static int run(lua_State *L) {
	const struct request *request = lua_touserdata(L, 1);
	int has_script = request->script < request->argc;

	luaL_checkversion(L);
	if (request->version) {
		puts(LUA_COPYRIGHT);
		fflush(stdout);
	}
	if (request->ignore_environment) {
		lua_pushboolean(L, 1);
		lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
	}
#ifdef __GLIBC__
	/* or each collection gives the top of the heap back, and takes it again */
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
	luaL_openlibs(L);
	set_arg(L, request);
	/* as the usual `lua` does; services are incremental */
#if LUA_VERSION_NUM == 504
	lua_gc(L, LUA_GCGEN, 0, 0);
#else
	lua_gc(L, LUA_GCGEN);
#endif

	int good = (request->ignore_environment || run_init(L)) && run_options(L, request) &&
		(!has_script || run_script(L, request));
	if (good) {
		if (request->interactive) {
			converse(L);
		} else if (!has_script && request->statements == 0 && !request->version) {
			if (isatty(STDIN_FILENO)) {
				puts(LUA_COPYRIGHT);
				converse(L);
			} else {
				int status = luaL_loadfile(L, NULL);
				if (status == LUA_OK)
					status = call(L, 0, 0);
				good = report(L, status, program);
			}
		}
	}
	lua_pushboolean(L, good);
	return 1;
}

int main(int argc, char **argv) {
	struct request request;
	if (argc > 0 && argv[0][0] != '\0')
		program = argv[0];
	parse(&request, argc, argv);
	if (request.bad != NULL) {
		usage(&request);
		return EXIT_FAILURE;
	}
	lua_State *L = luaL_newstate();
	if (L == NULL) {
		fprintf(stderr, "%s: cannot create state: not enough memory\n", program);
		return EXIT_FAILURE;
	}
	lua_pushcfunction(L, run);
	lua_pushlightuserdata(L, &request);
	int status = lua_pcall(L, 1, 1, 0);
	int good = report(L, status, program) && lua_toboolean(L, -1);
	lua_close(L);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
