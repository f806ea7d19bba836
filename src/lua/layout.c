/*
 * Offsets and bits of Lua's objects that modules built elsewhere carry in their machine code: the
 * sharetable library includes Lua's internal headers. A Lua that moved one of them must not build.
 */

#define LUA_CORE

#include <limits.h>
#include <stddef.h>

#include "lua.h"

#include "lgc.h"
#include "lobject.h"
#include "lstate.h"

#define HOLDS(condition) _Static_assert(condition, #condition)

HOLDS(sizeof(lu_byte) == 1);

/* what every collectable object begins with */
HOLDS(offsetof(struct GCObject, next) == 0);
HOLDS(offsetof(struct GCObject, tt) == sizeof(void *));
HOLDS(offsetof(struct GCObject, marked) == sizeof(void *) + 1);
HOLDS(offsetof(struct Table, marked) == offsetof(struct GCObject, marked));
HOLDS(offsetof(struct LClosure, marked) == offsetof(struct GCObject, marked));
HOLDS(offsetof(struct Proto, marked) == offsetof(struct GCObject, marked));
HOLDS(offsetof(struct TString, marked) == offsetof(struct GCObject, marked));

/* the byte `marked`: the age in bits 0 to 2, of which 7 is shared, then colours and flags */
HOLDS(AGEBITS == 7);
HOLDS(G_NEW == 0 && G_SURVIVAL == 1 && G_OLD0 == 2 && G_OLD1 == 3);
HOLDS(G_OLD == 4 && G_TOUCHED1 == 5 && G_TOUCHED2 == 6);
HOLDS(G_SHARED == 7);
HOLDS(WHITE0BIT == 3 && WHITE1BIT == 4 && BLACKBIT == 5 && FINALIZEDBIT == 6 && TESTBIT == 7);

/* a sibling state is created with the seed found here */
HOLDS(sizeof(((global_State *)0)->seed) == sizeof(unsigned int));
#if ULONG_MAX == 0xffffffffffffffff
HOLDS(offsetof(lua_State, l_G) == 24);
HOLDS(offsetof(global_State, seed) == 96);
#endif

/* a string has its id behind its hash */
HOLDS(offsetof(struct TString, id) == offsetof(struct TString, hash) + sizeof(unsigned int));
