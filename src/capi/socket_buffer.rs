//! `socket_buffer.h`: what is to be sent on a socket (core.md §1.5).

use std::ffi::{c_int, c_void};
use std::mem::offset_of;

/// From skynet_malloc; owned by the core from the call on.
pub const SOCKET_BUFFER_MEMORY: c_int = 0;
/// An object; needs an interface (socket_server.h), which modules cannot install.
pub const SOCKET_BUFFER_OBJECT: c_int = 1;
/// Stays the caller's, copied if it must be kept.
pub const SOCKET_BUFFER_RAWPOINTER: c_int = 2;

/// What is to be sent, where, and whose it is.
#[repr(C)]
pub struct SocketSendbuffer {
    pub id: c_int,
    /// SOCKET_BUFFER_...
    pub r#type: c_int,
    pub buffer: *const c_void,
    pub sz: usize,
}

const _: () = assert!(size_of::<SocketSendbuffer>() == 24);
const _: () = assert!(offset_of!(SocketSendbuffer, buffer) == 8);
