/* Watching a worker for callbacks that do not return. */
#ifndef SKYNET_MONITOR_H
#define SKYNET_MONITOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_monitor.rs

#ifdef __cplusplus
}
#endif

#endif
