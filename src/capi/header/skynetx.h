/* What this core offers beside upstream's interface. */
#ifndef SKYNETX_H
#define SKYNETX_H

#include "skynet_api.h"
#include "skynet_imp.h"
#include "skynet_module.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

@items skynetx.rs

#ifdef __cplusplus
}
#endif

#endif
