//! The Lua module `skynet.profile`: CPU time of coroutines.
//!
//! `resume` and `wrap` take the place of the standard functions. They do the same, and besides they keep the
//! timers of registered coroutines and tell the service which coroutine runs, so that a signal finds it.
//!
//! Every function here is a closure over the service. The timers are in a weak table (coroutine → userdata) in the
//! registry, which most services never need and `start` makes.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;

use skynet_sys::lua::{self, lua_State, lua_upvalueindex};

use crate::service::{self, Service};
use crate::timer::Timer;

const SERVICE: c_int = lua_upvalueindex(1);
/// Of the functions that `wrap` makes.
const COROUTINE: c_int = lua_upvalueindex(2);

/// The standard functions that ours stand in for.
const REPLACED: [&CStr; 2] = [c"resume", c"wrap"];

unsafe extern "C-unwind" {
    // The bindings have it for one of the two Lua versions only.
    fn lua_closethread(state: *mut lua_State, from: *mut lua_State) -> c_int;
}

/// Lua open function. Its upvalues are what `replace_standard` has made: `resume` and `wrap` are the same
/// functions here and there, whatever a script has put into the table `coroutine` since.
unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; nothing is owned here.
    unsafe {
        lua::lua_createtable(state, 0, 4);
        set_functions(state, &[(c"start", start), (c"stop", stop)]);
        for (upvalue, name) in (1..).zip(REPLACED) {
            lua::lua_pushvalue(state, lua_upvalueindex(upvalue));
            lua::lua_setfield(state, -2, name.as_ptr());
        }
    }
    1
}

/// Pushes the open function. After `replace_standard`, with the same table on top and three free slots. May raise.
///
/// # Safety
/// As for `replace_standard`.
pub unsafe fn push_open(state: *mut lua_State) {
    // SAFETY: as the caller promises.
    unsafe {
        let table = lua::lua_gettop(state);
        for name in REPLACED {
            lua::lua_getfield(state, table, name.as_ptr());
        }
        lua::lua_pushcclosure(state, open, REPLACED.len() as c_int);
    }
}

/// Puts `resume` and `wrap` into the table on top of the stack.
///
/// # Safety
/// A state of this module, after `boot` has noted the service, with two free slots. May raise.
pub unsafe fn replace_standard(state: *mut lua_State) {
    // SAFETY: as the caller promises.
    unsafe { set_functions(state, &[(REPLACED[0], resume), (REPLACED[1], wrap)]) };
}

unsafe fn set_functions(state: *mut lua_State, functions: &[(&CStr, lua::lua_CFunction)]) {
    // SAFETY: a table is on top of the stack; the service outlives the state.
    unsafe {
        let service = service::find(state).cast_mut().cast();
        for (name, function) in functions {
            lua::lua_pushlightuserdata(state, service);
            lua::lua_pushcclosure(state, *function, 1);
            lua::lua_setfield(state, -2, name.as_ptr());
        }
    }
}

/// The registry key of the table of timers.
fn timers_key() -> *const c_void {
    static KEY: u8 = 0;
    (&raw const KEY).cast()
}

/// Pushes the table of timers, which is made if there is none.
unsafe fn push_timers(state: *mut lua_State) {
    // SAFETY: called by a Lua function; nothing is owned here.
    unsafe {
        let registry = lua::LUA_REGISTRYINDEX;
        if lua::lua_rawgetp(state, registry, timers_key()) == lua::LUA_TTABLE {
            return;
        }
        lua::lua_pop(state, 1);
        lua::lua_createtable(state, 0, 0);
        lua::lua_createtable(state, 0, 1);
        lua::lua_pushstring(state, c"k".as_ptr());
        lua::lua_setfield(state, -2, c"__mode".as_ptr());
        lua::lua_setmetatable(state, -2);
        lua::lua_pushvalue(state, -1);
        lua::lua_rawsetp(state, registry, timers_key());
        (*service_of(state)).profiled.store(true, Relaxed);
    }
}

