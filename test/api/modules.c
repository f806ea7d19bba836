/*
 * Small broken or unusual modules, one for each macro that selects it:
 * NOCREATE lacks _create and _release, NOINIT lacks _init, NULLCREATE has a _create that fails,
 * OTHERNAME is about a module name with a dot.
 */
#include "harness.h"

#include <stdlib.h>

#if defined(NOCREATE)

ENTRY int nocreate_init(void *inst, struct skynet_context *ctx, const char *parm);
void *nocreate_inst;

int
nocreate_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)ctx, (void)parm;
	nocreate_inst = inst;
	return 0;
}

#elif defined(NOINIT)

ENTRY void *noinit_create(void);
int noinit_created;

void *
noinit_create(void)
{
	noinit_created++;
	return malloc(1);
}

#elif defined(NULLCREATE)

ENTRY void *nullcreate_create(void);
ENTRY int nullcreate_init(void *inst, struct skynet_context *ctx, const char *parm);
int nullcreate_inits;

void *
nullcreate_create(void)
{
	return NULL;
}

int
nullcreate_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst, (void)ctx, (void)parm;
	nullcreate_inits++;
	return 0;
}

#elif defined(OTHERNAME)

ENTRY int othername_init(void *inst, struct skynet_context *ctx, const char *parm);
int othername_inits;

int
othername_init(void *inst, struct skynet_context *ctx, const char *parm)
{
	(void)inst, (void)ctx, (void)parm;
	othername_inits++;
	return 0;
}

#endif
