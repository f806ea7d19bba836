//! The C functions, one file per header of `include/`, in the header's order.
//!
//! Each function has three steps: check and convert the arguments, call one function of the core,
//! convert the answer. Its comment says what it does with NULL and unknown handles. Pointers are those
//! of the contract: strings end in NUL, message data comes from `malloc`.

#![allow(clippy::missing_safety_doc)] // one rule for all: the pointers are what the header says

pub mod malloc_hook;
pub mod mem_info;
pub mod skynet;
pub mod skynet_daemon;
pub mod skynet_env;
pub mod skynet_handle;
pub mod skynet_harbor;
pub mod skynet_imp;
pub mod skynet_log;
pub mod skynet_main;
pub mod skynet_malloc;
pub mod skynet_module;
pub mod skynet_monitor;
pub mod skynet_mq;
pub mod skynet_server;
pub mod skynet_socket;
pub mod skynet_timer;
pub mod skynetx;
pub mod socket_buffer;
pub mod socket_info;
pub mod socket_server;

use std::ffi::{CStr, c_char};

/// The string behind a pointer; NULL reads as the empty string.
///
/// # Safety
/// `text` is NULL or a C string that lives for `'a`.
unsafe fn text<'a>(text: *const c_char) -> &'a CStr {
    // SAFETY: the caller's promise.
    unsafe { optional_text(text) }.unwrap_or_default()
}

/// The string behind a pointer, or `None` for NULL.
///
/// # Safety
/// As [`text`].
unsafe fn optional_text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}
