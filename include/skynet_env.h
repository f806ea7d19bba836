/* The environment store: settings, each written once and valid for the life of the process. */
#ifndef SKYNET_ENV_H
#define SKYNET_ENV_H

#ifdef __cplusplus
extern "C" {
#endif

/* NULL when the key has no value. */
const char *skynet_getenv(const char *key);
/* Copies both. Aborts when the key has a value. */
void skynet_setenv(const char *key, const char *value);

void skynet_env_init(void);

#ifdef __cplusplus
}
#endif

#endif
