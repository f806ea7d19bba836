/*
 * What the conformance programs are made of.
 *
 * `apitest` is a service that runs the cases of one group in a single callback, one after the other,
 * waiting as it goes: it needs a worker of its own beside those that run the services it deals with.
 * It does not know whose core it runs on.
 *
 * Three parts, all in the same process, so that pointers can be passed around:
 * - `apilog` is the log service. It prints each line and keeps it for the cases to look at.
 * - agents are services that keep what they receive and run functions on behalf of the cases, in
 *   their own callback.
 * - the cases.
 */
#ifndef APITEST_HARNESS_H
#define APITEST_HARNESS_H

#include "skynet.h"
#include "skynet_env.h"
#include "skynet_handle.h"
#include "skynet_harbor.h"
#include "skynet_imp.h"
#include "skynet_module.h"
#include "skynet_mq.h"
#include "skynet_server.h"
#include "skynet_timer.h"
#include "skynet_socket.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

/* In front of what the core finds by its name. */
#ifdef __cplusplus
#define ENTRY extern "C"
#else
#define ENTRY extern
#endif

/* Built with upstream's headers, the level is given on the command line. */
#ifndef SKYNET_API_HEAD
#error SKYNET_API_HEAD
#endif

/* What some log lines begin with. */
#if SKYNET_API_HEAD
#define ERROR_MARK "error: "
#else
#define ERROR_MARK ""
#endif

/* ---- the log ---- */

struct line {
	uint32_t source;
	size_t sz;
	char *text;	/* followed by a NUL of ours */
};

/* The log service exports one of these as `apilog`. */
struct capture {
	pthread_mutex_t lock;
	struct line *lines;
	int count;
	int room;
};

/* ---- agents ---- */

/* The type of a message that asks an agent to run a function: its data is a struct task. */
#define TYPE_RUN 250

struct agent;
typedef void (*agent_fn)(struct agent *a, void *arg);

struct task {
	agent_fn fn;
	void *arg;
	volatile bool *done;
};

struct mail {
	int type;
	int session;
	uint32_t source;
	size_t sz;
	const void *msg;	/* where it was, which only a kept message still is */
	char *data;		/* a copy with one byte more than sz, or NULL */
	uint32_t current;	/* skynet_current_handle() in the callback */
	uint64_t now;
};

/* Data of a mail. It stays when the mail is cleared away. */
struct copy {
	struct copy *next;
	char data[];
};

struct agent {
	struct agent *next;	/* of all there were */
	struct skynet_context *ctx;
	uint32_t handle;
	char *parm;		/* of its init, NULL when there was none */
	void *inst;		/* first argument of init */
	uint32_t init_current;	/* skynet_current_handle() in its init */
	pthread_t init_thread;
	volatile int keep;	/* what the callback returns */
	volatile int released;
	volatile int signals;
	volatile int signal;	/* the last one */
	pthread_t signal_thread;

	pthread_mutex_t lock;
	struct copy *copies;	/* the data of all mail there ever was */
	struct mail *inbox;	/* under lock */
	int count;
	int room;
};

/* Ways for an agent to behave in its init, given as the word behind its address. */
#define AGENT_FAILS "fails"		/* sends itself a request and fails */
#define AGENT_LEAVES "leaves"		/* exits */
#define AGENT_TALKS "talks"		/* sends itself a message */
#define AGENT_MUTE "mute"		/* sets no callback */

/* What a service that becomes an agent is given. It is kept to the end, for what it knows. */
struct agent *agent_blank(void);
/* An agent that belongs to nobody yet, and a service of that name for it. */
struct agent *agent_new(void);
/* The same with a word for its init. NULL from the launch is fine. */
struct agent *agent_with(const char *word);
/* Runs a function as the agent and returns when it is done. */
void agent_run(struct agent *a, agent_fn fn, void *arg);
/* The same without waiting, from the service `from`; *done will be set. */
void agent_post(struct agent *a, agent_fn fn, void *arg, volatile bool *done);
/* Returns when everything queued so far was received. */
void agent_settle(struct agent *a);
/* The mail at an index, waiting for it. A failed check and an empty mail if it does not come. */
struct mail agent_mail(struct agent *a, int index);
/* How much mail there is. */
int agent_count(struct agent *a);
void agent_clear(struct agent *a);
/* Ends the service; what the agent knows stays. */
void agent_kill(struct agent *a);

/* Blocks the agent until gate_open. */
struct gate {
	volatile bool entered, open, done;
};
void gate_close(struct gate *g, struct agent *a);
void gate_open(struct gate *g);

/* ---- cases ---- */

/* The service that runs the cases. */
extern struct skynet_context *driver;
extern uint32_t driver_handle;

#define CHECK(cond) check(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_TEXT(got, expected) check_text(got, expected, __FILE__, __LINE__, #got)
#define CHECK_INT(got, expected) check_int(got, expected, __FILE__, __LINE__, #got)
bool check(bool held, const char *file, int line, const char *what);
bool check_text(const char *got, const char *expected, const char *file, int line, const char *what);
bool check_int(long long got, long long expected, const char *file, int line, const char *what);

/* Waits until the condition holds, for some seconds. */
#define WAIT_UNTIL(cond) do { \
	int tries_ = 0; \
	while (!(cond) && tries_++ < 15000) pause_ms(1); \
	CHECK(cond); \
} while (0)
void pause_ms(int ms);
/* Whether counters begin just below their limits and not at their base: a setting of ours for tests. */
bool wrapping(void);

/* A command of the driver's, with a formatted parameter. The result is good until the next. */
const char *command(const char *cmd, const char *fmt, ...);
/* The same as an agent. */
const char *command_as(struct agent *a, const char *cmd, const char *fmt, ...);

/* Begins to look at the log. Everything the driver's thread has caused so far is passed over. */
void log_mark(void);
/* How many lines came since, from whomever. */
int log_count(void);
/* The n-th of them. */
struct line log_line(int n);
/* Exactly one line came, this one. */
#define CHECK_LOGGED(source, text) check_logged(source, text, __FILE__, __LINE__)
void check_logged(uint32_t source, const char *text, const char *file, int line);
#define CHECK_NOT_LOGGED() CHECK_INT(log_count(), 0)

typedef void (*case_fn)(void);
struct test_case {
	const char *name;
	case_fn run;
};
#define CASE(name) { #name, name }

/* One group per file, ended by a case without name. */
extern const struct test_case command_cases[];
extern const struct test_case send_cases[];
extern const struct test_case launch_cases[];
extern const struct test_case error_cases[];
extern const struct test_case timer_cases[];
extern const struct test_case harbor_cases[];
extern const struct test_case memory_cases[];
extern const struct test_case msglog_cases[];
extern const struct test_case endless_cases[];
extern const struct test_case timerx_cases[];
extern const struct test_case socket_cases[];
extern const struct test_case socketx_cases[];
extern const struct test_case plain_cases[];
extern const struct test_case core_cases[];
extern const struct test_case third_cases[];
extern const struct test_case wrap_cases[];

#endif
