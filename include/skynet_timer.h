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
void skynet_updatetime(void);
/* Seconds since the epoch when the process started; skynet_now() counts on from there. */
uint32_t skynet_starttime(void);
/* Processor time of this thread in microseconds. */
uint64_t skynet_thread_time(void);

void skynet_timer_init(void);

#ifdef __cplusplus
}
#endif

#endif
