//! The frames of `skynet.netpack`.

use std::collections::VecDeque;

use crate::frames::{Frame, Outcome, Queue, whole};
use crate::input::Input;

/// The bytes of a frame, whose block is released.
fn take(frame: Frame) -> (i32, Vec<u8>) {
    // SAFETY: the frame owns a block of that size, and is gone afterwards.
    unsafe {
        let bytes = std::slice::from_raw_parts(frame.block.cast::<u8>(), frame.size).to_vec();
        libc::free(frame.block);
        (frame.id, bytes)
    }
}

/// Cuts complete frames off the front of a stream.
fn cut(stream: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let [high, low, rest @ ..] = &stream[..] {
        let size = usize::from(*high) * 256 + usize::from(*low);
        if rest.len() < size {
            break;
        }
        frames.push(rest[..size].to_vec());
        stream.drain(..2 + size);
    }
    frames
}

/// Streams of several sockets in any order and in any pieces: each gives its frames, and one end touches no
/// other.
pub fn netpack_framing(data: &[u8]) {
    const SOCKETS: usize = 4;
    let mut input = Input::new(data);
    let mut queue = Queue::default();
    let mut streams = vec![Vec::<u8>::new(); SOCKETS];
    let mut waiting = VecDeque::new();
    while !input.is_empty() {
        let what = input.byte();
        let at = usize::from(what) % SOCKETS;
        let id = at as i32 * 1000 - 1;
        match what / 4 {
            0..=1 => {
                queue.forget(id);
                streams[at].clear();
            }
            2 => {
                queue.clear();
                streams.iter_mut().for_each(Vec::clear);
                waiting.clear();
            }
            3..=16 => assert_eq!(queue.pop().map(take), waiting.pop_front()),
            how => {
                // Bytes as they are, or a frame that is whole or cut short.
                let count = input.below(400);
                let piece = if how % 2 == 0 {
                    input.bytes(count).to_vec()
                } else {
                    let mut frame = (count as u16).to_be_bytes().to_vec();
                    frame.extend((0..count).map(|i| (i * 7 + at) as u8));
                    frame.truncate(input.below(500).max(1));
                    frame
                };
                if streams[at].is_empty()
                    && let Some(payload) = whole(&piece)
                {
                    assert_eq!(payload, &piece[2..]);
                }
                assert_eq!(queue.begun(id), !streams[at].is_empty());
                streams[at].extend_from_slice(&piece);
                let frames = cut(&mut streams[at]);
                let alone = streams[at].is_empty();
                match queue.feed(id, &piece) {
                    Ok(Outcome::Nothing) => assert!(frames.is_empty()),
                    Ok(Outcome::One(frame)) => {
                        assert!(frames.len() == 1 && alone);
                        assert_eq!(take(frame), (id, frames[0].clone()));
                    }
                    Ok(Outcome::More) => {
                        assert!(frames.len() > 1 || (frames.len() == 1 && !alone));
                        waiting.extend(frames.into_iter().map(|frame| (id, frame)));
                    }
                    Err(_) => panic!("out of memory"),
                }
            }
        }
    }
    while let Some(frame) = queue.pop() {
        assert_eq!(Some(take(frame)), waiting.pop_front());
    }
    assert!(waiting.is_empty());
    queue.clear();
}
