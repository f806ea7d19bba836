//! From a byte stream to packets: each packet is a big-endian length of two or four bytes and as many
//! bytes of payload. Empty packets are skipped.

/// Packets must be shorter than this (16 MiB).
const TOO_LONG: usize = 1 << 24;

/// A buffer that has grown beyond this is given back once its packet is complete.
const KEEP: usize = 1 << 16;

/// The size of the length prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prefix {
    Two,
    Four,
}

impl Prefix {
    const fn bytes(self) -> usize {
        match self {
            Prefix::Two => 2,
            Prefix::Four => 4,
        }
    }
}

/// A client announced a packet of 16 MiB or more; its stream cannot be followed any further.
#[derive(Debug, PartialEq)]
pub struct TooLong;

/// Cuts one stream. Packets that lie whole in the bytes at hand are not copied; `partial` holds the
/// beginning of a packet (of its length, even) whose end is still to come.
pub struct Framer {
    prefix: Prefix,
    partial: Vec<u8>,
}

impl Framer {
    pub fn new(prefix: Prefix) -> Self {
        Self {
            prefix,
            partial: Vec::new(),
        }
    }

    /// Takes the next bytes of the stream and hands every packet they complete to `deliver`.
    pub fn feed(&mut self, mut data: &[u8], mut deliver: impl FnMut(&[u8])) -> Result<(), TooLong> {
        while !data.is_empty() {
            if self.partial.is_empty() {
                match self.packet_end(data)? {
                    Some(end) if end <= data.len() => {
                        self.hand_over(&data[..end], &mut deliver);
                        data = &data[end..];
                        continue;
                    }
                    _ => {
                        self.partial.extend_from_slice(data);
                        return Ok(());
                    }
                }
            }
            // First what is missing of the length, then what is missing of the payload.
            let end = self.packet_end(&self.partial)?;
            let wanted = end.unwrap_or(self.prefix.bytes()) - self.partial.len();
            let (now, later) = data.split_at(wanted.min(data.len()));
            self.partial.extend_from_slice(now);
            data = later;
            if self.packet_end(&self.partial)? == Some(self.partial.len()) {
                self.hand_over(&self.partial, &mut deliver);
                self.partial.clear();
                self.partial.shrink_to(KEEP);
            }
        }
        Ok(())
    }

    /// Where the packet at the start of `stream` ends, or `None` if its length has not all arrived.
    fn packet_end(&self, stream: &[u8]) -> Result<Option<usize>, TooLong> {
        let Some(prefix) = stream.get(..self.prefix.bytes()) else {
            return Ok(None);
        };
        let length = prefix.iter().fold(0, |n, &b| n << 8 | usize::from(b));
        if length >= TOO_LONG {
            return Err(TooLong);
        }
        Ok(Some(prefix.len() + length))
    }

    fn hand_over(&self, packet: &[u8], deliver: &mut impl FnMut(&[u8])) {
        let payload = &packet[self.prefix.bytes()..];
        if !payload.is_empty() {
            deliver(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of `step` bytes and returns the packets.
    fn cut(prefix: Prefix, stream: &[u8], step: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut framer = Framer::new(prefix);
        let mut packets = Vec::new();
        for piece in stream.chunks(step) {
            framer.feed(piece, |packet| packets.push(packet.to_vec()))?;
        }
        Ok(packets)
    }

    #[test]
    fn any_split_gives_the_same_packets() {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for size in [1usize, 0, 2, 255, 256, 3, 0, 0, 4464, 1] {
            let payload: Vec<u8> = (0..size).map(|i| (i * 7 + size) as u8).collect();
            stream.extend_from_slice(&(size as u16).to_be_bytes());
            stream.extend_from_slice(&payload);
            if size > 0 {
                expected.push(payload);
            }
        }
        for step in [1, 2, 3, 5, 7, 64, 1000, stream.len()] {
            assert_eq!(cut(Prefix::Two, &stream, step).unwrap(), expected);
        }
    }

    #[test]
    fn four_byte_lengths() {
        let mut stream = vec![0, 1, 0, 1];
        stream.extend((0..65_537u32).map(|i| i as u8));
        stream.extend([0, 0, 0, 0, 0, 0, 0, 1, b'x']);
        for step in [1, 4, 4096, stream.len()] {
            let packets = cut(Prefix::Four, &stream, step).unwrap();
            assert_eq!(packets.len(), 2);
            assert_eq!(packets[0].len(), 65_537);
            assert_eq!(packets[0][65_536], 0);
            assert_eq!(packets[1], b"x");
        }
    }

    #[test]
    fn an_unfinished_packet_waits() {
        assert!(cut(Prefix::Two, &[0, 3, 1, 2], 9).unwrap().is_empty());
        assert!(cut(Prefix::Two, &[0], 1).unwrap().is_empty());
        assert!(cut(Prefix::Two, &[], 1).unwrap().is_empty());
    }

    #[test]
    fn the_limit() {
        let mut stream = vec![0, 0xff, 0xff, 0xff];
        stream.resize(4 + 0xff_ffff, 9);
        assert_eq!(cut(Prefix::Four, &stream, 1 << 20).unwrap().len(), 1);
        for first in [1, 0x7f, 0x80, 0xff] {
            // Refused as soon as the length is known, in one piece or byte by byte.
            assert_eq!(cut(Prefix::Four, &[first, 0, 0, 0], 4), Err(TooLong));
            assert_eq!(cut(Prefix::Four, &[first, 0, 0, 0], 1), Err(TooLong));
        }
        // What came before the bad length is delivered.
        let mut framer = Framer::new(Prefix::Four);
        let mut seen = 0;
        let stream = [0, 0, 0, 1, 5, 0xff, 0, 0, 0, 1];
        assert_eq!(framer.feed(&stream, |_| seen += 1), Err(TooLong));
        assert_eq!(seen, 1);
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut framer = Framer::new(Prefix::Four);
        let mut stream = vec![0, 0x20, 0, 0];
        stream.resize(4 + 0x20_0000, 1);
        for piece in stream.chunks(1 << 16) {
            framer.feed(piece, |_| ()).unwrap();
        }
        assert!(framer.partial.capacity() <= KEEP);
    }
}
