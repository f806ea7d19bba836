//! The text commands `kick`, `forward`, `broker`, `start` and `close`.

use crate::scan::{Scanner, handle, leading_int};

/// What another service asks of the gate.
#[derive(Debug, PartialEq)]
pub enum Command<'a> {
    /// Close a connection.
    Kick(i32),
    /// Send the packets of connection `id` to `receiver`, as if they came from `source`.
    Forward {
        id: i32,
        receiver: u32,
        source: u32,
    },
    /// Send all packets to the service with this address.
    Broker(&'a [u8]),
    /// Begin to read from a connection.
    Start(i32),
    /// Stop listening.
    Close,
    /// Nothing to do: an empty text, or `forward` without its parameters.
    Nothing,
    Unknown,
}

/// Order matters: a command may be cut short, and the first name that begins with what was sent wins.
/// (An empty word, from a leading blank, is therefore a `kick`.)
const NAMES: [&[u8]; 5] = [b"kick", b"forward", b"broker", b"start", b"close"];

pub fn parse(text: &[u8]) -> Command<'_> {
    if text.is_empty() {
        return Command::Nothing;
    }
    let end = text.iter().position(|&b| b == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let blanks = rest.iter().take_while(|&&b| b == b' ').count();
    let rest = &rest[blanks..];
    match NAMES.iter().find(|name| name.starts_with(word)) {
        Some(&b"kick") => Command::Kick(leading_int(rest)),
        Some(&b"forward") => forward(rest).unwrap_or(Command::Nothing),
        Some(&b"broker") => Command::Broker(rest),
        Some(&b"start") => Command::Start(leading_int(rest)),
        Some(_) => Command::Close,
        None => Command::Unknown,
    }
}

fn forward(rest: &[u8]) -> Option<Command<'_>> {
    let mut scan = Scanner::new(rest);
    let id = leading_int(scan.word()?);
    let receiver = handle(scan.word()?);
    let source = handle(scan.word()?);
    Some(Command::Forward {
        id,
        receiver,
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names() {
        assert_eq!(parse(b"kick 7"), Command::Kick(7));
        assert_eq!(parse(b"start   7"), Command::Start(7));
        assert_eq!(parse(b"close"), Command::Close);
        assert_eq!(parse(b"broker .b c"), Command::Broker(b".b c"));
        assert_eq!(
            parse(b"forward 7 :01000010 :ff"),
            Command::Forward {
                id: 7,
                receiver: 0x0100_0010,
                source: 0xff
            }
        );
    }

    #[test]
    fn beginnings_of_names() {
        assert_eq!(parse(b"k 7"), Command::Kick(7));
        assert_eq!(parse(b"sta 7"), Command::Start(7));
        assert_eq!(parse(b"c"), Command::Close);
        assert_eq!(parse(b"b"), Command::Broker(b""));
        assert_eq!(parse(b" 7"), Command::Kick(7));
        assert_eq!(parse(b" "), Command::Kick(0));
    }

    #[test]
    fn nothing_and_unknown() {
        assert_eq!(parse(b""), Command::Nothing);
        assert_eq!(parse(b"forward"), Command::Nothing);
        assert_eq!(parse(b"forward 7"), Command::Nothing);
        assert_eq!(parse(b"forward 7 :10"), Command::Nothing);
        for text in [&b"kicks 7"[..], b"Kick 7", b"x", b"kick\t7"] {
            assert_eq!(parse(text), Command::Unknown);
        }
    }
}
