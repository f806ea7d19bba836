//! Packets between nodes: a length, the payload, and behind it source, destination and session.
//!
//! All numbers are 32 bits, big-endian. The length counts everything that follows it. The destination has
//! the message type in its upper eight bits: the receiver knows its own node number.

use crate::payload::Payload;

/// What follows the payload.
const TRAILER: usize = 12;

/// A receive buffer that has grown beyond this is given back once it is empty.
const KEEP: usize = 1 << 16;

/// The trailer of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trailer {
    pub source: u32,
    /// Without its node number.
    pub local: u32,
    pub kind: u8,
    pub session: i32,
}

/// Makes a packet. `None` if its length does not fit in 32 bits.
pub fn encode(trailer: Trailer, payload: &[u8]) -> Option<Payload> {
    let length = u32::try_from(payload.len().checked_add(TRAILER)?).ok()?;
    let destination = u32::from(trailer.kind) << 24 | trailer.local & 0x00ff_ffff;
    Some(Payload::concat(&[
        &length.to_be_bytes(),
        payload,
        &trailer.source.to_be_bytes(),
        &destination.to_be_bytes(),
        &trailer.session.to_be_bytes(),
    ]))
}

/// Reads what follows the length of a packet.
fn decode(packet: &[u8]) -> Option<(Trailer, &[u8])> {
    let (payload, trailer) = packet.split_last_chunk::<TRAILER>()?;
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| trailer[at + i]));
    let trailer = Trailer {
        source: word(0),
        local: word(4) & 0x00ff_ffff,
        kind: (word(4) >> 24) as u8,
        session: word(8) as i32,
    };
    Some((trailer, payload))
}

/// Why a stream cannot be followed any further.
#[derive(Debug, PartialEq)]
pub enum Broken {
    /// 16 MiB or more.
    TooLong,
    /// Not even a trailer.
    TooShort,
}

/// What has arrived from one node and is not a whole packet yet.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// How much of `bytes` has been read.
    read: usize,
}

impl Inbox {
    pub fn push(&mut self, data: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEEP);
        }
        self.bytes.extend_from_slice(data);
    }

    /// The next whole packet.
    pub fn next(&mut self) -> Result<Option<(Trailer, &[u8])>, Broken> {
        let rest = &self.bytes[self.read..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        if length[0] != 0 {
            return Err(Broken::TooLong);
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length < TRAILER {
            return Err(Broken::TooShort);
        }
        let Some(packet) = rest.get(..length) else {
            return Ok(None);
        };
        self.read += 4 + length;
        Ok(decode(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: [u8; 16] = [0, 0, 0, 12, 1, 0, 255, 255, 7, 0, 0, 5, 0, 0, 0, 0x4d];

    #[test]
    fn the_bytes_of_a_packet() {
        let trailer = Trailer {
            source: 0x0100_ffff,
            local: 0x0200_0005,
            kind: 7,
            session: 77,
        };
        assert_eq!(encode(trailer, b"").unwrap().bytes(), ANSWER);
        let packet = encode(trailer, b"xyz").unwrap();
        assert_eq!(packet.bytes()[..7], [0, 0, 0, 15, b'x', b'y', b'z']);
        assert_eq!(packet.bytes()[7..], ANSWER[4..]);
    }

    #[test]
    fn packets_come_out_as_they_went_in() {
        let packets = [(1, &b"one"[..]), (-2, b""), (3, &[9; 70_000])].map(|(session, payload)| {
            let trailer = Trailer {
                source: 0x0200_0001,
                local: 0x00ab_cdef,
                kind: 255,
                session,
            };
            (trailer, payload)
        });
        let mut stream = Vec::new();
        for (trailer, payload) in packets {
            stream.extend_from_slice(encode(trailer, payload).unwrap().bytes());
        }
        for step in [1, 3, 16, 1000, stream.len()] {
            let mut inbox = Inbox::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                inbox.push(piece);
                while let Some((trailer, payload)) = inbox.next().unwrap() {
                    seen.push((trailer, payload.to_vec()));
                }
            }
            assert_eq!(seen.len(), packets.len());
            for (seen, sent) in seen.iter().zip(packets) {
                assert_eq!((seen.0, &seen.1[..]), sent);
            }
        }
    }

    #[test]
    fn bad_lengths() {
        for (length, error) in [
            ([1, 0, 0, 0], Broken::TooLong),
            ([255, 0, 0, 0], Broken::TooLong),
            ([0, 0, 0, 11], Broken::TooShort),
            ([0, 0, 0, 0], Broken::TooShort),
        ] {
            let mut inbox = Inbox::default();
            inbox.push(&length[..3]);
            assert_eq!(inbox.next(), Ok(None));
            inbox.push(&length[3..]);
            assert_eq!(inbox.next(), Err(error));
        }
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut inbox = Inbox::default();
        let mut packet = vec![0, 0xff, 0, 0];
        packet.resize(4 + 0xff_0000, 0);
        inbox.push(&packet);
        assert!(inbox.next().unwrap().is_some());
        inbox.push(b"");
        assert!(inbox.bytes.capacity() <= KEEP);
    }
}
