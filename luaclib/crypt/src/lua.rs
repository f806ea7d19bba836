//! The module as Lua sees it: checks arguments, lets a pure function fill memory of Lua's, raises last.
//!
//! The order of the checks in each function is upstream's, since it decides which message a caller with
//! two wrong arguments gets. All functions here are Lua C functions or parts of one: nothing in their
//! frames owns anything, so that a Lua error may jump over them.

use core::ffi::{CStr, c_int};
use core::mem::MaybeUninit;
use core::slice;

use skynet_sys::lua::{self, lua_Integer, lua_State};

use crate::des_ecb::{self, Padding};
use crate::{Error, code, dh, hash};

const FUNCTIONS: [(&CStr, lua::lua_CFunction); 16] = [
    (c"base64decode", base64decode),
    (c"base64encode", base64encode),
    (c"desdecode", desdecode),
    (c"desencode", desencode),
    (c"dhexchange", dhexchange),
    (c"dhsecret", dhsecret),
    (c"hashkey", hashkey),
    (c"hexdecode", hexdecode),
    (c"hexencode", hexencode),
    (c"hmac64", hmac64),
    (c"hmac64_md5", hmac64_md5),
    (c"hmac_hash", hmac_hash),
    (c"hmac_sha1", hmac_sha1),
    (c"randomkey", randomkey),
    (c"sha1", sha1),
    (c"xor_str", xor_str),
];

/// Pushes the module's table; the body of `luaopen_skynet_crypt` and `luaopen_client_crypt`.
///
/// # Safety
/// `state` is a live Lua state, and a Lua error may jump over the caller.
pub unsafe fn open(state: *mut lua_State) -> c_int {
    // What lua.h calls LUA_VERSION_NUM and lauxlib.h LUAL_NUMSIZES: refuses a host with another Lua.
    const VERSION: lua::lua_Number = if cfg!(feature = "lua55") {
        505.0
    } else {
        504.0
    };
    const SIZES: usize = size_of::<lua_Integer>() * 16 + size_of::<lua::lua_Number>();
    // SAFETY: a live state by contract; at most three of a C function's twenty stack slots are used.
    unsafe {
        lua::luaL_checkversion_(state, VERSION, SIZES);
        lua::lua_createtable(state, 0, FUNCTIONS.len() as c_int + 1);
        for (name, function) in FUNCTIONS {
            lua::lua_pushcclosure(state, function, 0);
            lua::lua_setfield(state, -2, name.as_ptr());
        }
        lua::lua_createtable(state, 0, des_ecb::PADDINGS.len() as c_int);
        for (name, _, number) in des_ecb::PADDINGS {
            lua::lua_pushinteger(state, number.into());
            lua::lua_setfield(state, -2, name.as_ptr());
        }
        lua::lua_setfield(state, -2, c"padding".as_ptr());
    }
    1
}

unsafe extern "C-unwind" fn hexencode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let data = string(state, 1);
        build(state, data.len() * 2, |out| {
            code::hex_encode(data, out);
            Ok(out.len())
        })
    }
}

unsafe extern "C-unwind" fn hexdecode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let text = string(state, 1);
        build(state, text.len() / 2, |out| code::hex_decode(text, out))
    }
}

unsafe extern "C-unwind" fn base64encode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let data = string(state, 1);
        build(state, code::base64_encoded_len(data.len()), |out| {
            Ok(code::base64_encode(data, out))
        })
    }
}

unsafe extern "C-unwind" fn base64decode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let text = string(state, 1);
        build(state, code::base64_decoded_max(text.len()), |out| {
            code::base64_decode(text, out)
        })
    }
}

unsafe extern "C-unwind" fn hashkey(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { push(state, &hash::hashkey(string(state, 1))) }
}

unsafe extern "C-unwind" fn randomkey(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { push(state, &check(state, hash::random_key())) }
}

unsafe extern "C-unwind" fn desencode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let key = check(state, des_ecb::key(string(state, 1)));
        let text = string(state, 2);
        let padding = padding(state, 3);
        build(state, des_ecb::encoded_len(text.len()), |out| {
            des_ecb::encode(key, text, padding, out);
            Ok(out.len())
        })
    }
}

unsafe extern "C-unwind" fn desdecode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let key = check(state, des_ecb::key(string(state, 1)));
        let cipher = string(state, 2);
        check(state, des_ecb::check_cipher_len(cipher.len()));
        let padding = padding(state, 3);
        build(state, cipher.len(), |out| {
            des_ecb::decode(key, cipher, padding, out)
        })
    }
}

unsafe extern "C-unwind" fn dhexchange(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let x = number(state, 1, c"Invalid dh uint64 key");
        push(state, &check(state, dh::exchange(x)).to_le_bytes())
    }
}

unsafe extern "C-unwind" fn dhsecret(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let (x, y) = two_numbers(state);
        push(state, &check(state, dh::secret(x, y)).to_le_bytes())
    }
}

unsafe extern "C-unwind" fn hmac64(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let (x, y) = two_numbers(state);
        push(state, &hash::hmac64(x, y))
    }
}

unsafe extern "C-unwind" fn hmac64_md5(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let (x, y) = two_numbers(state);
        push(state, &hash::hmac64_md5(x, y))
    }
}

