//! `skynet_log.h`: message logs on C streams (core.md §10.3). The node's own logs are in
//! `core/context.rs`; both write the same lines.

use super::skynet_server::context_handle;
use crate::core::context::{log_head, log_path, log_tail};
use crate::core::message::Message;
use crate::core::node::NODE;
use crate::core::{context, log, log_parts};
use crate::sys::cabi::SkynetContext;
use std::ffi::{CString, c_int, c_void};

/// Opens the message log of `handle` in the directory of `logpath`, or NULL. `ctx` is who asked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_log_open(ctx: *mut SkynetContext, handle: u32) -> *mut libc::FILE {
    let Some(dir) = NODE.env.get(c"logpath") else {
        return std::ptr::null_mut();
    };
    // SAFETY: the caller's pointer is what the header says.
    let by = unsafe { context_handle(ctx) };
    let path = log_path(dir, handle);
    let name = CString::new(path.clone()).unwrap_or_default();
    // SAFETY: two C strings.
    let file = unsafe { libc::fopen(name.as_ptr(), c"ab".as_ptr()) };
    if file.is_null() {
        log_parts(by, &[b"Open log file ", &path, b" fail"]);
    } else {
        log_parts(by, &[b"Open log file ", &path]);
        // SAFETY: just opened.
        unsafe { write(file, log_head().as_bytes()) };
    }
    file
}

/// Closes a message log. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_log_close(
    ctx: *mut SkynetContext,
    f: *mut libc::FILE,
    handle: u32,
) {
    if f.is_null() {
        return;
    }
    // SAFETY: the caller's pointers are what the header says.
    unsafe {
        log(
            context_handle(ctx),
            format_args!("Close log file :{handle:08x}"),
        );
        write(f, log_tail().as_bytes());
        libc::fclose(f);
    }
}

/// Writes the line of one message; the buffer stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_log_output(
    f: *mut libc::FILE,
    source: u32,
    r#type: c_int,
    session: c_int,
    buffer: *mut c_void,
    sz: usize,
) {
    // SAFETY: the caller's pointers are what the header says; the buffer is only borrowed.
    unsafe {
        let raw_sz = sz | (r#type as usize) << (usize::BITS - 8);
        let message = Message::from_raw(source, session, buffer, raw_sz);
        write(f, &context::log_line(&message));
        let _ = message.data.into_raw();
    }
}

/// # Safety
/// `file` is open.
unsafe fn write(file: *mut libc::FILE, bytes: &[u8]) {
    // SAFETY: passed on.
    unsafe {
        libc::fwrite(bytes.as_ptr().cast(), 1, bytes.len(), file);
        libc::fflush(file);
    }
}
