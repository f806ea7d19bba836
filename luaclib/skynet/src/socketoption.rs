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

impl Kind {
    /// What is allowed, as errors say it.
    fn allowed(&self) -> &'static CStr {
        match self {
            Kind::Boolean => c"true or false",
            Kind::Integer => c"an integer",
            Kind::Seconds => c"a number of seconds",
            Kind::Action => c"'warn', 'pause' or 'close'",
        }
    }

    /// The value at this index as the core wants it, None if it is no such value. Never raises.
    ///
    /// # Safety
    /// `l` is a live Lua state.
    unsafe fn value(&self, l: *mut lua_State, index: c_int) -> Option<i64> {
        let mut is_number = 0;
        // SAFETY: as the caller promises. Only a string is asked for its bytes, so none is converted; they are
        // not kept.
        unsafe {
            match self {
                Kind::Boolean => {
                    (lua_type(l, index) == LUA_TBOOLEAN).then(|| lua_toboolean(l, index).into())
                }
                Kind::Integer => {
                    let value = lua_tointegerx(l, index, &mut is_number);
                    (is_number != 0).then_some(value)
                }
                Kind::Seconds => {
                    let seconds = lua_tonumberx(l, index, &mut is_number);
                    (is_number != 0).then(|| milliseconds(seconds))
                }
                Kind::Action if lua_type(l, index) == LUA_TSTRING => {
                    let given = CStr::from_ptr(lua_tolstring(l, index, ptr::null_mut()));
                    let number = ACTIONS.iter().position(|action| *action == given)?;
                    Some(number as i64)
                }
                Kind::Action => None,
            }
        }
    }
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
struct Names([*const c_char; OPTIONS.len() + 1]);

// SAFETY: pointers to string literals.
unsafe impl Sync for Names {}

static OPTION_NAMES: Names = {
    let mut names = [ptr::null(); OPTIONS.len() + 1];
    let mut i = 0;
    while i < OPTIONS.len() {
        names[i] = OPTIONS[i].0.as_ptr();
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

/// Raises the error for a value that an option never takes.
///
/// # Safety
/// `l` is a live Lua state with two free slots, the value its argument 3. Raises.
#[cold]
unsafe fn wrong_value(l: *mut lua_State, name: &CStr, kind: &Kind) -> ! {
    // SAFETY: as the caller promises; the texts are literals, the name of a type, or on the stack.
    unsafe {
        let given = match lua_type(l, 3) {
            LUA_TSTRING => {
                lua_pushfstring(l, c"'%s'".as_ptr(), lua_tolstring(l, 3, ptr::null_mut()))
            }
            LUA_TNUMBER | LUA_TBOOLEAN => luaL_tolstring(l, 3, ptr::null_mut()),
            other => lua_typename(l, other),
        };
        let text = lua_pushfstring(
            l,
            c"%s takes %s, got %s".as_ptr(),
            name.as_ptr(),
            kind.allowed().as_ptr(),
            given,
        );
        luaL_argerror(l, 3, text);
    }
    unreachable!()
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
        let Some(value) = kind.value(l, 3) else {
            wrong_value(l, name, kind);
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
