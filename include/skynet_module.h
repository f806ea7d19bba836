/* Service modules: the entry points of a .so in cservice. */
#ifndef SKYNET_MODULE_H
#define SKYNET_MODULE_H

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_context;

/* NAME_create: a new instance, NULL when there can be none. */
typedef void *(*skynet_dl_create)(void);

/* NAME_init: 0 when the service is ready. Without it a module is none. */
typedef int (*skynet_dl_init)(void *inst, struct skynet_context *ctx, const char *parm);

/* NAME_release: the end of an instance. */
typedef void (*skynet_dl_release)(void *inst);

/* NAME_signal: the command SIGNAL, on whatever thread sends it. */
typedef void (*skynet_dl_signal)(void *inst, int signal);

/* A loaded module and its entry points. */
struct skynet_module {
	const char *name;
	/* From dlopen; NULL for modules that are part of the program. */
	void *module;
	skynet_dl_create create;
	skynet_dl_init init;
	skynet_dl_release release;
	skynet_dl_signal signal;
};

/* The module of this name, loaded unless it was before, or NULL. It stays valid, and is not to be
   written. */
struct skynet_module *skynet_module_query(const char *name);

/* A new instance: all-ones when the module has no _create, NULL when that failed. */
void *skynet_module_instance_create(struct skynet_module *module);

/* Runs _init: 0 for success. */
int skynet_module_instance_init(struct skynet_module *module, void *inst,
	struct skynet_context *ctx, const char *parm);

/* Runs _release, if there is one. */
void skynet_module_instance_release(struct skynet_module *module, void *inst);

/* Runs _signal, if there is one. */
void skynet_module_instance_signal(struct skynet_module *module, void *inst, int signal);

/* Sets the search path: templates with a ?, separated by semicolons. */
void skynet_module_init(const char *path);

#ifdef __cplusplus
}
#endif

#endif
