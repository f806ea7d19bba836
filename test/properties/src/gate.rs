//! The C service `gate`: its texts and its streams.

use crate::command::{self, Command};
use crate::framing::{Framer, Prefix, TooLong};
use crate::input::Input;
use crate::param;
use crate::scan::{handle, leading_int};

/// The command word of a text, and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&b| b == b' ').unwrap_or(text.len());
    let mut rest = &text[end..];
    while let [b' ', more @ ..] = rest {
        rest = more;
    }
    (&text[..end], rest)
}

/// What C's functions make of the text.
fn c_number(text: &[u8], base: i32) -> i64 {
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    let text = std::ffi::CString::new(&text[..end]).expect("no NUL is left");
    // SAFETY: the text is NUL terminated.
    unsafe { libc::strtol(text.as_ptr(), std::ptr::null_mut(), base) }
}

/// Commands are told apart by a beginning of their name, and numbers are read as C does. Launch parameters
/// are read or refused.
pub fn gate_command(text: &[u8]) {
    let (name, rest) = word(text);
    let known = ["kick", "forward", "broker", "start", "close"]
        .into_iter()
        .find(|known| known.as_bytes().starts_with(name));
    match (command::parse(text), known) {
        (Command::Nothing, _) if text.is_empty() => {}
        (Command::Unknown, None) | (Command::Close, Some("close")) => {}
        (Command::Kick(id), Some("kick")) | (Command::Start(id), Some("start")) => {
            same_number(id, rest);
        }
        (Command::Broker(address), Some("broker")) => assert_eq!(address, rest),
        (Command::Forward { .. } | Command::Nothing, Some("forward")) => {}
        (got, known) => panic!("{got:?} for {known:?}"),
    }
    let parts = text.split(u8::is_ascii_whitespace);
    for part in parts.filter(|part| part.len() < 16) {
        let digits = part.get(1..).unwrap_or_default();
        if digits.first().is_some_and(u8::is_ascii_hexdigit) {
            assert_eq!(handle(part), c_number(digits, 16) as u32);
        }
    }
    if let Ok(param) = param::parse(text) {
        assert!(param.max > 0 && (0..=0xff).contains(&param.client_tag));
        assert!(!param.bind.is_empty());
    }
    if let Some((host, port)) = param::address(text) {
        assert!(port > 0 && host.len() <= text.len());
    }
}

/// As C reads it, where a C `int` can hold it. A vertical tab is no blank to us.
fn same_number(got: i32, text: &[u8]) {
    assert_eq!(got, leading_int(text));
    let of_c = c_number(text, 10);
    if !text.contains(&0x0b) && i64::from(of_c as i32) == of_c {
        assert_eq!(i64::from(got), of_c);
    }
}

/// The packets of a whole stream, and whether it goes wrong.
fn packets(prefix: usize, mut stream: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut found = Vec::new();
    while let Some((head, rest)) = stream.split_at_checked(prefix) {
        let length = head.iter().fold(0usize, |n, &b| n * 256 + usize::from(b));
        if length >= 1 << 24 {
            return (found, true);
        }
        let Some((packet, rest)) = rest.split_at_checked(length) else {
            break;
        };
        if !packet.is_empty() {
            found.push(packet.to_vec());
        }
        stream = rest;
    }
    (found, false)
}

/// However a stream is cut into pieces, the packets are the same.
pub fn gate_framing(data: &[u8]) {
    let mut input = Input::new(data);
    let (prefix, bytes) = match input.byte() % 2 {
        0 => (Prefix::Two, 2),
        _ => (Prefix::Four, 4),
    };
    // Sizes of packets, their bytes and all that is to be wrong in the stream come from the input as well.
    let mut stream = Vec::new();
    for _ in 0..input.byte() % 16 {
        let size = input.below(700);
        stream.extend_from_slice(&(size as u32).to_be_bytes()[4 - bytes..]);
        stream.extend((0..size).map(|i| (i + size) as u8));
    }
    let pieces: Vec<usize> = (0..input.byte() % 8)
        .map(|_| input.below(300) + 1)
        .collect();
    stream.extend_from_slice(input.rest());

    let (want, wrong) = packets(bytes, &stream);
    let mut framer = Framer::new(prefix);
    let mut got = Vec::new();
    let mut rest = &stream[..];
    let mut sizes = pieces.iter().copied().cycle();
    let mut end = Ok(());
    while end.is_ok() && !rest.is_empty() {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, later) = rest.split_at(size);
        end = framer.feed(piece, |packet| got.push(packet.to_vec()));
        rest = later;
    }
    assert_eq!(got, want);
    assert_eq!(end, if wrong { Err(TooLong) } else { Ok(()) });
}
