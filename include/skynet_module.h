/* Service modules: the entry points of a .so in cservice. */
#ifndef SKYNET_MODULE_H
#define SKYNET_MODULE_H

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_context;

typedef void *(*skynet_dl_create)(void);
typedef int (*skynet_dl_init)(void *inst, struct skynet_context *ctx, const char *parm);
typedef void (*skynet_dl_release)(void *inst);
typedef void (*skynet_dl_signal)(void *inst, int signal);

struct skynet_module {
	const char *name;
	void *module;		/* from dlopen */
	skynet_dl_create create;
	skynet_dl_init init;
	skynet_dl_release release;
	skynet_dl_signal signal;
};

/* Loads the module unless it was loaded before. NULL when that fails; otherwise valid for good. */
struct skynet_module *skynet_module_query(const char *name);

void *skynet_module_instance_create(struct skynet_module *m);
int skynet_module_instance_init(struct skynet_module *m, void *inst, struct skynet_context *ctx,
	const char *parm);
void skynet_module_instance_release(struct skynet_module *m, void *inst);
void skynet_module_instance_signal(struct skynet_module *m, void *inst, int signal);

/* The search path: templates with a ?, separated by semicolons. */
void skynet_module_init(const char *path);

#ifdef __cplusplus
}
#endif

#endif
