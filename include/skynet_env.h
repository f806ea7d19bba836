/* The environment store: settings, each written once and valid for the life of the process. */
#ifndef SKYNET_ENV_H
#define SKYNET_ENV_H

#ifdef __cplusplus
extern "C" {
#endif

/* The value of key, good for the life of the process, or NULL. */
const char *skynet_getenv(const char *key);

/* Stores copies of both. A key that has a value already ends the process; a NULL value leaves the
   key unset. */
void skynet_setenv(const char *key, const char *value);

/* Prepares the store. It needs no preparation; upstream's start files call this. */
void skynet_env_init(void);

#ifdef __cplusplus
}
#endif

#endif
