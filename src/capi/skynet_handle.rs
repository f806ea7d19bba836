//! `skynet_handle.h`: the handle table and local names (core.md §4.3, §4.5).

use super::skynet_server::into_raw;
use super::text;
use crate::core::command::retire_all;
use crate::core::context::Context;
use crate::core::handle;
use crate::core::node::NODE;
use crate::sync::Arc;
use crate::sys::cabi::SkynetContext;
use std::ffi::{c_char, c_int};

/// The local part of a handle; the node number is above it.
pub const HANDLE_MASK: u32 = 0xffffff;
pub const HANDLE_REMOTE_SHIFT: u32 = 24;

const _: () = assert!(HANDLE_MASK == handle::HANDLE_MASK);
const _: () = assert!(HANDLE_REMOTE_SHIFT == handle::REMOTE_SHIFT);

/// Gives a context a handle. The table takes a reference of its own. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_handle_register(ctx: *mut SkynetContext) -> u32 {
    if ctx.is_null() {
        return 0;
    }
    // SAFETY: a live context is the content of an Arc; the extra count is the one we consume.
    let context = unsafe {
        Arc::increment_strong_count(ctx.cast::<Context>());
        Arc::from_raw(ctx.cast::<Context>())
    };
    NODE.handles.register(&context)
}

/// Ends a service: 1 when it was alive, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_handle_retire(handle: u32) -> c_int {
    c_int::from(NODE.retire(handle))
}

/// A reference to a live service, to be given back by `skynet_context_release`, or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_handle_grab(handle: u32) -> *mut SkynetContext {
    NODE.grab(handle).map_or(std::ptr::null_mut(), into_raw)
}

/// Ends every service; none can be launched any more.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_handle_retireall() {
    retire_all();
}

/// The handle that owns a name (without its dot), or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_handle_findname(name: *const c_char) -> u32 {
    // SAFETY: the caller's pointer is what the header says.
    NODE.handles.find_name(unsafe { text(name) }).unwrap_or(0)
}

/// Names a handle: the table's copy of the name, good until the handle is retired, or NULL when it is
/// taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_handle_namehandle(
    handle: u32,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: the caller's pointer is what the header says.
    let name = unsafe { text(name) };
    NODE.handles
        .set_name(handle, name)
        .unwrap_or(std::ptr::null())
}

/// Sets the node number of handles to come. `thread` is for level head; callers of level 1.8 do not pass
/// it, and it is not used.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_handle_init(harbor: c_int, thread: c_int) {
    let _ = thread;
    NODE.handles.set_node(harbor as u32);
}

/// Announces a thread (level head). Threads that are not announced work as well.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_handle_register_thread() {}
