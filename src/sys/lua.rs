//! What the core wants of the Lua that it carries.

#![allow(unsafe_code)]

unsafe extern "C" {
    /// In `src/lua/codecache.c`.
    safe fn luaR_sharedbytes() -> usize;
}

/// Bytes of compiled files and strings that all Lua states share, in blocks of `malloc`.
pub fn shared() -> usize {
    luaR_sharedbytes()
}
