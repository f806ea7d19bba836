/* Watching a worker for callbacks that do not return. */
#ifndef SKYNET_MONITOR_H
#define SKYNET_MONITOR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skynet_monitor;

/* A monitor for one worker; to be freed by skynet_monitor_delete. */
struct skynet_monitor *skynet_monitor_new(void);

/* Frees a monitor. NULL is ignored. */
void skynet_monitor_delete(struct skynet_monitor *sm);

/* The worker begins a message from source at destination; both are 0 when it is done. */
void skynet_monitor_trigger(struct skynet_monitor *sm, uint32_t source, uint32_t destination);

/* Marks and logs a message that has not ended since the last check. */
void skynet_monitor_check(struct skynet_monitor *sm);

#ifdef __cplusplus
}
#endif

#endif
