//! `option` of `skynet.socketdriver`: the socket options that our core has beside upstream's interface.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem;
use core::ptr;
use std::sync::OnceLock;

use skynet_sys::lua::*;

use crate::luax::{check_int, raise};

/// `skynetx_socket_option`: 0, or -1 when it refuses.
type OptionFn = unsafe extern "C" fn(id: c_int, option: c_int, value: i64) -> c_int;

/// Looked up by name, so that this object loads where it is absent.
fn core_function() -> Option<OptionFn> {
    static FOUND: OnceLock<Option<OptionFn>> = OnceLock::new();
    // SAFETY: if the function exists it is the one that skynetx.h declares. A null pointer is None.
    *FOUND.get_or_init(|| unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"skynetx_socket_option".as_ptr());
        mem::transmute::<*mut c_void, Option<OptionFn>>(found)
    })
}

/// What a script gives for an option.
enum Kind {
    Boolean,
    Integer,
    /// Seconds, with fractions; the core has milliseconds.
    Seconds,
    /// One of [`ACTIONS`].
    Action,
}

/// Names that scripts use, the numbers of `skynetx.h`, and what values they take.
const OPTIONS: [(&CStr, c_int, Kind); 8] = [
    (c"nodelay", 1, Kind::Boolean),
    (c"write_limit", 2, Kind::Integer),
    (c"write_action", 3, Kind::Action),
    (c"idle", 4, Kind::Seconds),
    (c"keepalive_idle", 5, Kind::Integer),
    (c"keepalive_interval", 6, Kind::Integer),
    (c"keepalive_count", 7, Kind::Integer),
    (c"connect", 8, Kind::Seconds),
];

/// In the order of their numbers.
const ACTIONS: [&CStr; 3] = [c"warn", c"pause", c"close"];

/// Names for `luaL_checkoption`, which wants a NULL behind the last.
struct Names<const N: usize>([*const c_char; N]);

// SAFETY: pointers to string literals.
unsafe impl<const N: usize> Sync for Names<N> {}

static OPTION_NAMES: Names<9> = {
    let mut names = [ptr::null(); 9];
    let mut i = 0;
    while i < OPTIONS.len() {
        names[i] = OPTIONS[i].0.as_ptr();
        i += 1;
    }
    Names(names)
};

static ACTION_NAMES: Names<4> = {
    let mut names = [ptr::null(); 4];
    let mut i = 0;
    while i < ACTIONS.len() {
        names[i] = ACTIONS[i].as_ptr();
        i += 1;
    }
    Names(names)
};

/// Milliseconds for seconds. What is above zero stays so, since zero means no limit; what is no number of
/// seconds becomes something that the core refuses.
fn milliseconds(seconds: f64) -> i64 {
    if seconds >= 0.0 {
        (seconds * 1000.0).ceil() as i64
    } else {
        -1
    }
}

/// `option(id, name, value)`: true, or false and a reason.
pub unsafe extern "C-unwind" fn option(l: *mut lua_State) -> c_int {
    // SAFETY: called by Lua; four slots. The names are on the stack or literals.
    unsafe {
        let id = check_int(l, 1);
        let which = luaL_checkoption(l, 2, ptr::null(), OPTION_NAMES.0.as_ptr());
        let Some((name, number, kind)) = OPTIONS.get(which as usize) else {
            raise!(l, c"unknown option");
        };
        let value = match kind {
            Kind::Boolean => {
                luaL_checktype(l, 3, LUA_TBOOLEAN);
                lua_toboolean(l, 3).into()
            }
            Kind::Integer => luaL_checkinteger(l, 3),
            Kind::Seconds => milliseconds(luaL_checknumber(l, 3)),
            Kind::Action => luaL_checkoption(l, 3, ptr::null(), ACTION_NAMES.0.as_ptr()).into(),
        };
        let Some(set) = core_function() else {
            lua_pushboolean(l, 0);
            lua_pushstring(l, c"this core has no socket options".as_ptr());
            return 2;
        };
        if set(id, *number, value) == 0 {
            lua_pushboolean(l, 1);
            return 1;
        }
        let value = luaL_tolstring(l, 3, ptr::null_mut());
        lua_pushboolean(l, 0);
        lua_pushfstring(
            l,
            c"socket %d does not take %s = %s".as_ptr(),
            id,
            name.as_ptr(),
            value,
        );
    }
    2
}