/// The service of a function of this module.
unsafe fn service_of(state: *mut lua_State) -> *const Service {
    // SAFETY: the upvalue is there.
    unsafe { lua::lua_touserdata(state, SERVICE).cast() }
}

/// CPU time of this thread in nanoseconds.
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The timer of the coroutine at `index`, NULL if it has none. Valid until Lua code runs. Raises nothing;
/// uses two stack slots.
unsafe fn timer(state: *mut lua_State, index: c_int) -> *mut Timer {
    // SAFETY: once there are timers there is the table. Its values are what `start` puts there, and it keeps them
    // alive. `index` is not relative to the top.
    unsafe {
        if !(*service_of(state)).profiled.load(Relaxed) {
            return null_mut();
        }
        lua::lua_rawgetp(state, lua::LUA_REGISTRYINDEX, timers_key());
        lua::lua_pushvalue(state, index);
        lua::lua_rawget(state, -2);
        let timer = lua::lua_touserdata(state, -1);
        lua::lua_pop(state, 2);
        timer.cast()
    }
}

/// The coroutine that `start` and `stop` are about goes to stack position 1: the argument, or the running one.
unsafe fn coroutine_argument(state: *mut lua_State) {
    // SAFETY: arguments of a Lua function; nothing is owned here.
    unsafe {
        if lua::lua_gettop(state) == 0 {
            lua::lua_pushthread(state);
        } else {
            lua::luaL_checktype(state, 1, lua::LUA_TTHREAD);
            lua::lua_settop(state, 1);
        }
    }
}

/// Is the coroutine between a resume and the next yield?
unsafe fn is_running(state: *mut lua_State, coroutine: *mut lua_State) -> bool {
    let mut frame = std::mem::MaybeUninit::uninit();
    // SAFETY: a coroutine of this state; `lua_getstack` fills `frame` and raises nothing.
    unsafe {
        coroutine == state
            || lua::lua_status(coroutine) == lua::LUA_OK
                && lua::lua_getstack(coroutine, 0, frame.as_mut_ptr()) != 0
    }
}

/// `start([co])`
unsafe extern "C-unwind" fn start(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; nothing is owned here. The userdata has room for a `Timer` and is aligned for it.
    unsafe {
        coroutine_argument(state);
        if !timer(state, 1).is_null() {
            let format = c"Thread %p start profile more than once".as_ptr();
            return lua::luaL_error(state, format, lua::lua_topointer(state, 1));
        }
        let running = is_running(state, lua::lua_tothread(state, 1));
        push_timers(state);
        lua::lua_pushvalue(state, 1);
        let slot = lua::lua_newuserdatauv(state, size_of::<Timer>(), 0);
        slot.cast::<Timer>().write(Timer::new(None));
        lua::lua_rawset(state, -3);
        if running {
            // Last, so that our own work is not counted.
            *slot.cast::<Timer>() = Timer::new(Some(now()));
        }
    }
    0
}

/// `stop([co])` → seconds
unsafe extern "C-unwind" fn stop(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; nothing is owned here.
    unsafe {
        coroutine_argument(state);
        let timer = timer(state, 1);
        if timer.is_null() {
            let message = c"Call profile.start() before profile.stop()".as_ptr();
            return lua::luaL_error(state, message);
        }
        let elapsed = (*timer).elapsed(now());
        push_timers(state);
        lua::lua_pushvalue(state, 1);
        lua::lua_pushnil(state);
        lua::lua_rawset(state, -3);
        lua::lua_pushnumber(state, elapsed as f64 / 1e9);
    }
    1
}

