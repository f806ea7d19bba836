// Lua's headers for C++: none of them says extern "C" itself.

#pragma once

extern "C" {
#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"
}
