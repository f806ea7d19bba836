//! The Lua module `md5.core` (luaclib.md §20): MD5, XOR of strings, and a stream cipher made of MD5.
//!
//! Lua code requires `md5`, which is `lualib/md5.lua` on top of this. The functions here are Lua C functions:
//! nothing in their frames owns anything, so that a Lua error may jump over them.

mod cfb;

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::slice;
use std::time::UNIX_EPOCH;

use md5::{Digest, Md5};
use skynet_sys::lua::{self, lua_State};

use cfb::{BLOCK, Cfb, KEY_MAX};

const FUNCTIONS: [(&CStr, lua::lua_CFunction); 4] = [
    (c"crypt", crypt),
    (c"decrypt", decrypt),
    (c"exor", exor),
    (c"sum", sum),
];

/// What `luaL_checkversion` passes: refuses a host with another Lua than this was built for.
const LUA_VERSION: lua::lua_Number = if cfg!(feature = "lua55") {
    505.0
} else {
    504.0
};
const NUMBER_SIZES: usize = size_of::<lua::lua_Integer>() * 16 + size_of::<lua::lua_Number>();

/// Facts about the module that scripts may print.
const TEXTS: [(&CStr, &CStr); 3] = [
    (c"_COPYRIGHT", c"Copyright (C) 2003-2013 PUC-Rio"),
    (c"_DESCRIPTION", c"Basic cryptographic facilities"),
    (c"_VERSION", c"MD5 1.2"),
];

/// Opens `md5.core`.
///
/// # Safety
/// Called by Lua with a live state.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn luaopen_md5_core(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state; at most two stack slots are used.
    unsafe {
        lua::luaL_checkversion_(state, LUA_VERSION, NUMBER_SIZES);
        lua::lua_createtable(state, 0, (FUNCTIONS.len() + TEXTS.len()) as c_int);
        for (name, function) in FUNCTIONS {
            lua::lua_pushcclosure(state, function, 0);
            lua::lua_setfield(state, -2, name.as_ptr());
        }
        for (name, text) in TEXTS {
            lua::lua_pushstring(state, text.as_ptr());
            lua::lua_setfield(state, -2, name.as_ptr());
        }
    }
    1
}

/// `sum(s)`: the digest, 16 bytes.
unsafe extern "C-unwind" fn sum(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state, and copies the digest.
    unsafe {
        let digest: [u8; 16] = Md5::digest(string(state, 1)).into();
        lua::lua_pushlstring(state, digest.as_ptr().cast(), digest.len());
    }
    1
}

/// `exor(a, b)`: XOR of two strings of the same length.
unsafe extern "C-unwind" fn exor(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let a = string(state, 1);
        let b = string(state, 2);
        if a.len() != b.len() {
            return lua::luaL_argerror(state, 2, c"lengths must be equal".as_ptr());
        }
        build(state, a.len(), |out| cfb::exor(a, b, out))
    }
}

/// `crypt(message, key [, seed])`: length byte of the seed, seed, cipher text.
unsafe extern "C-unwind" fn crypt(state: *mut lua_State) -> c_int {
    // A clock set before 1970 gives seed 0: the seed need not be secret, only not the same each time.
    let seconds = UNIX_EPOCH.elapsed().map_or(0, |passed| passed.as_secs());
    let now = seconds.to_le_bytes();
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let message = string(state, 1);
        // An explicit nil is no default: upstream refuses it, so a lost seed shows.
        let seed = if lua::lua_type(state, 3) == lua::LUA_TNONE {
            &now[..]
        } else {
            string(state, 3)
        };
        if seed.len() > BLOCK {
            return lua::luaL_error(state, c"seed too long (> %d)".as_ptr(), BLOCK as c_int);
        }
        let key = key(state, 2);
        build(state, 1 + seed.len() + message.len(), |out| {
            out[0] = seed.len() as u8;
            let (head, cipher) = out[1..].split_at_mut(seed.len());
            head.copy_from_slice(seed);
            Cfb::new(seed, key).encrypt(message, cipher);
        })
    }
}

/// `decrypt(cypher, key)`: the message that `crypt` took.
unsafe extern "C-unwind" fn decrypt(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let Some((seed, cipher)) = cfb::split(string(state, 1)) else {
            return lua::luaL_argerror(state, 1, c"invalid cyphered string".as_ptr());
        };
        let key = key(state, 2);
        build(state, cipher.len(), |out| {
            Cfb::new(seed, key).decrypt(cipher, out);
        })
    }
}

/// The bytes of a string argument; a number is converted in place, as everywhere in Lua.
///
/// # Safety
/// `state` is live; the slice may be used while the argument stays on the stack.
unsafe fn string<'a>(state: *mut lua_State, arg: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: a live state by contract; Lua keeps `len` bytes at the address while the string lives.
    unsafe {
        let data = lua::luaL_checklstring(state, arg, &mut len);
        slice::from_raw_parts(data.cast(), len)
    }
}

/// A key argument.
///
/// # Safety
/// As [`string`].
unsafe fn key<'a>(state: *mut lua_State, arg: c_int) -> &'a [u8] {
    // SAFETY: the caller's contract; the message takes one int.
    unsafe {
        let key = string(state, arg);
        if key.len() > KEY_MAX {
            lua::luaL_error(state, c"key too long (> %d)".as_ptr(), KEY_MAX as c_int);
        }
        key
    }
}

/// Pushes a string of `len` bytes that `fill` writes into Lua's memory.
///
/// # Safety
/// `state` is live. `fill` calls no Lua function.
unsafe fn build(state: *mut lua_State, len: usize, fill: impl FnOnce(&mut [u8])) -> c_int {
    let mut buffer = MaybeUninit::uninit();
    // SAFETY: the buffer stays in this frame while Lua uses it. Lua gives `len` bytes, which are zeroed
    // before Rust sees them as a slice, and the slice is gone when Lua takes the buffer back.
    unsafe {
        let data = lua::luaL_buffinitsize(state, buffer.as_mut_ptr(), len).cast::<u8>();
        data.write_bytes(0, len);
        fill(slice::from_raw_parts_mut(data, len));
        lua::luaL_pushresultsize(buffer.as_mut_ptr(), len);
    }
    1
}
