//! Sets up a Lua state and runs the loader script.
//!
//! All that may raise happens in protected calls, so that an error, running out of memory included, ends
//! this service and nothing else.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use skynet_sys::lua::{self, lua_State};
use skynet_sys::{SkynetContext, skynet_command, skynet_error};

use crate::profile;
use crate::service::{self, Service, registry_key};

/// What [`prepare`] is given. Pointers only: it lies in a frame that an error may jump over.
struct Start {
    service: *const Service,
    loader: *const c_char,
    parameter: *const c_char,
    size: usize,
}

/// Settings of the node that become globals for the loader.
const SETTINGS: [(&CStr, &CStr, Option<&CStr>); 4] = [
    (
        c"LUA_PATH",
        c"lua_path",
        Some(c"./lualib/?.lua;./lualib/?/init.lua"),
    ),
    (c"LUA_CPATH", c"lua_cpath", Some(c"./luaclib/?.so")),
    (c"LUA_SERVICE", c"luaservice", Some(c"./service/?.lua")),
    (c"LUA_PRELOAD", c"preload", None),
];

/// Makes a Lua service of `service`. False: it has failed, and the log says why.
///
/// # Safety
/// The service's own thread, before anything else has used the state. `parameter` has `size` bytes.
pub unsafe fn run(service: &Service, parameter: *const c_char, size: usize) -> bool {
    let state = service.state();
    let context = service.context();
    // SAFETY: outside the protected calls only functions that cannot raise are called: they push values that
    // need no memory on a stack with room for them. `start` lives until the first call is over.
    unsafe {
        let start = Start {
            service,
            loader: setting(context, c"lualoader", Some(c"./lualib/loader.lua")),
            parameter,
            size,
        };
        // Garbage is not worth collecting before the service has its shape. To choose the mode is to collect, which
        // is done soonest while there is little.
        lua::lua_gc(state, lua::LUA_GCSTOP, 0);
        lua::lua_gc(state, lua::LUA_GCGEN, 0, 0);
        lua::lua_pushcfunction(state, traceback);
        lua::lua_pushcfunction(state, prepare);
        lua::lua_pushlightuserdata(state, (&raw const start).cast_mut().cast());
        let mut status = lua::lua_pcall(state, 1, 2, 1);
        if status == lua::LUA_OK && lua::lua_type(state, -2) != lua::LUA_TFUNCTION {
            let format = c"Can't load %s : %s".as_ptr();
            skynet_error(context, format, start.loader, message(state));
            return false;
        }
        if status == lua::LUA_OK {
            status = lua::lua_pcall(state, 1, 0, 1);
        }
        if status == lua::LUA_OK {
            lua::lua_pushcfunction(state, finish);
            status = lua::lua_pcall(state, 0, 0, 1);
        }
        if status != lua::LUA_OK {
            let format = c"lua loader error : %s".as_ptr();
            skynet_error(context, format, message(state));
            return false;
        }
        lua::lua_settop(state, 0);
    }
    true
}

/// The string on top of the stack.
unsafe fn message(state: *mut lua_State) -> *const c_char {
    // SAFETY: `lua_tolstring` allocates only to convert numbers, so it is asked for strings only.
    unsafe {
        if lua::lua_type(state, -1) == lua::LUA_TSTRING {
            lua::lua_tolstring(state, -1, null_mut())
        } else {
            c"(no error message)".as_ptr()
        }
    }
}

/// Message handler: adds a traceback to the error.
unsafe extern "C-unwind" fn traceback(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua with the error object; nothing is owned here.
    unsafe {
        let text = lua::lua_tolstring(state, 1, null_mut());
        if text.is_null() {
            lua::lua_pushstring(state, c"(no error message)".as_ptr());
        } else {
            lua::luaL_traceback(state, state, text, 1);
        }
    }
    1
}

/// A setting of the node, or the default. The core keeps settings for the life of the process.
unsafe fn setting(
    context: *mut SkynetContext,
    key: &CStr,
    default: Option<&'static CStr>,
) -> *const c_char {
    // SAFETY: the service's own context, terminated strings.
    let value = unsafe { skynet_command(context, c"GETENV".as_ptr(), key.as_ptr()) };
    if value.is_null() {
        return default.map_or(null(), CStr::as_ptr);
    }
    value
}

/// Takes a `Start`; returns the loader and its argument, or nil and why it could not be loaded.
unsafe extern "C-unwind" fn prepare(state: *mut lua_State) -> c_int {
    // SAFETY: called by `run` with a `Start`; the frame holds nothing that has to be dropped.
    unsafe {
        let start = lua::lua_touserdata(state, 1).cast::<Start>();
        let service = &*(*start).service;
        open_libraries(state, service);
        for (global, key, default) in SETTINGS {
            lua::lua_pushstring(state, setting(service.context(), key, default));
            lua::lua_setglobal(state, global.as_ptr());
        }
        if lua::luaL_loadfilex(state, (*start).loader, null()) == lua::LUA_OK {
            lua::lua_pushlstring(state, (*start).parameter, (*start).size);
        } else {
            lua::lua_pushnil(state);
            lua::lua_insert(state, -2);
        }
    }
    2
}

