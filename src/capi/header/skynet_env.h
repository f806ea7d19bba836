/* The environment store: settings, each written once and valid for the life of the process. */
#ifndef SKYNET_ENV_H
#define SKYNET_ENV_H

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_env.rs

#ifdef __cplusplus
}
#endif

#endif
