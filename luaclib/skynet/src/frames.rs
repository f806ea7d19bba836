//! Cutting the streams of many sockets into frames: a two-byte big-endian length and that many bytes. Frames are
//! blocks of the message heap. No function here calls Lua.

use core::ffi::{c_int, c_void};
use core::hash::{BuildHasherDefault, Hasher};
use core::ptr;
use std::collections::{HashMap, VecDeque};

/// A complete frame. Who has it owns the block.
pub struct Frame {
    pub id: c_int,
    pub block: *mut c_void,
    pub size: usize,
}

/// What has arrived of an unfinished frame.
enum Partial {
    /// The high byte of its length.
    Header(u8),
    Body(Body),
}

/// A block of the final size, filled up to `have`.
struct Body {
    block: *mut u8,
    size: usize,
    have: usize,
}

/// Socket ids count up; a multiplication spreads them well enough.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_i32(byte.into());
        }
    }

    fn write_i32(&mut self, id: i32) {
        self.0 = (self.0 ^ u64::from(id as u32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What arrives on all sockets.
#[derive(Default)]
pub struct Queue {
    partial: HashMap<c_int, Partial, BuildHasherDefault<IdHasher>>,
    frames: VecDeque<Frame>,
}

/// The heap has given nothing.
pub struct OutOfMemory;

/// What received bytes amount to.
pub enum Outcome {
    Nothing,
    /// One frame and no byte more.
    One(Frame),
    /// All complete frames are in the queue.
    More,
}

impl Queue {
    /// The next complete frame of socket `id` from the front of `bytes`. What is incomplete is kept for later.
    fn next_frame(&mut self, id: c_int, bytes: &mut &[u8]) -> Result<Option<Frame>, OutOfMemory> {
        let mut body = match self.partial.remove(&id) {
            Some(Partial::Body(body)) => body,
            begun => {
                let high = match begun {
                    Some(Partial::Header(high)) => high,
                    _ => match take_byte(bytes) {
                        Some(high) => high,
                        None => return Ok(None),
                    },
                };
                let Some(low) = take_byte(bytes) else {
                    self.partial.insert(id, Partial::Header(high));
                    return Ok(None);
                };
                Body::new(u16::from_be_bytes([high, low]).into())?
            }
        };
        let (now, rest) = bytes.split_at(bytes.len().min(body.size - body.have));
        *bytes = rest;
        body.append(now);
        if body.have < body.size {
            self.partial.insert(id, Partial::Body(body));
            return Ok(None);
        }
        Ok(Some(Frame {
            id,
            block: body.block.cast(),
            size: body.size,
        }))
    }

    /// Takes in what socket `id` has received.
    pub fn feed(&mut self, id: c_int, mut bytes: &[u8]) -> Result<Outcome, OutOfMemory> {
        let Some(first) = self.next_frame(id, &mut bytes)? else {
            return Ok(Outcome::Nothing);
        };
        if bytes.is_empty() {
            return Ok(Outcome::One(first));
        }
        self.frames.push_back(first);
        while let Some(frame) = self.next_frame(id, &mut bytes)? {
            self.frames.push_back(frame);
        }
        Ok(Outcome::More)
    }

    /// Whether an unfinished frame of socket `id` is kept.
    pub fn begun(&self, id: c_int) -> bool {
        self.partial.contains_key(&id)
    }

    /// The oldest complete frame.
    pub fn pop(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// Forgets the unfinished frame of a socket.
    pub fn forget(&mut self, id: c_int) {
        if let Some(Partial::Body(body)) = self.partial.remove(&id) {
            body.release();
        }
    }

    pub fn clear(&mut self) {
        for (_, partial) in self.partial.drain() {
            if let Partial::Body(body) = partial {
                body.release();
            }
        }
        for frame in self.frames.drain(..) {
            // SAFETY: the queue owns it until `pop`.
            unsafe { libc::free(frame.block) };
        }
    }
}

impl Body {
    fn new(size: usize) -> Result<Body, OutOfMemory> {
        // SAFETY: plain allocation.
        let block: *mut u8 = unsafe { libc::malloc(size.max(1)) }.cast();
        if block.is_null() {
            return Err(OutOfMemory);
        }
        Ok(Body {
            block,
            size,
            have: 0,
        })
    }

    /// `bytes` are no more than what is missing.
    fn append(&mut self, bytes: &[u8]) {
        debug_assert!(self.have + bytes.len() <= self.size);
        // SAFETY: there is room, and the block is not part of what was received.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.block.add(self.have), bytes.len());
        }
        self.have += bytes.len();
    }

    fn release(self) {
        // SAFETY: the body owns its block.
        unsafe { libc::free(self.block.cast()) }
    }
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

/// The payload of a frame that begins and ends with `bytes`.
pub fn whole(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [high, low, payload @ ..]
            if payload.len() == usize::from(u16::from_be_bytes([*high, *low])) =>
        {
            Some(payload)
        }
        _ => None,
    }
}
