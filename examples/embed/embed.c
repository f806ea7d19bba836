/*
 * A program with a skynet node inside: it brings a service of its own, written in C, runs the Lua
 * service main.lua, which talks to it, and goes on when the node has ended.
 *
 * The Makefile beside this file says where the installed modules and Lua libraries are.
 */
#include <skynet.h>
#include <skynet_env.h>
#include <skynetx.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many greetings the service gave: an example of what program and service share. The node's threads
   have ended when it is read. */
static int greetings;

/* ---- the service: answers a name with a greeting ---- */

struct greeter {
	char greeting[64];
};

static void *
greeter_create(void) {
	return calloc(1, sizeof(struct greeter));
}

static void
greeter_release(void *inst) {
	free(inst);
}

static int
greeter_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz) {
	struct greeter *greeter = ud;
	char text[256];
	int length;

	if (type != PTYPE_TEXT)
		return 0;
	length = snprintf(text, sizeof text, "%s, %.*s!", greeter->greeting, (int)(sz < 128 ? sz : 128),
		(const char *)msg);
	greetings++;
	skynet_send(ctx, 0, source, PTYPE_RESPONSE, session, text, (size_t)length);
	return 0;
}

static int
greeter_init(void *inst, struct skynet_context *ctx, const char *parm) {
	struct greeter *greeter = inst;

	snprintf(greeter->greeting, sizeof greeter->greeting, "%s", parm ? parm : "Hello");
	skynet_callback(ctx, greeter, greeter_message);
	return 0;
}

/* ---- the program ---- */

int
main(int argc, char *argv[]) {
	struct skynet_config config;
	char services[1024];
	int code;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER-WITH-MAIN.LUA\n", argv[0]);
		return 2;
	}

	if (skynetx_module_register("greeter", greeter_create, greeter_init, greeter_release, NULL) != 0) {
		fprintf(stderr, "%s\n", skynetx_last_error());
		return 1;
	}

	/* What a config file would say to the Lua side. */
	snprintf(services, sizeof services, "%s/?.lua;%s/?.lua", argv[1], SERVICE);
	skynet_setenv("luaservice", services);
	skynet_setenv("lualoader", LUALIB "/loader.lua");
	skynet_setenv("lua_path", LUALIB "/?.lua;" LUALIB "/?/init.lua");
	skynet_setenv("lua_cpath", LUACLIB "/?.so");
	skynet_setenv("start", "main");

	/* And to the core; what stays NULL has its default. */
	memset(&config, 0, sizeof config);
	config.thread = 4;
	config.module_path = CSERVICE "/?.so";

	code = skynetx_start(&config);
	if (code != 0) {
		fprintf(stderr, "no node (%d): %s\n", code, skynetx_last_error());
		return 1;
	}
	printf("the node has ended after %d greetings\n", greetings);
	return 0;
}
