//! Log lines and per-service message logs.
//!
//! A log line is a message to the service that holds the local name `logger` (core.md §10.1); this
//! file only builds and sends it. A message log is a text file with one line for each message that a
//! service is given (core.md §10.3).

use super::message::{Message, ptype};
use super::node::NODE;
use crate::sync::atomic::{AtomicU32, Ordering};
use std::fmt;

/// Handle of the log service once it was found; 0 before.
static LOGGER: AtomicU32 = AtomicU32::new(0);

/// Sends a log line from `source` (0 = the core).
pub fn log(source: u32, args: fmt::Arguments<'_>) {
    match args.as_str() {
        Some(text) => log_bytes(source, text.as_bytes()),
        None => log_bytes(source, args.to_string().as_bytes()),
    };
}

/// As [`log`], for lines with bytes that need not be UTF-8: the parts are joined as they are.
pub fn log_parts(source: u32, parts: &[&[u8]]) {
    log_bytes(source, &parts.concat());
}

/// Sends `line` as it is. False when there is no log service yet (the line is lost then).
pub fn log_bytes(source: u32, line: &[u8]) -> bool {
    let mut logger = LOGGER.load(Ordering::Relaxed);
    if logger == 0 {
        match NODE.handles.find_name(c"logger") {
            Some(handle) => {
                logger = handle;
                LOGGER.store(handle, Ordering::Relaxed);
            }
            None => return false,
        }
    }
    NODE.push(logger, Message::with_bytes(source, 0, ptype::TEXT, line))
        .is_ok()
}

/// The line of a message log for one message (core.md §10.3(4)), newline included.
///
/// For a socket event, `socket` holds its decoded form and what follows it.
pub fn message_line(
    source: u32,
    kind: u8,
    session: i32,
    now: u32,
    payload: &[u8],
    socket: Option<SocketLine<'_>>,
) -> Vec<u8> {
    let mut line;
    let bytes = match socket {
        Some(SocketLine {
            kind,
            id,
            ud,
            text: Some(text),
            ..
        }) => {
            line = format!("[socket] {kind} {id} {ud} [").into_bytes();
            line.extend_from_slice(text);
            line.push(b']');
            &[][..]
        }
        Some(SocketLine {
            kind, id, ud, data, ..
        }) => {
            line = format!("[socket] {kind} {id} {ud} ").into_bytes();
            data
        }
        None => {
            line = format!(":{source:08x} {kind} {session} {now} ").into_bytes();
            payload
        }
    };
    for byte in bytes {
        line.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
        line.push(b"0123456789abcdef"[usize::from(byte & 15)]);
    }
    line.push(b'\n');
    line
}

/// A socket event for [`message_line`].
pub struct SocketLine<'a> {
    pub kind: i32,
    pub id: i32,
    pub ud: i32,
    /// The appended text, when the event has no buffer.
    pub text: Option<&'a [u8]>,
    /// The buffer's bytes otherwise.
    pub data: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_log_lines() {
        let line = message_line(0x0100_0003, 10, 7, 250, b"\x00\xff", None);
        assert_eq!(line, b":01000003 10 7 250 00ff\n");
        let event = SocketLine {
            kind: 2,
            id: 5,
            ud: 0,
            text: Some(b"start"),
            data: b"",
        };
        assert_eq!(
            message_line(0, 6, 0, 1, b"", Some(event)),
            b"[socket] 2 5 0 [start]\n"
        );
        let event = SocketLine {
            kind: 1,
            id: 5,
            ud: 2,
            text: None,
            data: b"hi",
        };
        assert_eq!(
            message_line(0, 6, 0, 1, b"", Some(event)),
            b"[socket] 1 5 2 6869\n"
        );
    }
}