unsafe extern "C-unwind" fn hmac_hash(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let key = number(state, 1, c"Invalid uint64 key");
        push(state, &hash::hmac_hash(key, string(state, 2)))
    }
}

/// `sha1(s)`; also exported as the C symbol `lsha1`.
///
/// # Safety
/// `state` is a live Lua state, and a Lua error may jump over the caller.
pub unsafe extern "C-unwind" fn sha1(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe { push(state, &hash::sha1(string(state, 1))) }
}

/// `hmac_sha1(key, text)`; also exported as the C symbol `lhmac_sha1`.
///
/// # Safety
/// `state` is a live Lua state, and a Lua error may jump over the caller.
pub unsafe extern "C-unwind" fn hmac_sha1(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let key = string(state, 1);
        push(state, &hash::hmac_sha1(key, string(state, 2)))
    }
}

unsafe extern "C-unwind" fn xor_str(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls this with a live state.
    unsafe {
        let data = string(state, 1);
        let key = string(state, 2);
        build(state, data.len(), |out| {
            hash::xor(data, key, out)?;
            Ok(out.len())
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

/// An argument of exactly eight bytes, read as a little-endian number.
///
/// # Safety
/// `state` is live.
unsafe fn number(state: *mut lua_State, arg: c_int, message: &'static CStr) -> u64 {
    // SAFETY: a live state by contract.
    let bytes = unsafe { string(state, arg) };
    match bytes.try_into() {
        Ok(bytes) => u64::from_le_bytes(bytes),
        // SAFETY: a live state by contract.
        Err(_) => unsafe { raise(state, message, 0) },
    }
}

/// The two numbers that most functions of this module take.
///
/// # Safety
/// `state` is live.
unsafe fn two_numbers(state: *mut lua_State) -> (u64, u64) {
    // SAFETY: a live state by contract.
    unsafe {
        let x = number(state, 1, c"Invalid uint64 x");
        let y = number(state, 2, c"Invalid uint64 y");
        (x, y)
    }
}

/// The optional padding argument. Wider integers are narrowed, as upstream does.
///
/// # Safety
/// `state` is live.
unsafe fn padding(state: *mut lua_State, arg: c_int) -> Padding {
    // SAFETY: a live state by contract.
    unsafe {
        let number = lua::luaL_optinteger(state, arg, 0) as i32;
        check(state, Padding::from_number(number))
    }
}

/// Pushes a result of fixed size.
///
/// # Safety
/// `state` is live.
unsafe fn push(state: *mut lua_State, bytes: &[u8]) -> c_int {
    // SAFETY: a live state by contract; Lua copies the bytes.
    unsafe { lua::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len()) };
    1
}

/// Pushes a string that `fill` writes into up to `room` bytes of Lua's memory; `fill` returns its length.
///
/// # Safety
/// `state` is live. `fill` calls no Lua function.
unsafe fn build(
    state: *mut lua_State,
    room: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<usize, Error>,
) -> c_int {
    let mut buffer = MaybeUninit::uninit();
    // SAFETY: the buffer stays in this frame while Lua uses it. Lua gives `room` bytes, which are zeroed
    // before Rust sees them as a slice, and the slice is gone when Lua takes the buffer back.
    unsafe {
        let data = lua::luaL_buffinitsize(state, buffer.as_mut_ptr(), room).cast::<u8>();
        data.write_bytes(0, room);
        let filled = fill(slice::from_raw_parts_mut(data, room));
        let len = check(state, filled);
        lua::luaL_pushresultsize(buffer.as_mut_ptr(), len);
    }
    1
}

/// The value, or the error raised in Lua.
///
/// # Safety
/// `state` is live. `T` owns nothing.
unsafe fn check<T: Copy>(state: *mut lua_State, result: Result<T, Error>) -> T {
    let error = match result {
        Ok(value) => return value,
        Err(error) => error,
    };
    let (message, number) = match error {
        Error::HexLength(len) => (c"Invalid hex text size %I", len as lua_Integer),
        Error::HexDigit => (c"Invalid hex text", 0),
        Error::Base64 => (c"Invalid base64 text", 0),
        Error::KeyLength(len) => (c"Invalid key size %I, need 8 bytes", len as lua_Integer),
        Error::PaddingMode(mode) => (c"Invalid padding mode %I", mode.into()),
        Error::CipherLength(len) => (c"Invalid des crypt text length %I", len as lua_Integer),
        Error::CipherText => (c"Invalid des crypt text", 0),
        Error::Zero => (c"Can't be 0", 0),
        Error::EmptyKey => (c"Can't xor empty string", 0),
        Error::Random => (c"No random bytes from the system", 0),
    };
    // SAFETY: a live state by contract; the messages hold at most one `%I`.
    unsafe { raise(state, message, number) }
}

/// Raises a Lua error with the caller's position.
///
/// # Safety
/// `state` is live. `format` holds at most one conversion, `%I`, which stands for `number`.
unsafe fn raise(state: *mut lua_State, format: &'static CStr, number: lua_Integer) -> ! {
    // SAFETY: a live state and a matching format by contract.
    unsafe { lua::luaL_error(state, format.as_ptr(), number) };
    unreachable!("luaL_error does not return")
}
