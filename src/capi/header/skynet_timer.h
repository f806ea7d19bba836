/* Timers and clocks. skynet_now is in skynet.h. */
#ifndef SKYNET_TIMER_H
#define SKYNET_TIMER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_timer.rs

#ifdef __cplusplus
}
#endif

#endif
