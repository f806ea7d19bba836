//! Events of the node's engine as messages for services (core.md §8.4).

#![allow(unsafe_code)]

use super::event::{Body, Event, EventKind};
use crate::core::message::{Message, ptype};
use crate::core::push_counted;
use crate::sys::block::Block;
use std::ffi::c_void;

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

/// Hands an event to its owner. If there is none any more, the event is dropped with its data. Returns how many
/// messages wait at the owner now.
pub fn deliver(event: Event) -> usize {
    let handle = event.owner as u32;
    let Some((message, data)) = encode(event) else {
        return 0;
    };
    push_counted(handle, message).unwrap_or_else(|_| {
        // SAFETY: nobody received the message, so the data is still ours and nobody else's.
        drop(unsafe { Block::from_raw(data) });
        0
    })
}

/// The message for an event, and the block that it points to; nothing for EXIT.
fn encode(event: Event) -> Option<(Message, *mut c_void)> {
    let kind = event_type(event.kind)?;
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
    Some((
        Message::with_bytes(0, 0, ptype::SOCKET, &bytes[..len]),
        data,
    ))
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

#[cfg(test)]
mod tests {
    use super::super::event::SocketId;
    use super::*;

    fn bytes(message: &Message) -> &[u8] {
        assert_eq!(
            (message.source, message.session, message.kind()),
            (0, 0, ptype::SOCKET)
        );
        // SAFETY: the payload holds that many bytes.
        unsafe { std::slice::from_raw_parts(message.data.as_ptr().cast::<u8>(), message.len()) }
    }

    fn event(kind: EventKind, ud: i32, body: impl Into<Body>) -> Event {
        Event {
            kind,
            id: SocketId(77),
            owner: 1,
            ud,
            body: body.into(),
        }
    }

    fn word(bytes: &[u8]) -> i32 {
        i32::from_ne_bytes(bytes[..4].try_into().unwrap())
    }

    #[test]
    fn a_text_follows_the_head_without_its_end() {
        let (message, data) = encode(event(EventKind::Connect, 8001, "127.0.0.1")).unwrap();
        let bytes = bytes(&message);
        assert!(data.is_null());
        assert_eq!(
            (word(bytes), word(&bytes[4..]), word(&bytes[8..])),
            (TYPE_CONNECT, 77, 8001)
        );
        assert_eq!(bytes[16..24], [0; 8]);
        assert_eq!(&bytes[24..], b"127.0.0.1");
    }

    #[test]
    fn a_long_text_is_cut() {
        let (message, _) = encode(event(EventKind::Error, 0, "x".repeat(200))).unwrap();
        assert_eq!(message.len(), 24 + 128);
    }

    #[test]
    fn data_is_pointed_to() {
        let block = Block::copy_of(b"hello");
        let address = block.as_ptr();
        let (message, data) =
            encode(Event::data(EventKind::Data, SocketId(77), 1, block, 5)).unwrap();
        let bytes = bytes(&message);
        assert_eq!((data, message.len()), (address, 24));
        assert_eq!((word(bytes), word(&bytes[8..])), (TYPE_DATA, 5));
        assert_eq!(bytes[16..24], address.expose_provenance().to_ne_bytes());
        // SAFETY: the message did not take the block along.
        drop(unsafe { Block::from_raw(data) });
    }

    #[test]
    fn every_kind_has_its_number() {
        let kinds = [
            EventKind::Data,
            EventKind::Connect,
            EventKind::Close,
            EventKind::Accept,
            EventKind::Error,
            EventKind::Udp,
            EventKind::Warning,
        ];
        for (number, kind) in (1..).zip(kinds) {
            let (message, _) = encode(event(kind, 0, Body::None)).unwrap();
            assert_eq!(word(bytes(&message)), number);
        }
        assert!(encode(event(EventKind::Exit, 0, Body::None)).is_none());
    }
}
