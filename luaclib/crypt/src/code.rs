//! Hexadecimal and base64 text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Error;

/// Writes `data` in lower-case digits; `out` is twice as long.
pub fn hex_encode(data: &[u8], out: &mut [u8]) {
    base16ct::lower::encode(data, out).expect("caller sizes the output");
}

/// Reads lower-case digits into `out`, which is at least half as long. Returns the length written.
///
/// Capital letters are refused, as clients in the field expect.
pub fn hex_decode(text: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    if !text.len().is_multiple_of(2) {
        return Err(Error::HexLength(text.len()));
    }
    let bytes = base16ct::lower::decode(text, out).map_err(|_| Error::HexDigit)?;
    Ok(bytes.len())
}

/// Length of the base64 text of `len` bytes.
pub fn base64_encoded_len(len: usize) -> usize {
    len.div_ceil(3) * 4
}

/// Writes `data` as base64 with padding; `out` has [`base64_encoded_len`] bytes.
pub fn base64_encode(data: &[u8], out: &mut [u8]) -> usize {
    STANDARD
        .encode_slice(data, out)
        .expect("caller sizes the output")
}

/// Room that [`base64_decode`] needs for a text of `len` bytes.
pub fn base64_decoded_max(len: usize) -> usize {
    len.div_ceil(4) * 3
}

/// Reads base64 group by group. Returns the length written.
///
/// More lenient than the standard: inside a group of four symbols anything outside the alphabet is
/// skipped, the last group may lack its padding, and padding may end any group. Text without such
/// liberties, nearly all there is, takes the library's fast path.
pub fn base64_decode(text: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    if let Ok(len) = STANDARD.decode_slice(text, out) {
        return Ok(len);
    }
    let mut len = 0;
    let mut group = [b'='; 4];
    let mut symbols = 0;
    // A skipped byte opens a group too, so junk behind the last group is an error, not silence.
    let mut open = false;
    for &byte in text {
        open = true;
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')) {
            continue;
        }
        group[symbols] = byte;
        symbols += 1;
        if symbols == group.len() {
            len += decode_group(group, &mut out[len..])?;
            group = [b'='; 4];
            symbols = 0;
            open = false;
        }
    }
    if open {
        len += decode_group(group, &mut out[len..])?;
    }
    Ok(len)
}

/// One group of four symbols: one to three bytes.
fn decode_group(group: [u8; 4], out: &mut [u8]) -> Result<usize, Error> {
    STANDARD
        .decode_slice(group, &mut out[..3])
        .map_err(|_| Error::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unbase64(text: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; base64_decoded_max(text.len())];
        let len = base64_decode(text, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    fn unhex(text: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; text.len() / 2];
        let len = hex_decode(text, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    #[test]
    fn hex() {
        let mut out = [0; 6];
        hex_encode(b"\x00\xa5\xff", &mut out);
        assert_eq!(&out, b"00a5ff");
        assert_eq!(unhex(b"00a5ff").unwrap(), b"\x00\xa5\xff");
        assert_eq!(unhex(b"").unwrap(), b"");
        assert_eq!(unhex(b"abc"), Err(Error::HexLength(3)));
        for wrong in [b"AB", b"0g", b"W0", b"`0", b" 0", b"0:"] {
            assert_eq!(unhex(wrong), Err(Error::HexDigit), "{wrong:?}");
        }
    }

    #[test]
    fn base64_writes_the_standard_form() {
        for (data, text) in [
            (&b""[..], &b""[..]),
            (b"f", b"Zg=="),
            (b"fo", b"Zm8="),
            (b"foo", b"Zm9v"),
            (b"\xff\xfe\xfd", b"//79"),
        ] {
            let mut out = vec![0; base64_encoded_len(data.len())];
            let len = base64_encode(data, &mut out);
            assert_eq!(&out[..len], text);
            assert_eq!(unbase64(text).unwrap(), data);
        }
    }

    #[test]
    fn base64_reads_lenient_forms() {
        for (text, data) in [
            (&b"Zg"[..], &b"f"[..]),
            (b"Zg=", b"f"),
            (b"Zm8", b"fo"),
            (b"Zg==Zg==", b"ff"),
            (b"Zm9v\nYmFy", b"foobar"),
            (b"Zm 9v", b"foo"),
            (b"\0Zm9v", b"foo"),
            (b"Zg\n", b"f"),
            (b"Zg=\n=", b"f"),
        ] {
            assert_eq!(unbase64(text).as_deref(), Ok(data), "{text:?}");
        }
    }

    #[test]
    fn base64_refuses_broken_groups() {
        for text in [
            &b"Z"[..],
            b"====",
            b"Zh==",
            b"Zm9=",
            b"Z===",
            b"-_-_",
            b"Zg=a",
            b"Z=g=",
            b"Zm9v\n",
            b"\n",
            b"=",
        ] {
            assert_eq!(unbase64(text), Err(Error::Base64), "{text:?}");
        }
    }
}
