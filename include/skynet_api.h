/*
 * The API level of this build: SKYNET_API_HEAD is 1 at level head (Lua 5.5) and 0 at level 1.8
 * (Lua 5.4). The few prototypes that differ between the two are selected by it.
 *
 * `make` leaves the level of what it built in skynet_level.h. A project may define SKYNET_API_HEAD
 * itself, for the node it is going to run on; without either, the level is 1.8.
 */
#ifndef SKYNET_API_H
#define SKYNET_API_H

#if !defined(SKYNET_API_HEAD) && defined(__has_include)
#if __has_include("skynet_level.h")
#include "skynet_level.h"
#endif
#endif

#ifndef SKYNET_API_HEAD
#define SKYNET_API_HEAD 0
#endif

#endif
