// The changes to Lua's files, used by build.rs. `README.md` in this folder has the reason for each.

/// One change to a Lua source file: `find` occurs exactly once and is replaced.
struct Edit {
    file: &'static str,
    find: &'static str,
    change: Change,
}

/// What becomes of the place that was found.
enum Change {
    Replace(&'static str),
    Before(&'static str),
    After(&'static str),
}

use Change::{After, Before, Replace};

const fn edit(file: &'static str, find: &'static str, change: Change) -> Edit {
    Edit { file, find, change }
}

/// The same in both versions.
const EDITS: &[Edit] = &[
    // what C code sees
    edit(
        "lauxlib.c",
        "int luaL_loadfilex (lua_State *L",
        Replace("int luaL_loadfilex_ (lua_State *L"),
    ),
    edit(
        "lauxlib.h",
        "LUALIB_API int (luaL_loadfilex) (lua_State *L",
        Before(
            "LUALIB_API int (luaL_loadfilex_) (lua_State *L, const char *filename,\n\
             \u{20}                                               const char *mode);\n",
        ),
    ),
    edit(
        "lua.h",
        "LUA_API void (lua_closeslot) (lua_State *L, int idx);\n",
        After(
            "\n/* functions, strings and tables that several states use */\n\
             LUA_API void (lua_sharefunction) (lua_State *L, int index);\n\
             LUA_API void (lua_clonefunction) (lua_State *L, const void *fp);\n\
             LUA_API void (lua_sharestring) (lua_State *L, int index);\n\
             LUA_API void (lua_clonetable) (lua_State *L, const void *tp);\n",
        ),
    ),
    edit(
        "lualib.h",
        "LUAMOD_API int (luaopen_base) (lua_State *L);\n",
        After(
            "\n/* the code cache */\n\
             #define LUA_CACHELIB\n\
             LUAMOD_API int (luaopen_cache) (lua_State *L);\n\
             LUALIB_API void (luaL_initcodecache) (void);\n",
        ),
    ),
    // the mark
    edit(
        "lgc.h",
        "#define AGEBITS\t\t7  /* all age bits (111) */\n",
        Before("#define G_SHARED\t7\t/* used by several states, collected by none */\n\n"),
    ),
    edit(
        "lgc.h",
        "#define isold(o)\t(getage(o) > G_SURVIVAL)\n",
        After(
            "\n#define isshared(o)\t(getage(o) == G_SHARED)\n\
             #define makeshared(o)\tsetage(o, G_SHARED)\n",
        ),
    ),
    edit(
        "lgc.h",
        "#define iswhite(x)      testbits((x)->marked, WHITEBITS)\n",
        Replace("#define iswhite(x)      (testbits((x)->marked, WHITEBITS) && !isshared(x))\n"),
    ),
    edit(
        "lgc.h",
        "#define isdead(g,v)\tisdeadm(otherwhite(g), (v)->marked)\n",
        Replace(
            "#define isdead(g,v)\t(isdeadm(otherwhite(g), (v)->marked) && !isshared(v))\n",
        ),
    ),
    edit(
        "lgc.h",
        "LUAI_FUNC void luaC_changemode (lua_State *L, int newmode);\n",
        After(
            "\n/* in share.c and chunk.c */\n\
             LUAI_FUNC unsigned int luaR_seed (unsigned int candidate);\n\
             LUAI_FUNC int luaR_eqshrstr (TString *a, TString *b);\n\
             LUAI_FUNC lu_byte luaR_join (unsigned int seed);\n\
             LUAI_FUNC lu_byte luaR_opening (global_State *g, int opening);\n\
             LUAI_FUNC TString *luaR_name (global_State *g, const char *text, size_t len,\n\
             \u{20}                             unsigned int hash);\n\
             LUAI_FUNC void luaR_word (TString *ts, lu_byte number);\n\
             LUAI_FUNC void luaR_require (lua_State *L);\n\
             LUAI_FUNC l_noret luaR_refuse (lua_State *L, const TValue *t);\n\
             LUAI_FUNC l_noret luaR_refuseraw (lua_State *L);\n\
             LUAI_FUNC void luaR_startuse (global_State *g);\n\
             LUAI_FUNC void luaR_use (global_State *g, Proto *p);\n\
             LUAI_FUNC void luaR_enduse (global_State *g);\n\
             LUAI_FUNC void luaR_leave (global_State *g);\n\
             LUAI_FUNC void luaR_closed (global_State *g);\n",
        ),
    ),
    // the collector
    edit(
        "lgc.c",
        "    if (isdeadm(ow, marked)) {  /* is 'curr' dead? */\n",
        Before("    if (isshared(curr))\n      p = &curr->next;\n    else\n"),
    ),
    edit(
        "lgc.c",
        "  while ((curr = *p) != NULL) {\n    if (iswhite(curr)) {  /* is 'curr' dead? */\n",
        Replace(
            "  while ((curr = *p) != NULL) {\n    if (isshared(curr))\n      p = &curr->next;\n\
             \u{20}   else if (iswhite(curr)) {  /* is 'curr' dead? */\n",
        ),
    ),
    edit(
        "lgc.c",
        "  while ((curr = *p) != limit) {\n    if (iswhite(curr)) {  /* is 'curr' dead? */\n",
        Replace(
            "  while ((curr = *p) != limit) {\n    if (isshared(curr))\n      p = &curr->next;\n\
             \u{20}   else if (iswhite(curr)) {  /* is 'curr' dead? */\n",
        ),
    ),
    edit(
        "lgc.c",
        "    if (iswhite(curr))\n      goto remove;",
        Replace("    if (iswhite(curr) || isshared(curr))\n      goto remove;"),
    ),
    edit(
        "lgc.c",
        "  nw2black(o);\n  g->gray = *getgclist(o);",
        Replace(
            "  if (isshared(o)) {  /* since it was linked */\n\
             \u{20}   g->gray = *getgclist(o);\n    return 1;\n  }\n\
             \u{20} nw2black(o);\n  g->gray = *getgclist(o);",
        ),
    ),
    edit(
        "lgc.c",
        "  markobjectN(g, cl->p);  /* mark its prototype */\n",
        After("  if (cl->p && isshared(cl->p)) luaR_use(g, cl->p);\n"),
    ),
    edit(
        "lgc.c",
        "static void restartcollection (global_State *g) {\n",
        After("  luaR_startuse(g);\n"),
    ),
    edit("lgc.c", "  luaS_clearcache(g);\n", Before("  luaR_enduse(g);\n")),
    edit(
        "lstate.h",
        "  void *ud_warn;         /* auxiliary data to 'warnf' */\n",
        After(
            "  struct ChunkUses *chunks;  /* what the state has of the code cache */\n\
             \u{20} struct AtClose *atclose;  /* who wants to know when it has closed */\n\
             \u{20} lu_byte pooling;  /* how it makes short strings, see share.c */\n",
        ),
    ),
    edit("lstate.c", "  g->ud_warn = NULL;\n", After("  g->chunks = NULL;\n  g->atclose = NULL;\n")),
    edit(
        "lstate.c",
        "  luaM_freearray(L, G(L)->strt.hash, ",
        Before("  luaR_leave(g);\n  luaR_closed(g);\n"),
    ),
    // strings
    edit(
        "lobject.h",
        "  unsigned int hash;\n  union {\n    size_t lnglen;",
        Replace(
            "  unsigned int hash;\n  size_t id;  /* of a shared string, or of one equal to it; else 0 */\n\
             \u{20} union {\n    size_t lnglen;",
        ),
    ),
    edit("lstring.c", "  ts->hash = h;\n  ts->extra = 0;\n", After("  ts->id = 0;\n")),
    // names are taken from the pool
    edit(
        "lstring.c",
        "  /* else must create a new string */\n",
        Before("  if ((ts = luaR_name(g, str, l, h)) != NULL)\n    return ts;\n"),
    ),
    edit(
        "lgc.c",
        "  lua_assert(g->allgc == o);  /* object must be 1st in 'allgc' list! */\n",
        Before("  if (isshared(o))\n    return;\n"),
    ),
    edit(
        "lapi.c",
        "  if (!chunkname) chunkname = \"?\";\n",
        After("  luaR_opening(G(L), 0);\n"),
    ),
    edit(
        "loadlib.c",
        "static int readable (const char *filename) {\n",
        Replace(
            "extern void luaR_require (lua_State *L);\n\
             extern int luaR_cached (lua_State *L, const char *filename);\n\n\
             static int readable (const char *filename) {\n",
        ),
    ),
    // `require` has the short cut, `package.searchpath` has not
    edit(
        "loadlib.c",
        "static const char *searchpath (lua_State *L, const char *name,\n",
        Replace("static const char *searchpath (lua_State *L, int loads, const char *name,\n"),
    ),
    edit(
        "loadlib.c",
        "  const char *f = searchpath(L, luaL_checkstring(L, 1),\n",
        Replace("  const char *f = searchpath(L, 0, luaL_checkstring(L, 1),\n"),
    ),
    edit(
        "loadlib.c",
        "  return searchpath(L, name, path, \".\", dirsep);\n",
        Replace("  return searchpath(L, 1, name, path, \".\", dirsep);\n"),
    ),
    edit(
        "loadlib.c",
        "    if (readable(filename))  /* does file exist and is readable? */\n",
        Replace("    if ((loads && luaR_cached(L, filename)) || readable(filename))\n"),
    ),
    edit(
        "loadlib.c",
        "  lua_call(L, 2, 1);  /* run loader to load module */\n",
        Replace("  luaR_require(L);  /* run loader to load module */\n"),
    ),
    edit(
        "lstring.h",
        "#define eqshrstr(a,b)\tcheck_exp((a)->tt == LUA_VSHRSTR, (a) == (b))\n",
        Replace(
            "#define eqshrstr(a,b)\tcheck_exp((a)->tt == LUA_VSHRSTR, \\\n\
             \t((a) == (b) || ((a)->hash == (b)->hash && eqforeign(a,b))))\n\n\
             /* two objects with one hash: are they copies of different states? */\n\
             #define eqforeign(a,b)\t\\\n\
             \t(((a)->id == (b)->id && (a)->id != 0) || luaR_eqshrstr(a,b))\n",
        ),
    ),
    // tables
    edit(
        "ltable.c",
        "case ctb(LUA_VLNGSTR):\n",
        Before("case ctb(LUA_VSHRSTR): return eqshrstr(tsvalue(k1), keystrval(n2));\n    "),
    ),
    // a removed key is known by its address only, which may be that of the pooled string
    edit(
        "ltable.c",
        "    const TValue *n = getgeneric(t, key, 1);\n",
        After(
            "    if (l_unlikely(isabstkey(n)) && ttisshrstring(key)) {\n\
             \u{20}     TString *ts = tsvalue(key);\n\
             \u{20}     ts = luaR_name(G(L), getshrstr(ts), (size_t)ts->shrlen, ts->hash);\n\
             \u{20}     if (ts != NULL) {\n        TValue pooled;\n\
             \u{20}       setsvalue(L, &pooled, ts);\n\
             \u{20}       n = getgeneric(t, &pooled, 1);\n      }\n    }\n",
        ),
    ),
    edit(
        "ltm.c",
        "    events->flags |= cast_byte(1u<<event);  /* cache this fact */\n",
        Replace(
            "    if (!isshared(events))\n\
             \u{20}     events->flags |= cast_byte(1u<<event);  /* cache this fact */\n",
        ),
    ),
    edit(
        "lapi.c",
        "  luaH_set(L, t, key, s2v(L->top.p - 1));\n",
        Before("  if (l_unlikely(isshared(t))) luaR_refuseraw(L);\n"),
    ),
    edit(
        "lapi.c",
        "  luaH_setint(L, t, n, s2v(L->top.p - 1));\n",
        Before("  if (l_unlikely(isshared(t))) luaR_refuseraw(L);\n"),
    ),
    edit(
        "lapi.c",
        "      hvalue(obj)->metatable = mt;\n",
        Before(
            "      if (l_unlikely(isshared(hvalue(obj))))\n\
             \u{20}       luaG_runerror(L, \"can't setmetatable to shared table\");\n",
        ),
    ),
];

/// Only in 5.4.
const EDITS_54: &[Edit] = &[
    edit(
        "llex.c",
        "    ts->extra = cast_byte(i+1);  /* reserved word */\n",
        Replace("    luaR_word(ts, cast_byte(i+1));\n"),
    ),
    edit(
        "ldo.c",
        "l_noret luaD_throw (lua_State *L, int errcode) {\n",
        After("  luaR_opening(G(L), 0);\n"),
    ),
    edit(
        "lgc.c",
        "    p->marked = cast_byte((p->marked & ~maskgcbits) | white);\n",
        Before("    if (!isshared(p))\n"),
    ),
    edit(
        "lstate.c",
        "  g->seed = luai_makeseed(L);\n",
        Replace("  g->seed = luaR_seed(luai_makeseed(L));\n  g->pooling = luaR_join(g->seed);\n"),
    ),
    edit(
        "ltable.c",
        "    t->alimit = cast_uint(key);  /* probably '#t' is here now */\n",
        Before("    if (!isshared(t))\n"),
    ),
    edit(
        "ltable.c",
        "lua_Unsigned luaH_getn (Table *t) {\n  unsigned int limit = t->alimit;\n",
        Replace(
            "static lua_Unsigned getborder (Table *t);\n\n\
             /* the search leaves hints in the header; for a shared table, in a copy of it */\n\
             lua_Unsigned luaH_getn (Table *t) {\n\
             \u{20} if (l_unlikely(isshared(t))) {\n\
             \u{20}   Table copy = *t;\n    copy.marked = 0;\n    return getborder(&copy);\n  }\n\
             \u{20} return getborder(t);\n}\n\n\
             static lua_Unsigned getborder (Table *t) {\n  unsigned int limit = t->alimit;\n",
        ),
    ),
    edit(
        "lvm.h",
        "#define luaV_finishfastset(L,t,slot,v) \\\n    { setobj2t(",
        Replace(
            "#define luaV_checkset(L,t)\t\\\n\
             \t{ if (l_unlikely(isshared(gcvalue(t)))) luaR_refuse(L, t); }\n\n\
             #define luaV_finishfastset(L,t,slot,v) \\\n    { luaV_checkset(L,t); setobj2t(",
        ),
    ),
    edit(
        "lvm.c",
        "        sethvalue2s(L, L->top.p, h);  /* anchor 't' */\n",
        Before("        luaV_checkset(L, t);\n"),
    ),
    edit(
        "lvm.c",
        "      GCObject *h = gcvalue(t);\n      setobj2t(L, cast(TValue *,slot), val);\n",
        Replace(
            "      GCObject *h = gcvalue(t);\n      luaV_checkset(L, t);\n\
             \u{20}     setobj2t(L, cast(TValue *,slot), val);\n",
        ),
    ),
    edit(
        "lvm.c",
        "void luaV_execute (lua_State *L, CallInfo *ci) {\n",
        Before(
            "/* in the interpreter the message names the variable, which takes the position */\n\
             #undef luaV_checkset\n\
             #define luaV_checkset(L,t)\t\\\n\
             \t{ if (l_unlikely(isshared(gcvalue(t)))) { savestate(L,ci); luaR_refuse(L, t); } }\n\n",
        ),
    ),
];

/// Only in 5.5.
const EDITS_55: &[Edit] = &[
    edit(
        "llex.c",
        "    ts->extra = cast_byte(i+1);  /* reserved word */\n",
        Replace(
            "#if LUA_COMPAT_GLOBAL\n    if (i + FIRST_RESERVED == TK_GLOBAL)\n\
             \u{20}     continue;  /* an ordinary name */\n#endif\n\
             \u{20}   luaR_word(ts, cast_byte(i+1));\n",
        ),
    ),
    edit(
        "llex.c",
        "  ls->glbn->extra = 0;  /* mark it as not reserved */\n",
        Replace(""),
    ),
    edit(
        "ldo.c",
        "l_noret luaD_throw (lua_State *L, TStatus errcode) {\n",
        After("  luaR_opening(G(L), 0);\n"),
    ),
    edit("lstate.c", "  g->seed = seed;\n", After("  g->pooling = luaR_join(g->seed);\n")),
    edit(
        "lauxlib.c",
        "LUALIB_API unsigned int luaL_makeseed (lua_State *L) {\n  UNUSED(L);\n  return luai_makeseed();\n",
        Replace(
            "extern unsigned int luaR_seed (unsigned int candidate);\n\n\
             /* without a state, it is the seed of a new one: all have the same */\n\
             LUALIB_API unsigned int luaL_makeseed (lua_State *L) {\n\
             \u{20} unsigned int seed = luai_makeseed();\n  return L != NULL ? seed : luaR_seed(seed);\n",
        ),
    ),
    edit(
        "ltable.c",
        "  *lenhint(t) = hint;\n",
        Before("  if (!isshared(t))\n  "),
    ),
    edit("ltable.c", "    *lenhint(t) = asize;\n", Replace("    newhint(t, asize);\n")),
    edit(
        "lvm.h",
        "#define luaV_fastset(t,k,val,hres,f) \\\n  (hres = (!ttistable(t) ? ",
        Replace(
            "/* a shared table takes values no more than a number does */\n\
             #define luaV_takes(t)\t(ttistable(t) && !isshared(hvalue(t)))\n\n\
             #define luaV_fastset(t,k,val,hres,f) \\\n  (hres = (!luaV_takes(t) ? ",
        ),
    ),
    edit(
        "lvm.h",
        "#define luaV_fastseti(t,k,val,hres) \\\n  if (!ttistable(t)) ",
        Replace("#define luaV_fastseti(t,k,val,hres) \\\n  if (!luaV_takes(t)) "),
    ),
    edit(
        "lvm.c",
        "    if (!ttistable(t))\n      hres = HNOTATABLE;\n",
        Replace("    if (!luaV_takes(t))\n      hres = HNOTATABLE;\n"),
    ),
];
