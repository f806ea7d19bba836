/* What this core offers beside upstream's interface. There is nothing of it yet. */
#ifndef SKYNETX_H
#define SKYNETX_H

#include "skynet_api.h"

#endif
