//! The message: what a mailbox holds and a callback receives.
//!
//! The layout is that of the C struct (core.md §1.9): 24 bytes, the type in the top byte of `sz`.

#![allow(unsafe_code)]

use crate::sys::block::Block;
use std::ffi::c_void;

/// Message types (core.md §1.1).
pub mod ptype {
    pub const TEXT: u8 = 0;
    pub const RESPONSE: u8 = 1;
    pub const CLIENT: u8 = 3;
    pub const SYSTEM: u8 = 4;
    pub const HARBOR: u8 = 5;
    pub const SOCKET: u8 = 6;
    pub const ERROR: u8 = 7;
}

const KIND_SHIFT: u32 = usize::BITS - 8;
/// The longest payload a message can describe, in bytes.
pub const MAX_LEN: usize = usize::MAX >> 8;

/// One message. Owns its payload: dropping a message frees it.
#[repr(C)]
#[derive(Debug)]
pub struct Message {
    /// Handle of the sender; 0 for timer, sockets and the core itself.
    pub source: u32,
    /// Session the sender waits on; 0 when no answer is wanted.
    pub session: i32,
    /// The payload; null with a length is passed through as it came (core.md §4.8(12)).
    pub data: Block,
    sz: usize,
}

const _: () = assert!(size_of::<Message>() == 24);

impl Message {
    /// A message of type `kind` whose payload is the first `len` bytes of `data`.
    pub fn new(source: u32, session: i32, kind: u8, data: Block, len: usize) -> Self {
        debug_assert!(len <= MAX_LEN);
        Message {
            source,
            session,
            data,
            sz: (len & MAX_LEN) | (kind as usize) << KIND_SHIFT,
        }
    }

    /// A message without payload.
    pub fn empty(source: u32, session: i32, kind: u8) -> Self {
        Message::new(source, session, kind, Block::null(), 0)
    }

    /// A message that carries a copy of `bytes`.
    pub fn with_bytes(source: u32, session: i32, kind: u8, bytes: &[u8]) -> Self {
        Message::new(source, session, kind, Block::copy_of(bytes), bytes.len())
    }

    /// The message type, one of [`ptype`] or a project's own.
    pub fn kind(&self) -> u8 {
        (self.sz >> KIND_SHIFT) as u8
    }

    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.sz & MAX_LEN
    }

    /// True when the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The word in which C finds type and length.
    pub fn raw_sz(&self) -> usize {
        self.sz
    }

    /// Moves a message out of `from`, field by field.
    ///
    /// # Safety
    /// `from` is a valid message that nobody uses afterwards.
    #[inline(always)]
    pub(super) unsafe fn read_fields(from: *const Message) -> Self {
        // SAFETY: passed on.
        unsafe {
            Message {
                source: (&raw const (*from).source).read_volatile(),
                session: (&raw const (*from).session).read_volatile(),
                data: (&raw const (*from).data).read_volatile(),
                sz: (&raw const (*from).sz).read_volatile(),
            }
        }
    }

    /// Moves a message to `to`, field by field.
    ///
    /// # Safety
    /// `to` is room for a message.
    #[inline(always)]
    pub(super) unsafe fn write_fields(self, to: *mut Message) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: passed on; what is moved is not dropped here.
        unsafe {
            (&raw mut (*to).source).write(this.source);
            (&raw mut (*to).session).write(this.session);
            (&raw mut (*to).data).write((&raw const this.data).read());
            (&raw mut (*to).sz).write(this.sz);
        }
    }

    /// Rebuilds a message from the fields of the C struct.
    ///
    /// # Safety
    /// As [`Block::from_raw`] for `data`.
    pub unsafe fn from_raw(source: u32, session: i32, data: *mut c_void, sz: usize) -> Self {
        // SAFETY: passed on to the caller.
        let data = unsafe { Block::from_raw(data) };
        Message {
            source,
            session,
            data,
            sz,
        }
    }
}
