/*
 * What share.c, chunk.c and codecache.c know of each other. Lua's own files see only what the
 * change to lgc.h declares.
 *
 * Three kinds of things are shared, and nobody ever writes to any of them:
 * - objects of a living state, marked where they are (lua_sharefunction, lua_sharestring, makeshared),
 *   which end with their state;
 * - chunks: the functions of one compiled file, copied out of the state that compiled them into
 *   one block, which goes when nobody uses it;
 * - pooled strings: those of the chunks, one of each content, which stay. A string wanders from a
 *   function into tables, messages and other states, where nobody counts it.
 */

#ifndef share_h
#define share_h

#include "lua.h"

#include "lgc.h"
#include "lobject.h"
#include "lstate.h"

struct chunk;

/* The seed that states have, unless lua_newstate was told another one. */
LUAI_FUNC unsigned int share_seed(void);

/* Whether a state has it. */
#define share_has_seed(L) (G(L)->pooling != 0)

/* The pooled string equal to `ts`, which may be NULL, made if need be; NULL too without memory. */
LUAI_FUNC TString *share_pooled(TString *ts);

/* How many pooled strings there are, and their bytes. */
LUAI_FUNC void share_pool_size(size_t *count, size_t *bytes);

/* Copies function `f` and what it contains; the copy has one user, the caller. NULL without memory. */
LUAI_FUNC struct chunk *chunk_new(const Proto *f);

/* One more user, or one less; with the last one, the chunk goes. */
LUAI_FUNC void chunk_keep(struct chunk *c);
LUAI_FUNC void chunk_drop(struct chunk *c);

/* Makes the state a user, in place of the caller, and pushes a closure of function `f` in it, or of
   its main function if `f` is NULL. 0, and no user less, if memory lacks at the
   first step; raises a memory error at the second. */
LUAI_FUNC int chunk_push(lua_State *L, struct chunk *c, Proto *f);

/* Pushes a closure of a shared function. */
LUAI_FUNC void share_push(lua_State *L, Proto *f);

/* The chunk of a function, or NULL if the function is in none. */
LUAI_FUNC struct chunk *chunk_of(const Proto *f);

/* Keeps the chunk for ever: somebody passes its functions around as pointers. */
LUAI_FUNC void chunk_pin(struct chunk *c);

/* How many chunks there are, and their bytes. */
LUAI_FUNC void chunk_size(size_t *count, size_t *bytes);

/* There are so many bytes more of shared tables, or less. Called by the sharetable library. */
LUA_API void skynetx_sharedtables(ptrdiff_t bytes);
LUAI_FUNC size_t share_table_bytes(void);

/* Calls f(ud) when the state closes and its last finalizer has run: whoever waits until nothing in it
   can see a shared object any more. 0 without memory. For the sharetable library. */
LUA_API int skynetx_atclose(lua_State *L, void (*f)(void *ud), void *ud);

#endif
