//! The launch parameter `<header> <watchdog> <bind> <client_tag> <max>`.

use crate::framing::Prefix;
use crate::scan::{Scanner, leading_int};

/// Message type of forwarded packets when the parameter gives none (`PTYPE_CLIENT`).
const DEFAULT_TAG: i32 = 3;

/// A launch parameter whose words are in order. Whether the watchdog exists and the address makes sense is
/// checked later, so that the errors come in the order in which people know them.
#[derive(Debug, PartialEq)]
pub struct Param<'a> {
    pub prefix: Prefix,
    /// `None`: nobody wants to hear about connections.
    pub watchdog: Option<&'a [u8]>,
    pub bind: &'a [u8],
    pub client_tag: i32,
    pub max: usize,
}

/// What is wrong with a launch parameter.
#[derive(Debug, PartialEq)]
pub enum ParamError {
    TooFewParts,
    NoMax,
    UnknownHeader,
}

pub fn parse(text: &[u8]) -> Result<Param<'_>, ParamError> {
    use ParamError::*;
    let mut scan = Scanner::new(text);
    let header = scan.byte().ok_or(TooFewParts)?;
    let watchdog = scan.word().ok_or(TooFewParts)?;
    let bind = scan.word().ok_or(TooFewParts)?;
    let tag = scan.int().ok_or(TooFewParts)?;
    let max = scan.int().filter(|&max| max > 0).ok_or(NoMax)?;
    let prefix = match header {
        b'S' => Prefix::Two,
        b'L' => Prefix::Four,
        _ => return Err(UnknownHeader),
    };
    Ok(Param {
        prefix,
        watchdog: (!watchdog.starts_with(b"!")).then_some(watchdog),
        bind,
        // The core looks at eight bits; the others are its own flags.
        client_tag: if tag == 0 { DEFAULT_TAG } else { tag & 0xff },
        max: max as usize,
    })
}

/// Splits `host:port` or `port`; an empty host means any. `None` if there is no usable port.
pub fn address(bind: &[u8]) -> Option<(&[u8], i32)> {
    let (host, port) = match bind.iter().rposition(|&b| b == b':') {
        Some(colon) => (&bind[..colon], &bind[colon + 1..]),
        None => (&[][..], bind),
    };
    let port = leading_int(port);
    (port > 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_parameter() {
        let param = parse(b"S :01000008 127.0.0.1:8888 0 64").unwrap();
        assert_eq!(param.prefix, Prefix::Two);
        assert_eq!(param.watchdog, Some(&b":01000008"[..]));
        assert_eq!(param.bind, b"127.0.0.1:8888");
        assert_eq!(param.client_tag, 3);
        assert_eq!(param.max, 64);

        let param = parse(b"L !none 8888 10 1x").unwrap();
        assert_eq!(param.prefix, Prefix::Four);
        assert_eq!(param.watchdog, None);
        assert_eq!(param.client_tag, 10);
        assert_eq!(param.max, 1);
    }

    #[test]
    fn flags_cannot_be_smuggled_in_the_tag() {
        assert_eq!(parse(b"S ! 1 131075 1").unwrap().client_tag, 3);
    }

    #[test]
    fn errors_in_order() {
        use ParamError::*;
        assert_eq!(parse(b"").unwrap_err(), TooFewParts);
        assert_eq!(parse(b"X ! 8888").unwrap_err(), TooFewParts);
        assert_eq!(parse(b"X ! 8888 tag 1").unwrap_err(), TooFewParts);
        assert_eq!(parse(b"X ! 8888 0").unwrap_err(), NoMax);
        assert_eq!(parse(b"X ! 8888 0 0").unwrap_err(), NoMax);
        assert_eq!(parse(b"X ! 8888 0 -1").unwrap_err(), NoMax);
        assert_eq!(parse(b"S ! 8888 8x 10").unwrap_err(), NoMax);
        assert_eq!(parse(b"X ! 8888 0 10").unwrap_err(), UnknownHeader);
        // The header is one character; the rest of the first word is the watchdog.
        assert_eq!(parse(b"Sx !x 80.1 0 10").unwrap_err(), NoMax);
    }

    #[test]
    fn addresses() {
        assert_eq!(address(b"8888"), Some((&b""[..], 8888)));
        assert_eq!(address(b":8888"), Some((&b""[..], 8888)));
        assert_eq!(address(b"::1:8888"), Some((&b"::1"[..], 8888)));
        assert_eq!(address(b"h:80x"), Some((&b"h"[..], 80)));
        for bad in [&b""[..], b"h", b"h:", b"h:0", b"h:-1", b"80:"] {
            assert_eq!(address(bad), None);
        }
    }
}
