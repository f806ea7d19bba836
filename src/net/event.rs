//! What a poller reports: one event of one socket for its owner (core.md §1.18, §8.4).

use crate::sys::block::Block;
use std::borrow::Cow;
use std::fmt;

/// The number of a socket; always above 0 for a real one (core.md §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub i32);

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whoever gets the events of a socket: a service handle in the node's engine, any number of the
/// caller's choice in a stand-alone one.
pub type Owner = usize;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Data,
    Connect,
    Close,
    Accept,
    Error,
    Udp,
    Warning,
    /// The engine was told to stop; no socket.
    Exit,
}

/// What an event carries.
#[derive(Debug)]
pub enum Body {
    None,
    Text(Cow<'static, str>),
    Bytes(Block),
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Body::Text(text.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::Text(text.into())
    }
}

/// One event.
#[derive(Debug)]
pub struct Event {
    pub kind: EventKind,
    pub id: SocketId,
    pub owner: Owner,
    /// Byte count, port, new id or KiB, depending on the kind.
    pub ud: i32,
    pub body: Body,
}

impl Event {
    /// An event without text or data.
    pub fn plain(kind: EventKind, id: SocketId, owner: Owner, ud: i32) -> Event {
        Event {
            kind,
            id,
            owner,
            ud,
            body: Body::None,
        }
    }

    /// DATA or UDP: the first `len` bytes of `block`.
    pub fn data(kind: EventKind, id: SocketId, owner: Owner, block: Block, len: usize) -> Event {
        Event {
            kind,
            id,
            owner,
            ud: len as i32,
            body: Body::Bytes(block),
        }
    }
}
