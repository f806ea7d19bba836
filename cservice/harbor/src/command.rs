//! The control messages: `N <name>`, `S <socket> <node>` and `A <socket> <node>`.

use std::ffi::c_int;

/// A global name, padded with zeros.
pub type GlobalName = [u8; 16];

#[derive(Debug, PartialEq)]
pub enum Command<'a> {
    /// The sender of the message is known by this name everywhere.
    Name(GlobalName),
    /// A connection to `node` is ours from now on.
    Link {
        socket: c_int,
        node: u8,
        /// We have yet to receive the number of the node (`S`); else the slave has (`A`).
        greet: bool,
    },
    BadName(&'a [u8]),
    /// The letter and what it came with.
    BadLink(u8, &'a [u8]),
    Unknown,
}

pub fn parse(text: &[u8]) -> Command<'_> {
    let (letter, rest) = match text {
        [letter, _, rest @ ..] => (*letter, rest),
        _ => return Command::Unknown,
    };
    match letter {
        b'N' => name(rest).map_or(Command::BadName(rest), Command::Name),
        b'S' | b'A' => link(letter, rest).unwrap_or(Command::BadLink(letter, rest)),
        _ => Command::Unknown,
    }
}

/// A name shorter than sixteen bytes, so that a zero ends it.
fn name(text: &[u8]) -> Option<GlobalName> {
    let mut name = GlobalName::default();
    if text.is_empty() || text.len() >= name.len() {
        return None;
    }
    name[..text.len()].copy_from_slice(text);
    Some(name)
}

fn link(letter: u8, text: &[u8]) -> Option<Command<'static>> {
    let (socket, rest) = int(text)?;
    let (node, _) = int(rest)?;
    let node = u8::try_from(node).ok().filter(|&node| node != 0)?;
    (socket != 0).then_some(Command::Link {
        socket,
        node,
        greet: letter == b'S',
    })
}

/// The decimal number at the start of `text`, and what follows it.
pub fn int(text: &[u8]) -> Option<(i32, &[u8])> {
    let text = text.trim_ascii_start();
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text[sign..].iter().take_while(|b| b.is_ascii_digit());
    let (number, rest) = text.split_at(sign + digits.count());
    Some((str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            parse(b"N DATACENTER"),
            Command::Name(*b"DATACENTER\0\0\0\0\0\0")
        );
        assert_eq!(
            parse(b"N 123456789012345"),
            Command::Name(*b"123456789012345\0")
        );
        let long = b"1234567890123456";
        assert_eq!(parse(b"N 1234567890123456"), Command::BadName(long));
        assert_eq!(parse(b"N "), Command::BadName(b""));
    }

    #[test]
    fn links() {
        let link = |socket, node, greet| Command::Link {
            socket,
            node,
            greet,
        };
        assert_eq!(parse(b"S 12 3"), link(12, 3, true));
        assert_eq!(parse(b"A  12   255x"), link(12, 255, false));
        for bad in [
            &b"S 0 3"[..],
            b"S 12 0",
            b"S 12 256",
            b"S 12 -1",
            b"S 12",
            b"S x 3",
            b"S ",
            b"S 99999999999 1",
        ] {
            assert_eq!(parse(bad), Command::BadLink(b'S', &bad[2..]));
        }
    }

    #[test]
    fn unknown() {
        for text in [&b""[..], b"N", b"X 1", b"n x"] {
            assert_eq!(parse(text), Command::Unknown);
        }
    }
}
