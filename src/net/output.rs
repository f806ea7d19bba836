//! What a socket still has to send: two queues, their order, and the warning marks.
//!
//! No system calls here; the writer comes in as a closure. Lives inside a socket and under its lock.

use crate::sys::buffer::{Outgoing, SendBytes};
use crate::sys::socket::{is_starved, is_transient};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

/// Pending bytes below this never warn.
const WARNING_SIZE: usize = 1 << 20;
/// Pieces given to one system call.
const MAX_PIECES: usize = 64;
/// System calls per flush, so that one busy socket does not keep the others waiting.
const MAX_ROUNDS: usize = 16;

/// Which queue a buffer goes to when it cannot be sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    High,
    Low,
}

/// The unsent output of one socket.
#[derive(Debug, Default)]
pub struct Output {
    high: VecDeque<Chunk>,
    low: VecDeque<Chunk>,
    /// Unsent bytes in both queues.
    pending: usize,
    /// The size at which the next warning is due; 0 before the first one.
    mark: usize,
}

#[derive(Debug)]
struct Chunk {
    bytes: SendBytes,
    /// How much of it was sent. More than 0 only at the head of a queue.
    offset: usize,
    /// Destination of a datagram.
    to: Option<SocketAddr>,
}

/// How a flush ended.
#[derive(Debug)]
pub enum Flush {
    /// Nothing is left.
    Drained,
    /// The rest has to wait for the descriptor.
    Blocked,
    /// The rest has to wait until the kernel has memory.
    Starved,
    /// The writing direction is broken.
    Failed(io::Error),
}

impl Chunk {
    fn rest(&self) -> &[u8] {
        &self.bytes.as_slice()[self.offset..]
    }
}

impl Output {
    /// True when nothing waits; a waiting empty datagram counts as something.
    pub fn is_empty(&self) -> bool {
        self.high.is_empty() && self.low.is_empty()
    }

    /// Unsent bytes.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Queues what follows the first `sent` bytes of stream data. With `sent` above 0 nothing may be
    /// queued yet: the rest of a buffer is next, whatever its priority.
    pub fn push(&mut self, data: Outgoing<'_>, sent: usize, priority: Priority) {
        if data.as_slice().len() == sent {
            return;
        }
        debug_assert!(sent == 0 || self.is_empty());
        self.append(data, sent, None, priority);
    }

    /// Queues a datagram.
    pub fn push_datagram(&mut self, data: Outgoing<'_>, to: SocketAddr, priority: Priority) {
        self.append(data, 0, Some(to), priority);
    }

    fn append(
        &mut self,
        data: Outgoing<'_>,
        sent: usize,
        to: Option<SocketAddr>,
        priority: Priority,
    ) {
        let (bytes, offset) = data.keep(sent);
        let chunk = Chunk { bytes, offset, to };
        self.pending += chunk.rest().len();
        // The first in line is high in any case: that completes it before whatever comes later.
        let queue = match priority {
            Priority::Low if !self.is_empty() => &mut self.low,
            _ => &mut self.high,
        };
        queue.push_back(chunk);
    }

    /// Drops everything, and with it the warning state.
    pub fn clear(&mut self) {
        *self = Output::default();
    }

    /// After queueing: the KiB to warn about, if a warning is due.
    pub fn take_warning(&mut self) -> Option<i32> {
        if self.pending < WARNING_SIZE || self.pending < self.mark {
            return None;
        }
        self.mark = if self.mark == 0 {
            2 * WARNING_SIZE
        } else {
            self.mark * 2
        };
        Some(i32::try_from(self.pending.div_ceil(1024)).unwrap_or(i32::MAX))
    }

    /// After a flush: true when everything was sent and a warning was given before.
    pub fn take_all_clear(&mut self) -> bool {
        self.is_empty() && std::mem::take(&mut self.mark) != 0
    }

