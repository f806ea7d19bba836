/*
 * A host: a program that runs a node inside. The argument says what is tried; a process has one node,
 * so each is a run of its own. It prints "done" at the end, so that nobody takes an exit for success.
 */
#include "node.h"
#include "skynet_env.h"
#include "skynet_handle.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static struct skynet_config config;

static bool
has(const char *text, const char *part) {
	return strstr(text, part) != NULL;
}

static void (*disposition(int number))(int) {
	struct sigaction action;

	CHECK(sigaction(number, NULL, &action) == 0);
	return action.sa_handler;
}

static void
end(struct skynet_context *ctx) {
	skynet_command(ctx, "ABORT", NULL);
}

/* ---- a node like any other ---- */

static void
starts_again(struct skynet_context *ctx) {
	struct skynet_config other = good();

	CHECK(skynetx_start(&other) == SKYNETX_ERR_STARTED);
	CHECK(has(skynetx_last_error(), "started before"));
	/* Returns, after a line on stderr. */
	skynet_start(&other);
	CHECK(disposition(SIGPIPE) == SIG_IGN);
	CHECK(disposition(SIGHUP) != SIG_DFL);
	raise(SIGHUP);
	while (log_hangups == 0)
		usleep(1000);
	/* What the struct says is there for services, what was set before stays. */
	CHECK(strcmp(skynet_getenv("thread"), "2") == 0);
	CHECK(strcmp(skynet_getenv("bootstrap"), "boss   some text") == 0);
	CHECK(strcmp(skynet_getenv("logservice"), "logger") == 0);
	CHECK(strcmp(skynet_getenv("harbor"), "set before") == 0);
	CHECK(skynet_getenv("daemon") == NULL);
	CHECK(strcmp(skynet_command(ctx, "REG", NULL), ":2") == 0);
	end(ctx);
}

static void
run(void) {
	when_up = starts_again;
	skynet_setenv("harbor", "set before");
	CHECK(skynetx_start(&config) == 0);
	CHECK(alone());
	CHECK(skynet_context_total() == 0);
	CHECK(log_instances == 1 && log_releases == 1 && log_hangups == 1);
	CHECK(disposition(SIGHUP) == SIG_DFL);
	CHECK(skynetx_start(&config) == SKYNETX_ERR_STARTED);
	skynet_start(&config);
	CHECK(log_instances == 1);
}

static void
run_prepared(void) {
	skynet_globalinit();
	skynet_env_init();
	run();
	skynet_globalexit();
}

/* ---- upstream's function: ends the process when there can be no node ---- */

static void
classic(void) {
	when_up = end;
	config.logservice = "logger";
	skynet_start(&config);
	CHECK(log_releases == 1);
}

static void
classic_fails(void) {
	config.logservice = "nosuch";
	skynet_start(&config);
}

/* ---- handlers of the program's own ---- */

static volatile int hangups;

static void
on_hangup(int number) {
	(void)number;
	hangups++;
}

static void
on_pipe(int number) {
	(void)number;
}

static void
looks_at_signals(struct skynet_context *ctx) {
	CHECK(disposition(SIGHUP) == on_hangup && disposition(SIGPIPE) == on_pipe);
	CHECK(disposition(SIGTERM) == SIG_DFL && disposition(SIGSEGV) == SIG_DFL);
	raise(SIGHUP);
	CHECK(hangups == 1);
	end(ctx);
}

static void
own_signals(void) {
	signal(SIGHUP, on_hangup);
	signal(SIGPIPE, on_pipe);
	when_up = looks_at_signals;
	CHECK(skynetx_start(&config) == 0);
	CHECK(disposition(SIGHUP) == on_hangup && disposition(SIGPIPE) == on_pipe);
	CHECK(log_hangups == 0);
}

/* ---- starts that fail ---- */

/* What does not get as far as a service may be tried again. */
static void
bad_settings(void) {
	char pid_file[] = "/tmp/skynet-embed-XXXXXX";
	int fd = mkstemp(pid_file);
	struct skynet_config bad;

	CHECK(strcmp(skynetx_last_error(), "") == 0);
	CHECK(skynetx_start(NULL) == SKYNETX_ERR_ARGUMENT);
	CHECK(strcmp(skynetx_last_error(), "") != 0);
	bad = config;
	bad.thread = 0;
	CHECK(skynetx_start(&bad) == SKYNETX_ERR_ARGUMENT);
	CHECK(has(skynetx_last_error(), "Invalid thread 0"));
	bad.thread = 1025;
	CHECK(skynetx_start(&bad) == SKYNETX_ERR_ARGUMENT);
	bad = config;
	bad.module_path = "./?.so;;./x.so";
	CHECK(skynetx_start(&bad) == SKYNETX_ERR_ARGUMENT);
	CHECK(has(skynetx_last_error(), "./x.so"));

	/* A pid file that names a process which is alive: our parent. */
	CHECK(dprintf(fd, "%d\n", (int)getppid()) > 0);
	close(fd);
	bad = config;
	bad.daemon = pid_file;
	CHECK(skynetx_start(&bad) == SKYNETX_ERR_SYSTEM);
	CHECK(has(skynetx_last_error(), "already running"));
	CHECK(access(pid_file, F_OK) == 0);
	unlink(pid_file);

	CHECK(log_instances == 0 && alone());
	when_up = end;
	CHECK(skynetx_start(&config) == 0);
	CHECK(log_instances == 1);
}

