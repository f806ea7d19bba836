//! `malloc_hook.h`: memory statistics and the allocator's controls (core.md §9.3, without jemalloc
//! §9.6).

use super::text;
use crate::core;
use crate::core::memory;
use mlua_sys as lua;
use std::ffi::{c_char, c_int};

/// Bytes in use in the process, of the blocks that its malloc family gave out.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_used_memory() -> usize {
    memory::used()
}

/// Blocks in use in the process.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_memory_block() -> usize {
    memory::blocks()
}

/// Bytes in use by the service that runs on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_current_memory() -> usize {
    memory::of(core::current_handle())
}

/// Logs what every service uses.
#[unsafe(no_mangle)]
pub extern "C" fn dump_c_mem() {
    memory::dump();
}

/// A Lua C function: pushes a table from handle to bytes.
///
/// # Safety
/// `state` is a Lua state with a free stack slot, as in every C function that Lua calls.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn dump_mem_lua(state: *mut lua::lua_State) -> c_int {
    // SAFETY: three slots at most; nothing here owns anything when a memory error leaves the frame.
    unsafe {
        lua::lua_createtable(state, 0, 0);
        for (handle, bytes) in memory::accounts() {
            lua::lua_pushinteger(state, bytes as lua::lua_Integer);
            lua::lua_rawseti(state, -2, handle.into());
        }
    }
    1
}

#[cfg(feature = "jemalloc")]
mod control {
    use super::*;
    use crate::sys::alloc;
    use std::ffi::CStr;

    /// Prints the allocator's statistics on stderr; `opts` (or NULL) is jemalloc's.
    ///
    /// # Safety
    /// `opts` is NULL or a C string.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn memory_info_dump(opts: *const c_char) {
        // SAFETY: the caller's promise.
        let opts = (!opts.is_null()).then(|| unsafe { CStr::from_ptr(opts) });
        alloc::print_stats(opts);
    }

    /// Reads a control of jemalloc of type `size_t` and, when `newval` is not NULL, sets it. Answers
    /// the value read, 0 for an unknown name.
    ///
    /// # Safety
    /// `name` is NULL or a C string, `newval` NULL or valid.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_int64(name: *const c_char, newval: *mut usize) -> usize {
        // SAFETY: the caller's promise.
        let (name, new) = unsafe { (text(name), newval.as_ref().copied()) };
        alloc::control(name, new).0
    }

    /// As [`mallctl_int64`] for controls of type `int`; logs whether setting it worked.
    ///
    /// # Safety
    /// As [`mallctl_int64`].
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_opt(name: *const c_char, newval: *mut c_int) -> c_int {
        // SAFETY: the caller's promise.
        let (name, new) = unsafe { (text(name), newval.as_ref().copied()) };
        let (old, code) = alloc::control(name, new);
        if let Some(new) = new {
            let name = name.to_string_lossy();
            if code == 0 {
                core::log(
                    0,
                    format_args!("set new value({new}) for ({name}) succeed\n"),
                );
            } else {
                core::log(
                    0,
                    format_args!("set new value({new}) for ({name}) failed: error -> {code}\n"),
                );
            }
        }
        old
    }

    /// As [`mallctl_int64`] for controls of type `bool`.
    ///
    /// # Safety
    /// As [`mallctl_int64`].
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_bool(name: *const c_char, newval: *mut bool) -> bool {
        // A byte, since the control may turn out not to be a boolean.
        // SAFETY: the caller's promise.
        let (name, new) = unsafe { (text(name), newval.cast::<u8>().as_ref().copied()) };
        alloc::control(name, new).0 != 0
    }

    /// Triggers a control that has no value: 0, or the allocator's error number.
    ///
    /// # Safety
    /// `name` is NULL or a C string.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_cmd(name: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        alloc::trigger(unsafe { text(name) })
    }
}

/// Without jemalloc there is nothing to control; every call says so in the log.
///
/// cbindgen:ignore
#[cfg(not(feature = "jemalloc"))]
mod control {
    use super::*;

