/* Timers and clocks. skynet_now is in skynet.h. */
#ifndef SKYNET_TIMER_H
#define SKYNET_TIMER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sends PTYPE_RESPONSE with the session to the handle, time centiseconds from now. The session, or
   -1 when time is not positive and there is no such service. */
int skynet_timeout(uint32_t handle, int time, int session);

/* Fires what is due. The node's own timer thread needs no such call. */
void skynet_updatetime(void);

/* Seconds since the epoch when the node started; skynet_now() counts on from there. */
uint32_t skynet_starttime(void);

/* CPU time of the calling thread in microseconds. */
uint64_t skynet_thread_time(void);

/* Starts the clock; starts no thread. */
void skynet_timer_init(void);

#ifdef __cplusplus
}
#endif

#endif