static void
no_log_service(void) {
	config.logservice = "nosuch";
	config.logger = "a file";
	CHECK(skynetx_start(&config) == SKYNETX_ERR_LOGSERVICE);
	CHECK(has(skynetx_last_error(), "Can't launch nosuch service"));
	CHECK(alone());
}

static void
no_first_service(void) {
	config.bootstrap = "nosuch some text";
	CHECK(skynetx_start(&config) == SKYNETX_ERR_BOOTSTRAP);
	CHECK(strcmp(skynetx_last_error(), "Bootstrap error : nosuch some text") == 0);
	CHECK(log_instances == 1 && log_releases == 1);
	CHECK(alone() && skynet_context_total() == 0);
	CHECK(disposition(SIGHUP) == SIG_DFL);
	config = good();
	CHECK(skynetx_start(&config) == SKYNETX_ERR_STARTED);
}

/* More threads than there is room for. */
static void
no_threads(void) {
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
	limit.rlim_cur = 1 << 30;
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	config.thread = 1024;
	when_up = end;
	CHECK(skynetx_start(&config) == SKYNETX_ERR_SYSTEM);
	CHECK(has(skynetx_last_error(), "Create thread failed"));
	CHECK(alone() && skynet_context_total() == 0);
	CHECK(log_releases == 1);
}

/* ---- modules of the program ---- */

static void
modules(void) {
	struct skynet_module *module = skynet_module_query("logger");

	CHECK(module != NULL && module->init == log_init && module->release == log_release);
	CHECK(module->create == NULL && module->signal == NULL && module->module == NULL);
	CHECK(strcmp(module->name, "logger") == 0);
	CHECK(skynetx_module_register(NULL, NULL, log_init, NULL, NULL) == SKYNETX_ERR_ARGUMENT);
	CHECK(skynetx_module_register("", NULL, log_init, NULL, NULL) == SKYNETX_ERR_ARGUMENT);
	CHECK(skynetx_module_register("two words", NULL, log_init, NULL, NULL) == SKYNETX_ERR_ARGUMENT);
	CHECK(skynetx_module_register("other", NULL, NULL, log_release, NULL) == SKYNETX_ERR_ARGUMENT);
	CHECK(has(skynetx_last_error(), "other"));
	CHECK(skynetx_module_register("logger", NULL, boss_init, NULL, NULL) == SKYNETX_ERR_EXISTS);
	CHECK(has(skynetx_last_error(), "logger"));
	CHECK(skynet_module_query("logger") == module && module->init == log_init);
	/* Functions of the program are not found by their names. */
	CHECK(skynet_module_query("host") == NULL);
}

/* ---- a node that is ended from outside ---- */

static volatile bool up;

static void
says_so(struct skynet_context *ctx) {
	(void)ctx;
	up = true;
}

static void *
ends_it(void *arg) {
	while (!up)
		usleep(1000);
	CHECK(skynet_current_handle() == 0);
	skynet_handle_retireall();
	return arg;
}

static void
stopped(void) {
	pthread_t thread;

	when_up = says_so;
	CHECK(pthread_create(&thread, NULL, ends_it, NULL) == 0);
	CHECK(skynetx_start(&config) == 0);
	pthread_join(thread, NULL);
	CHECK(alone());
}

int
main(int argc, char *argv[]) {
	static const struct {
		const char *name;
		void (*function)(void);
	} all[] = {
		{ "run_prepared", run_prepared },
		{ "run", run },
		{ "classic", classic },
		{ "classic_fails", classic_fails },
		{ "own_signals", own_signals },
		{ "bad_settings", bad_settings },
		{ "no_log_service", no_log_service },
		{ "no_first_service", no_first_service },
		{ "no_threads", no_threads },
		{ "modules", modules },
		{ "stopped", stopped },
	};
	size_t i;

	config = good();
	register_services();
	for (i = 0; i < sizeof all / sizeof all[0]; i++) {
		if (argc == 2 && strcmp(argv[1], all[i].name) == 0) {
			all[i].function();
			puts("done");
			return 0;
		}
	}
	return 2;
}
