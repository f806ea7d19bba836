/* The service behind a struct agent, see harness.h. Its parameter begins with the struct's address. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

ENTRY void *agent_create(void);
ENTRY int agent_init(void *inst, struct skynet_context *ctx, const char *parm);
ENTRY void agent_release(void *inst);
ENTRY void agent_signal(void *inst, int signal);

/* For launches whose parameter cannot hold an address: set by a case, used once. */
struct agent *agent_next;

struct instance {
	struct agent *a;
};

/* The byte behind a message: the NUL of a copy that the core made. What others made may end before. */
static char
behind(const char *end)
{
#ifdef __SANITIZE_ADDRESS__
	if (__asan_address_is_poisoned(end))
		return '\0';
#endif
	return *end;
}

static int
on_message(struct skynet_context *ctx, void *ud, int type, int session, uint32_t source,
	const void *msg, size_t sz)
{
	struct agent *a = ((struct instance *)ud)->a;
	struct mail m = { .type = type, .session = session, .source = source, .sz = sz, .msg = msg };
	(void)ctx;
	if (type == TYPE_RUN) {
		struct task task;
		memcpy(&task, msg, sizeof task);
		task.fn(a, task.arg);
		__atomic_store_n(task.done, true, __ATOMIC_SEQ_CST);
		return 0;
	}
	m.current = skynet_current_handle();
	m.now = skynet_now();
	if (msg) {
		struct copy *copy = malloc(sizeof *copy + sz + 1);
		m.data = copy->data;
		memcpy(m.data, msg, sz);
		m.data[sz] = behind((const char *)msg + sz);
		copy->next = a->copies;
		a->copies = copy;
	}
	pthread_mutex_lock(&a->lock);
	if (a->count == a->room) {
		a->room = a->room * 2 + 64;
		a->inbox = realloc(a->inbox, (size_t)a->room * sizeof m);
	}
	a->inbox[a->count++] = m;
	pthread_mutex_unlock(&a->lock);
	return a->keep;
}

void *
agent_create(void)
{
	return calloc(1, sizeof(struct instance));
}

int
agent_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	struct instance *self = inst;
	struct agent *a = agent_next;
	char word[32] = "";
	if (a) {
		agent_next = NULL;
	} else {
		void *address;
		if (parm == NULL || sscanf(parm, "%p %31s", &address, word) < 1)
			return 1;
		a = address;
	}
	self->a = a;
	a->ctx = ctx;
	a->inst = inst;
	a->parm = parm ? strdup(parm) : NULL;
	a->handle = (uint32_t)strtoul(skynet_command(ctx, "REG", NULL) + 1, NULL, 16);
	a->init_current = skynet_current_handle();
	a->init_thread = pthread_self();
	if (strcmp(word, AGENT_MUTE) != 0)
		skynet_callback(ctx, self, on_message);
	if (strcmp(word, AGENT_LEAVES) == 0)
		skynet_command(ctx, "EXIT", NULL);
	if (strcmp(word, AGENT_TALKS) == 0)
		skynet_send(ctx, 0, a->handle, 20, 0, "to myself", 9);
	if (strcmp(word, AGENT_FAILS) == 0) {
		/* in the name of whoever launches us, who will be told */
		uint32_t source = skynet_queryname(ctx, ".heir");
		skynet_send(ctx, source, a->handle, PTYPE_TEXT, 77, "never read", 10);
		return 1;
	}
	return 0;
}

void
agent_release(void *inst)
{
	struct instance *self = inst;
	if (self->a)
		__atomic_add_fetch(&self->a->released, 1, __ATOMIC_SEQ_CST);
	free(self);
}

void
agent_signal(void *inst, int signal)
{
	struct agent *a = ((struct instance *)inst)->a;
	a->signal = signal;
	a->signal_thread = pthread_self();
	a->signals++;
}
