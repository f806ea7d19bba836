//! `skynet.crypt` (luaclib.md §7): the exported names; the module itself is the crate `skynet-crypt`, which
//! `client.so` carries too.

use core::ffi::c_int;

use skynet_sys::lua::lua_State;

/// Opens `skynet.crypt`.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_skynet_crypt(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { skynet_crypt::lua::open(state) }
}

/// The same module under the name that `client.so` uses.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_client_crypt(state: *mut lua_State) -> c_int {
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