    /// Writes stream data with `write` as far as it goes: how much that was, and how it ended.
    pub fn flush(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (usize, Flush) {
        let before = self.pending;
        let mut end = Flush::Blocked;
        for _ in 0..MAX_ROUNDS {
            if self.is_empty() {
                break;
            }
            let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
            let mut offered = 0;
            let mut count = 0;
            for chunk in self.in_order().take(MAX_PIECES) {
                pieces[count] = IoSlice::new(chunk.rest());
                offered += pieces[count].len();
                count += 1;
            }
            match write(&pieces[..count]) {
                Ok(sent) => {
                    self.consume(sent);
                    if sent < offered {
                        break;
                    }
                }
                Err(error) if is_transient(&error) => break,
                Err(error) if is_starved(&error) => {
                    end = Flush::Starved;
                    break;
                }
                Err(error) => {
                    end = Flush::Failed(error);
                    break;
                }
            }
        }
        if self.is_empty() {
            end = Flush::Drained;
        }
        (before - self.pending, end)
    }

    /// Sends datagrams with `send` until it would block. One that fails is dropped and told to `failed`.
    pub fn flush_datagrams(
        &mut self,
        mut send: impl FnMut(&[u8], &SocketAddr) -> io::Result<()>,
        mut failed: impl FnMut(&io::Error),
    ) -> (usize, Flush) {
        let mut written = 0;
        while let Some(chunk) = self.high.front().or(self.low.front()) {
            let len = chunk.rest().len();
            match chunk.to.as_ref().map(|to| send(chunk.rest(), to)) {
                Some(Err(error)) if is_transient(&error) => return (written, Flush::Blocked),
                Some(Err(error)) => failed(&error),
                Some(Ok(())) => written += len,
                None => {}
            }
            self.pending -= len;
            if self.high.pop_front().is_none() {
                self.low.pop_front();
            }
        }
        (written, Flush::Drained)
    }

    /// A low buffer that was begun goes first, then the high queue, then the low one.
    fn in_order(&self) -> impl Iterator<Item = &Chunk> {
        let begun = usize::from(self.low_is_begun());
        let (first, rest) = (self.low.range(..begun), self.low.range(begun..));
        first.chain(&self.high).chain(rest)
    }

    fn low_is_begun(&self) -> bool {
        self.low.front().is_some_and(|chunk| chunk.offset > 0)
    }

    /// Takes `sent` bytes off the front, in the order of `in_order`.
    fn consume(&mut self, mut sent: usize) {
        self.pending -= sent;
        while sent > 0 {
            let queue = if self.low_is_begun() || self.high.is_empty() {
                &mut self.low
            } else {
                &mut self.high
            };
            let Some(chunk) = queue.front_mut() else {
                return;
            };
            let len = chunk.rest().len();
            if sent < len {
                chunk.offset += sent;
                return;
            }
            sent -= len;
            queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(output: &mut Output, bytes: &[u8], priority: Priority) {
        output.push(Outgoing::Borrowed(bytes), 0, priority);
    }

    /// Flushes with a writer that takes at most `limit` bytes and then blocks.
    fn flush(output: &mut Output, mut limit: usize) -> (Vec<u8>, bool) {
        let mut taken = Vec::new();
        let (written, end) = output.flush(|pieces| {
            let bytes: Vec<u8> = pieces
                .iter()
                .flat_map(|piece| piece.iter().copied())
                .collect();
            let now = bytes.len().min(limit);
            if now == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            limit -= now;
            taken.extend_from_slice(&bytes[..now]);
            Ok(now)
        });
        assert_eq!(written, taken.len());
        (taken, matches!(end, Flush::Drained))
    }

    #[test]
    fn high_goes_before_low() {
        let mut output = Output::default();
        push(&mut output, b"first", Priority::Low);
        push(&mut output, b"low", Priority::Low);
        push(&mut output, b"high", Priority::High);
        assert_eq!(output.pending(), 12);
        assert_eq!(flush(&mut output, 100), (b"firsthighlow".to_vec(), true));
        assert_eq!(output.pending(), 0);
    }

    #[test]
    fn a_begun_low_buffer_is_completed_first() {
        let mut output = Output::default();
        push(&mut output, b"a", Priority::High);
        push(&mut output, b"lower", Priority::Low);
        assert_eq!(flush(&mut output, 3), (b"alo".to_vec(), false));
        push(&mut output, b"HIGH", Priority::High);
        push(&mut output, b"more", Priority::Low);
        assert_eq!(flush(&mut output, 4), (b"werH".to_vec(), false));
        assert_eq!(flush(&mut output, 100), (b"IGHmore".to_vec(), true));
    }

    #[test]
    fn a_rest_is_kept_from_its_offset() {
        let mut output = Output::default();
        output.push(Outgoing::Borrowed(b"abcdef"), 4, Priority::Low);
        assert_eq!(output.pending(), 2);
        output.push(
            Outgoing::Owned(SendBytes::copy_of(b"xyz")),
            0,
            Priority::High,
        );
        assert_eq!(flush(&mut output, 100), (b"efxyz".to_vec(), true));
    }

    #[test]
    fn everything_arrives_whatever_the_writer_takes() {
        for limit in 1..40 {
            let mut output = Output::default();
            let mut expected = Vec::new();
            for number in 0..200u8 {
                push(&mut output, &[number, number], Priority::High);
                expected.extend_from_slice(&[number, number]);
            }
            let mut seen = Vec::new();
            loop {
                let (bytes, drained) = flush(&mut output, limit);
                seen.extend(bytes);
                if drained {
                    break;
                }
            }
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_failed_write_keeps_what_was_not_sent() {
        let mut output = Output::default();
        push(&mut output, b"abc", Priority::High);
        let mut calls = 0;
        let (written, end) = output.flush(|_| {
            calls += 1;
            if calls == 1 {
                Err(io::ErrorKind::BrokenPipe.into())
            } else {
                Ok(3)
            }
        });
        assert!(matches!(end, Flush::Failed(_)));
        assert_eq!((written, calls, output.pending()), (0, 1, 3));
    }

    #[test]
    fn warnings_double_and_end_with_an_all_clear() {
        let mut output = Output::default();
        let chunk = vec![0u8; 1_000_000];
        let mut warnings = Vec::new();
        for _ in 0..10 {
            push(&mut output, &chunk, Priority::High);
            warnings.extend(output.take_warning());
        }
        assert_eq!(warnings, [1954, 2930, 4883, 8790]);
        assert!(!output.take_all_clear());
        flush(&mut output, usize::MAX);
        assert!(output.take_all_clear());
        assert!(!output.take_all_clear());
        push(&mut output, &chunk, Priority::High);
        assert_eq!(output.take_warning(), None);
    }

    #[test]
    fn datagrams_keep_their_borders_and_bad_ones_are_dropped() {
        let mut output = Output::default();
        let to: SocketAddr = "127.0.0.1:1".parse().unwrap();
        for bytes in [&b"one"[..], b"", b"bad", b"four"] {
            output.push_datagram(Outgoing::Borrowed(bytes), to, Priority::High);
        }
        let (mut seen, mut dropped, mut room) = (Vec::new(), 0, 2);
        let mut flush = |output: &mut Output, room: &mut i32| {
            output.flush_datagrams(
                |bytes, _| {
                    if *room == 0 {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    *room -= 1;
                    if bytes == b"bad" {
                        return Err(io::Error::from_raw_os_error(libc::EINVAL));
                    }
                    seen.push(bytes.to_vec());
                    Ok(())
                },
                |_| dropped += 1,
            )
        };
        let (written, end) = flush(&mut output, &mut room);
        assert!(matches!(end, Flush::Blocked) && written == 3);
        assert_eq!(output.pending(), 7);
        room = 10;
        let (written, end) = flush(&mut output, &mut room);
        assert!(matches!(end, Flush::Drained) && written == 4);
        assert_eq!(seen, [b"one".to_vec(), b"".to_vec(), b"four".to_vec()]);
        assert_eq!((dropped, output.pending()), (1, 0));
    }

    #[test]
    fn an_empty_datagram_still_waits() {
        let mut output = Output::default();
        output.push_datagram(
            Outgoing::Borrowed(b""),
            "127.0.0.1:1".parse().unwrap(),
            Priority::Low,
        );
        assert!(!output.is_empty());
        output.clear();
        push(&mut output, b"", Priority::High);
        assert!(output.is_empty());
    }
}
