//! The hand-over of messages for other nodes to the harbor service (core.md §4.2, §4.10).

use super::context::Context;
use super::fatal;
use super::handle::{HANDLE_MASK, REMOTE_SHIFT};
use super::message::{Message, ptype};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Arc, Mutex};
use crate::sys::block::Block;
use std::ffi::{c_int, c_void};

/// Length of a global name.
pub const NAME_LENGTH: usize = 16;

/// Where a remote message goes.
#[derive(Clone, Copy)]
pub enum Destination {
    Handle(u32),
    /// Zero padded; a name of 16 bytes has no NUL.
    Name([u8; NAME_LENGTH]),
}

/// `struct remote_message` (core.md §1.8).
#[repr(C)]
struct RemoteMessage {
    name: [u8; NAME_LENGTH],
    handle: u32,
    message: *mut c_void,
    sz: usize,
    kind: c_int,
}

const _: () = assert!(size_of::<RemoteMessage>() == 48);

/// The node number and the harbor service.
pub struct Harbor {
    /// Node number, shifted into place; `u32::MAX` before it is set.
    node: AtomicU32,
    service: Mutex<Option<Arc<Context>>>,
}

impl Harbor {
    pub const fn new() -> Self {
        Harbor {
            node: AtomicU32::new(u32::MAX),
            service: Mutex::new(None),
        }
    }

    /// Sets this node's number; only the low byte counts.
    pub fn set_node(&self, number: u32) {
        self.node.store(number << REMOTE_SHIFT, Ordering::Relaxed);
    }

    /// True for a handle whose node byte is neither zero nor ours.
    pub fn is_remote(&self, handle: u32) -> bool {
        let node = handle & !HANDLE_MASK;
        node != 0 && node != self.node.load(Ordering::Relaxed)
    }

    /// Makes `context` the harbor service: it is kept until [`Harbor::release`] and does not count as
    /// alive.
    pub fn register(&self, context: Arc<Context>) {
        context.reserve();
        let old = self.service.lock().replace(context);
        drop(old);
    }

    /// Lets the harbor service go.
    pub fn release(&self) {
        let service = self.service.lock().take();
        drop(service);
    }

    /// Whether there is a harbor service.
    pub fn is_running(&self) -> bool {
        self.service.lock().is_some()
    }

    /// Wraps a message and gives it to the harbor service.
    ///
    /// Types SYSTEM and HARBOR, and a node without harbor service, end the process: that is a
    /// programming error of the caller (core.md §4.10(2)).
    pub fn send(
        &self,
        destination: Destination,
        source: u32,
        kind: u8,
        session: i32,
        data: Block,
        len: usize,
    ) {
        if kind == ptype::SYSTEM || kind == ptype::HARBOR {
            fatal(format_args!(
                "a message of type {kind} from :{source:08x} cannot go to another node"
            ));
        }
        let (name, handle) = match destination {
            Destination::Handle(handle) => ([0; NAME_LENGTH], handle),
            Destination::Name(name) => (name, 0),
        };
        let service = self.service.lock().clone();
        let Some(service) = service else {
            fatal(format_args!(
                "message from :{source:08x} for another node, and no harbor service is running"
            ));
        };
        let remote = RemoteMessage {
            name,
            handle,
            message: data.into_raw(),
            sz: len,
            kind: c_int::from(kind),
        };
        let parcel = Block::of_value(remote);
        let size = size_of::<RemoteMessage>();
        service.send(Message::new(source, session, ptype::SYSTEM, parcel, size));
    }
}

impl Default for Harbor {
    fn default() -> Self {
        Self::new()
    }
}
