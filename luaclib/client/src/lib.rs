//! `client.so`: what a test client needs in a plain Lua interpreter, outside of the framework.
//!
//! * `client.socket` (luaclib.md §19): one TCP connection, polled, and lines typed on standard input.
//! * `client.crypt` (luaclib.md §7): the same module as `skynet.crypt`; see the crate `skynet-crypt`.

mod input;
mod socket;

use core::ffi::c_int;

use skynet_sys::lua::lua_State;

/// Opens `client.socket`.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_client_socket(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { socket::open(state) }
}

/// Opens `client.crypt`.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_client_crypt(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { skynet_crypt::lua::open(state) }
}

/// The same module under the name that `skynet.so` uses.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_crypt(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { skynet_crypt::lua::open(state) }
}

/// `sha1` as a Lua C function for other C modules.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lsha1(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { skynet_crypt::lua::sha1(state) }
}

/// `hmac_sha1` as a Lua C function for other C modules.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lhmac_sha1(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { skynet_crypt::lua::hmac_sha1(state) }
}
