//! Events of the node's engine as messages for services (core.md §8.4).

use super::event::{Body, Event, EventKind};
use crate::core::message::{Message, ptype};
use crate::core::push;
use crate::sys::block::Block;

/// Event types of `skynet_socket.h` (core.md §1.3(2)).
pub const TYPE_DATA: i32 = 1;
pub const TYPE_CONNECT: i32 = 2;
pub const TYPE_CLOSE: i32 = 3;
pub const TYPE_ACCEPT: i32 = 4;
pub const TYPE_ERROR: i32 = 5;
pub const TYPE_UDP: i32 = 6;
pub const TYPE_WARNING: i32 = 7;

/// Size of `struct skynet_socket_message`.
pub const HEAD: usize = 24;
/// The longest text behind it.
const MAX_TEXT: usize = 128;

/// Hands an event to its owner. If there is none any more, the event is dropped with its data.
pub fn deliver(event: Event) {
    let Some(kind) = event_type(event.kind) else {
        return;
    };
    let (text, data) = match event.body {
        Body::None => ("".into(), Block::null()),
        Body::Text(text) => (text, Block::null()),
        Body::Bytes(block) => ("".into(), block),
    };
    let text = &text.as_bytes()[..text.len().min(MAX_TEXT)];
    let data = data.into_raw();

    let len = HEAD + text.len();
    let mut bytes = [0; HEAD + MAX_TEXT];
    bytes[0..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[4..8].copy_from_slice(&event.id.0.to_ne_bytes());
    bytes[8..12].copy_from_slice(&event.ud.to_ne_bytes());
    bytes[16..HEAD].copy_from_slice(&data.expose_provenance().to_ne_bytes());
    bytes[HEAD..len].copy_from_slice(text);

    let message = Message::with_bytes(0, 0, ptype::SOCKET, &bytes[..len]);
    if push(event.owner as u32, message).is_err() {
        // SAFETY: nobody received the message, so the data is still ours and nobody else's.
        drop(unsafe { Block::from_raw(data) });
    }
}

fn event_type(kind: EventKind) -> Option<i32> {
    match kind {
        EventKind::Data => Some(TYPE_DATA),
        EventKind::Connect => Some(TYPE_CONNECT),
        EventKind::Close => Some(TYPE_CLOSE),
        EventKind::Accept => Some(TYPE_ACCEPT),
        EventKind::Error => Some(TYPE_ERROR),
        EventKind::Udp => Some(TYPE_UDP),
        EventKind::Warning => Some(TYPE_WARNING),
        EventKind::Exit => None,
    }
}
