/* Messages for other nodes, as they reach the harbor service. */
#ifndef SKYNET_HARBOR_H
#define SKYNET_HARBOR_H

#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

@items skynet_harbor.rs

#ifdef __cplusplus
}
#endif

#endif
