//! `skynet_harbor.h`: messages for other nodes (core.md §4.2, §4.10).

use crate::core::context::Context;
use crate::core::harbor::{Destination, NAME_LENGTH};
use crate::core::node::NODE;
use crate::sync::Arc;
use crate::sys::block::Block;
use crate::sys::cabi::SkynetContext;
use std::ffi::{c_char, c_int, c_void};

/// How many nodes a network may have, number 0 included.
pub const REMOTE_MAX: c_int = 256;
/// Length of a global name.
pub const GLOBALNAME_LENGTH: usize = 16;

const _: () = assert!(GLOBALNAME_LENGTH == NAME_LENGTH);

/// Who a message is for.
#[repr(C)]
pub struct RemoteName {
    /// Padded with zeros, if it is shorter.
    pub name: [c_char; GLOBALNAME_LENGTH],
    /// 0 when the receiver is known by name only.
    pub handle: u32,
}

/// A message for another node.
#[repr(C)]
pub struct RemoteMessage {
    pub destination: RemoteName,
    pub message: *const c_void,
    pub sz: usize,
    pub r#type: c_int,
}

const _: () = assert!(size_of::<RemoteName>() == 20 && size_of::<RemoteMessage>() == 48);

/// Hands a remote message to the harbor service. Takes over the struct and the message it points to,
/// both from `malloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_harbor_send(rmsg: *mut RemoteMessage, source: u32, session: c_int) {
    // SAFETY: the caller gives both blocks away.
    let (remote, data) = unsafe {
        let remote = rmsg.read();
        drop(Block::from_raw(rmsg.cast()));
        let data = Block::from_raw(remote.message.cast_mut());
        (remote, data)
    };
    let destination = match remote.destination.handle {
        0 => Destination::Name(remote.destination.name.map(|byte| byte as u8)),
        handle => Destination::Handle(handle),
    };
    NODE.harbor.send(
        destination,
        source,
        remote.r#type as u8,
        session,
        data,
        remote.sz,
    );
}

/// Non-zero when the handle belongs to another node.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_harbor_message_isremote(handle: u32) -> c_int {
    c_int::from(NODE.harbor.is_remote(handle))
}

/// Sets this node's number.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_harbor_init(harbor: c_int) {
    NODE.harbor.set_node(harbor as u32);
}

/// Makes the calling service the harbor service; it is kept until the process ends. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skynet_harbor_start(ctx: *mut c_void) {
    if ctx.is_null() {
        return;
    }
    let ctx = ctx.cast::<SkynetContext>().cast::<Context>();
    // SAFETY: a live context is the content of an Arc; the extra count is the one we keep.
    let context = unsafe {
        Arc::increment_strong_count(ctx);
        Arc::from_raw(ctx)
    };
    NODE.harbor.register(context);
}

/// Lets the harbor service go.
#[unsafe(no_mangle)]
pub extern "C" fn skynet_harbor_exit() {
    NODE.harbor.release();
}