unsafe fn open_libraries(state: *mut lua_State, service: &Service) {
    // SAFETY: part of `prepare`. `lua_pushlightuserdata` only keeps the pointers; the service and its
    // context outlive the state.
    unsafe {
        let registry = lua::LUA_REGISTRYINDEX;
        lua::lua_pushlightuserdata(state, (&raw const *service).cast_mut().cast());
        lua::lua_rawsetp(state, registry, registry_key());
        // The environment variables of the process are none of a service's business.
        lua::lua_pushboolean(state, 1);
        lua::lua_setfield(state, registry, c"LUA_NOENV".as_ptr());
        lua::luaL_openlibs(state);

        // The same in all states. Before a script can have replaced it.
        if LOADFILE.get().is_none() {
            lua::lua_getglobal(state, c"loadfile".as_ptr());
            let _ = LOADFILE.set(lua::lua_tocfunction(state, -1)); // somebody else may have been faster
            lua::lua_pop(state, 1);
        }

        lua::lua_getglobal(state, c"coroutine".as_ptr());
        profile::replace_standard(state);

        lua::lua_pushlightuserdata(state, service.context().cast());
        lua::lua_setfield(state, registry, c"skynet_context".as_ptr());

        // Most services have no use for these two.
        lua::lua_getfield(state, registry, c"_PRELOAD".as_ptr());
        lua::lua_insert(state, -2);
        profile::push_open(state);
        lua::lua_setfield(state, -3, c"skynet.profile".as_ptr());
        lua::lua_pop(state, 1);
        lua::lua_pushcfunction(state, open_codecache);
        lua::lua_setfield(state, -2, c"skynet.codecache".as_ptr());
        // All services have use for this one, and a search is slow.
        if let Some(open) = core_module(service.context()) {
            lua::lua_pushcfunction(state, open);
            lua::lua_setfield(state, -2, c"skynet.core".as_ptr());
        }
        lua::lua_settop(state, 1);
    }
}

/// The open function of `skynet.core`, if it is where it usually is: in the module `skynet` of `lua_cpath`. Looked for
/// once in a process, the way that Lua does it; what else there is, Lua finds by itself.
fn core_module(context: *mut SkynetContext) -> Option<lua::lua_CFunction> {
    static FOUND: OnceLock<Option<lua::lua_CFunction>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the service's own context; the core keeps settings for the life of the process.
        let [path, cpath] = [0, 1].map(|at| unsafe {
            let (_, key, default) = SETTINGS[at];
            CStr::from_ptr(setting(context, key, default)).to_str()
        });
        let (path, cpath) = (path.ok()?, cpath.ok()?);
        if readable(path, "skynet/core").is_some() || readable(cpath, "skynet/core").is_some() {
            return None;
        }
        let file = CString::new(readable(cpath, "skynet")?).ok()?;
        // SAFETY: the module is one that a service would load in the same way, and it stays loaded. If the symbol
        // exists it is a Lua function.
        unsafe {
            let module = libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            if module.is_null() {
                return None;
            }
            let found = libc::dlsym(module, c"luaopen_skynet_core".as_ptr());
            (!found.is_null())
                .then(|| std::mem::transmute::<*mut libc::c_void, lua::lua_CFunction>(found))
        }
    })
}

/// The first file of a search path that can be read.
fn readable(path: &str, module: &str) -> Option<String> {
    path.split(';')
        .filter(|pattern| !pattern.is_empty())
        .map(|pattern| pattern.replace('?', module))
        .find(|file| std::fs::File::open(file).is_ok())
}

/// The standard `loadfile`.
static LOADFILE: OnceLock<Option<lua::lua_CFunction>> = OnceLock::new();

/// Lua open function of `skynet.codecache`.
unsafe extern "C-unwind" fn open_codecache(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; nothing is owned here. What the library opens is a table.
    unsafe {
        lua::lua_pushcfunction(state, codecache());
        lua::lua_call(state, 0, 1);
        if let Some(loadfile) = LOADFILE.get().copied().flatten() {
            lua::lua_pushcfunction(state, loadfile);
            lua::lua_setfield(state, -2, c"loadfile".as_ptr());
        }
    }
    1
}

/// The code cache of the executable. One with a stock Lua has none.
fn codecache() -> lua::lua_CFunction {
    // SAFETY: a plain look-up by name; if the symbol exists it is this Lua function.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"luaopen_cache".as_ptr());
        if found.is_null() {
            return no_codecache;
        }
        std::mem::transmute::<*mut libc::c_void, lua::lua_CFunction>(found)
    }
}

/// Stands in for the code cache: there is nothing to clear and no mode to choose.
unsafe extern "C-unwind" fn no_codecache(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn nothing(_: *mut lua_State) -> c_int {
        0
    }
    // SAFETY: called by Lua; nothing is owned here.
    unsafe {
        lua::lua_createtable(state, 0, 3); // with `loadfile`
        for name in [c"clear", c"mode"] {
            lua::lua_pushcfunction(state, nothing);
            lua::lua_setfield(state, -2, name.as_ptr());
        }
    }
    1
}

/// Applies the memory limit that the script may have left in the registry, and lets the collector run.
unsafe extern "C-unwind" fn finish(state: *mut lua_State) -> c_int {
    // SAFETY: called by `run` after `prepare`; the format takes one double.
    unsafe {
        let service = service::find(state);
        let (registry, key) = (lua::LUA_REGISTRYINDEX, c"memlimit".as_ptr());
        if lua::lua_getfield(state, registry, key) == lua::LUA_TNUMBER {
            let limit = lua::lua_tonumber(state, -1);
            lua::lua_pushnil(state);
            lua::lua_setfield(state, registry, key);
            (*service).account.set_limit(limit as usize);
            let format = c"Set memory limit to %.2f M".as_ptr();
            skynet_error((*service).context(), format, limit / (1 << 20) as f64);
        }
        lua::lua_settop(state, 0);
        lua::lua_gc(state, lua::LUA_GCRESTART, 0);
        // A collection is due anyway. Now it finds what the start left behind, and a stack that is longer than the
        // service needs it; and in this mode the next one depends on how much there is after this one.
        if lua::lua_gc(state, lua::LUA_GCINC, 0, 0, 0) == lua::LUA_GCGEN {
            lua::lua_gc(state, lua::LUA_GCGEN, 0, 0);
        }
    }
    0
}
