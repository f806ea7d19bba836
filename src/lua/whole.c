/*
 * Lua and our files beside it as one unit, so that the compiler sees which functions nobody else calls:
 * that is worth more than any option, and makes up for position independence.
 */

/* lprefix.h asks for POSIX only, and codecache.c wants the times of files to the nanosecond. */
#define _GNU_SOURCE

#include "lprefix.h"
#include "luaconf.h"

/* What Lua's files have in common is nobody else's. Of this, what metamethods, upvalues and debugging need stays
   apart: inside the interpreter it would cost the usual case registers. */
#undef LUAI_FUNC
#define LUAI_FUNC static __attribute__((noinline))
#undef LUAI_DDEF
#define LUAI_DDEF static
#undef LUAI_DDEC
#define LUAI_DDEC(declaration)
#include "lstate.h"
#include "ldebug.h"
#include "lfunc.h"
#undef LUAI_FUNC
#define LUAI_FUNC static

/* What others use comes first where it is data. */
#include "lzio.c"
#include "lctype.c"
#include "lopcodes.c"
#include "ltm.c"

#include "lapi.c"
#include "lcode.c"
#include "ldebug.c"
#include "ldo.c"
#include "ldump.c"
#include "lfunc.c"
#include "lgc.c"
#include "llex.c"
#include "lmem.c"
#include "lobject.c"
#include "lparser.c"
#include "lstate.c"
#include "lstring.c"
#include "ltable.c"
#include "lundump.c"
#include "lvm.c"

#include "chunk.c"
#include "codecache.c"
#include "share.c"

#include "lauxlib.c"
#include "lbaselib.c"
#include "lcorolib.c"
#include "ldblib.c"
#include "linit.c"
#include "liolib.c"
#include "lmathlib.c"
#include "loadlib.c"
#include "loslib.c"
#include "lstrlib.c"
#include "ltablib.c"
#include "lutf8lib.c"