    /// # Safety
    /// `name` is NULL or a C string.
    unsafe fn refuse(function: &str, name: *const c_char) {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name) }.to_string_lossy();
        core::log(0, format_args!("No jemalloc : {function} {name}."));
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn memory_info_dump(opts: *const c_char) {
        let _ = opts;
        core::log(0, format_args!("No jemalloc"));
    }

    /// # Safety
    /// `name` is NULL or a C string.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_int64(name: *const c_char, newval: *mut usize) -> usize {
        let _ = newval;
        // SAFETY: the caller's promise.
        unsafe { refuse("mallctl_int64", name) };
        0
    }

    /// # Safety
    /// `name` is NULL or a C string.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_opt(name: *const c_char, newval: *mut c_int) -> c_int {
        let _ = newval;
        // SAFETY: the caller's promise.
        unsafe { refuse("mallctl_opt", name) };
        0
    }

    /// # Safety
    /// `name` is NULL or a C string.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_bool(name: *const c_char, newval: *mut bool) -> bool {
        let _ = newval;
        // SAFETY: the caller's promise.
        unsafe { refuse("mallctl_bool", name) };
        false
    }

    /// # Safety
    /// `name` is NULL or a C string.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn mallctl_cmd(name: *const c_char) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { refuse("mallctl_cmd", name) };
        0
    }
}

pub use control::*;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::{null, null_mut};

    #[test]
    fn accounts_as_a_lua_table() {
        // A handle that is not 0, whether or not a test beside this one has started the node.
        core::init_thread(2);
        let charge = memory::allocated(123_456_789, 0);
        // SAFETY: a fresh state with room for what is pushed.
        let bytes = unsafe {
            let state = lua::luaL_newstate();
            lua::lua_pushcfunction(state, dump_mem_lua);
            lua::lua_call(state, 0, 1);
            assert_eq!(lua::lua_type(state, -1), lua::LUA_TTABLE);
            lua::lua_rawgeti(state, -1, charge.handle.into());
            let bytes = lua::lua_tointeger(state, -1);
            lua::lua_close(state);
            bytes
        };
        assert!(bytes >= 123_456_789, "{bytes}");
        memory::freed(charge, 123_456_789, 0);
    }

    #[cfg(feature = "jemalloc")]
    #[test]
    fn controls_answer_what_they_were() {
        // SAFETY: C strings and valid places.
        unsafe {
            let mut one = 1usize;
            let before = mallctl_int64(c"epoch".as_ptr(), &mut one);
            assert!(mallctl_int64(c"epoch".as_ptr(), null_mut()) >= before);
            assert!(mallctl_int64(c"stats.allocated".as_ptr(), null_mut()) > 0);
            assert_eq!(mallctl_int64(c"no.such".as_ptr(), null_mut()), 0);
            assert_eq!(mallctl_int64(null(), null_mut()), 0);
            assert!(mallctl_opt(c"opt.narenas".as_ptr(), null_mut()) > 0);
            let mut five = 5;
            // Read-only: refused, and then nothing is read either.
            assert_eq!(mallctl_opt(c"opt.narenas".as_ptr(), &mut five), 0);
            assert!(mallctl_bool(c"config.stats".as_ptr(), null_mut()));
            assert!(!mallctl_bool(c"no.such".as_ptr(), null_mut()));
            // Of another type: some truth, but no harm.
            mallctl_bool(c"stats.allocated".as_ptr(), null_mut());
            let mut flag = true;
            let before = mallctl_bool(c"thread.tcache.enabled".as_ptr(), &mut flag);
            assert!(mallctl_bool(c"thread.tcache.enabled".as_ptr(), null_mut()));
            flag = before;
            mallctl_bool(c"thread.tcache.enabled".as_ptr(), &mut flag);
            assert_eq!(mallctl_cmd(c"thread.tcache.flush".as_ptr()), 0);
            assert_eq!(mallctl_cmd(c"no.such".as_ptr()), libc::ENOENT);
        }
    }

    #[cfg(not(feature = "jemalloc"))]
    #[test]
    fn without_jemalloc_everything_is_zero() {
        // SAFETY: C strings and null places.
        unsafe {
            assert_eq!(mallctl_int64(c"epoch".as_ptr(), null_mut()), 0);
            assert_eq!(mallctl_opt(c"opt.narenas".as_ptr(), null_mut()), 0);
            assert!(!mallctl_bool(c"prof.active".as_ptr(), null_mut()));
            assert_eq!(mallctl_cmd(null()), 0);
        }
        memory_info_dump(null());
    }
}
