/* Watching a worker for callbacks that do not return. */
#ifndef SKYNET_MONITOR_H
#define SKYNET_MONITOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_monitor;

struct skynet_monitor *skynet_monitor_new(void);
void skynet_monitor_delete(struct skynet_monitor *sm);
/* A message from source begins at destination; both 0 when it is done. */
void skynet_monitor_trigger(struct skynet_monitor *sm, uint32_t source, uint32_t destination);
/* Logs a callback that runs since the last check. */
void skynet_monitor_check(struct skynet_monitor *sm);

#ifdef __cplusplus
}
#endif

#endif
