//! `skynet_env.h`: the environment store (core.md §2.5).

use super::text;
use crate::core::command::set_env_once;
use crate::core::node::NODE;
use std::ffi::{CStr, c_char};

/// The value of `key`, good for the life of the process, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_getenv(key: *const c_char) -> *const c_char {
    // SAFETY: the caller's pointer is what the header says.
    let key = unsafe { text(key) };
    NODE.env.get(key).map_or(std::ptr::null(), CStr::as_ptr)
}

/// Stores copies of both. A key that has a value already ends the process; a NULL value leaves the key
/// unset.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_setenv(key: *const c_char, value: *const c_char) {
    // SAFETY: the caller's pointers are what the header says.
    let (key, value) = unsafe { (text(key), super::optional_text(value)) };
    if let Some(value) = value {
        set_env_once(key, value);
    }
}

/// Prepares the store. It needs no preparation; upstream's start files call this.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_env_init() {}