/// Resumes `coroutine`, which is also the value at `index`, with the `arguments` values on top of the stack.
/// Returns how many results are there instead, or `None` with the error object there.
unsafe fn run(
    state: *mut lua_State,
    coroutine: *mut lua_State,
    index: c_int,
    arguments: c_int,
) -> Option<c_int> {
    // SAFETY: a Lua function calls this with a live coroutine. `lua_resume` comes back whatever happens in
    // the coroutine; the frame holds nothing that has to be dropped.
    unsafe {
        if lua::lua_checkstack(coroutine, arguments) == 0 {
            lua::lua_pushstring(state, c"too many arguments to resume".as_ptr());
            return None;
        }
        let service = service_of(state);
        let before = timer(state, index);
        // A coroutine that runs already cannot be resumed; its timer is left alone.
        let runs_already = !before.is_null() && (*before).running();
        lua::lua_xmove(state, coroutine, arguments);
        if !before.is_null() && !runs_already {
            (*before).enter(now());
        }

        (*service).switch(coroutine);
        let mut results = 0;
        let status = lua::lua_resume(coroutine, state, arguments, &mut results);
        (*service).switch(state);

        // Look again: the coroutine may have stopped its timer, or started one.
        let after = timer(state, index);
        if !after.is_null() && (*after).running() && !runs_already {
            (*after).leave(now());
        }
        if status != lua::LUA_OK && status != lua::LUA_YIELD {
            lua::lua_xmove(coroutine, state, 1);
            return None;
        }
        // One more, for the `true` that `resume` adds.
        if lua::lua_checkstack(state, results + 1) == 0 {
            lua::lua_pop(coroutine, results);
            lua::lua_pushstring(state, c"too many results to resume".as_ptr());
            return None;
        }
        lua::lua_xmove(coroutine, state, results);
        Some(results)
    }
}

/// `resume(co, ...)`
unsafe extern "C-unwind" fn resume(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; nothing is owned here.
    unsafe {
        lua::luaL_checktype(state, 1, lua::LUA_TTHREAD);
        let coroutine = lua::lua_tothread(state, 1);
        let arguments = lua::lua_gettop(state) - 1;
        let results = run(state, coroutine, 1, arguments);
        let count = results.unwrap_or(1) + 1;
        lua::lua_pushboolean(state, c_int::from(results.is_some()));
        lua::lua_insert(state, -count);
        count
    }
}

/// `wrap(f)`
unsafe extern "C-unwind" fn wrap(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; nothing is owned here.
    unsafe {
        lua::luaL_checktype(state, 1, lua::LUA_TFUNCTION);
        lua::lua_pushvalue(state, SERVICE);
        let coroutine = lua::lua_newthread(state);
        lua::lua_pushvalue(state, 1);
        lua::lua_xmove(state, coroutine, 1);
        lua::lua_pushcclosure(state, call_wrapped, 2);
    }
    1
}

/// What `wrap` returns: resumes its coroutine and passes errors on.
unsafe extern "C-unwind" fn call_wrapped(state: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; nothing is owned here.
    unsafe {
        let coroutine = lua::lua_tothread(state, COROUTINE);
        let arguments = lua::lua_gettop(state);
        match run(state, coroutine, COROUTINE, arguments) {
            Some(results) => results,
            None => {
                let out_of_memory = close_failed(state, coroutine) == lua::LUA_ERRMEM;
                if !out_of_memory && lua::lua_type(state, -1) == lua::LUA_TSTRING {
                    lua::luaL_where(state, 1);
                    lua::lua_insert(state, -2);
                    lua::lua_concat(state, 2);
                }
                lua::lua_error(state)
            }
        }
    }
}

/// If it was an error in the coroutine that ended it, closes its pending variables, which may change the
/// error object on top of the stack. Returns how the coroutine stands.
unsafe fn close_failed(state: *mut lua_State, coroutine: *mut lua_State) -> c_int {
    // SAFETY: as in `run`.
    unsafe {
        let status = lua::lua_status(coroutine);
        if status == lua::LUA_OK || status == lua::LUA_YIELD {
            return status;
        }
        let service = service_of(state);
        (*service).switch(coroutine);
        let status = lua_closethread(coroutine, state);
        (*service).switch(state);
        lua::lua_xmove(coroutine, state, 1);
        status
    }
}
