/* The log of one service's messages (commands LOGON and LOGOFF). */
#ifndef skynet_log_h
#define skynet_log_h

#include "skynet_env.h"
#include "skynet.h"

#include <stdio.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_log.rs

#ifdef __cplusplus
}
#endif

#endif
