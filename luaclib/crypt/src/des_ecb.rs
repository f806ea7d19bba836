//! DES in ECB mode with two kinds of padding.

use des::Des;
use des::cipher::array::Array;
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use crate::Error;

/// Bytes in a block, and in a key.
pub const BLOCK: usize = 8;

/// How the last block is filled up; every text gets at least one byte of padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// A byte 0x80, then zeros.
    Iso7816_4,
    /// n bytes of value n.
    Pkcs7,
}

/// Names and numbers of the paddings in the module's `padding` table.
pub const PADDINGS: [(&core::ffi::CStr, Padding, i32); 2] = [
    (c"iso7816_4", Padding::Iso7816_4, 0),
    (c"pkcs7", Padding::Pkcs7, 1),
];

impl Padding {
    /// The padding that Lua calls by this number.
    pub fn from_number(number: i32) -> Result<Self, Error> {
        PADDINGS
            .iter()
            .find(|(_, _, n)| *n == number)
            .map(|(_, padding, _)| *padding)
            .ok_or(Error::PaddingMode(number))
    }

    /// Fills the tail of the last block.
    fn fill(self, tail: &mut [u8]) {
        match self {
            Padding::Iso7816_4 => {
                tail.fill(0);
                tail[0] = 0x80;
            }
            Padding::Pkcs7 => tail.fill(tail.len() as u8),
        }
    }

    /// Length of the padding at the end of `block`.
    fn measure(self, block: &[u8]) -> Result<usize, Error> {
        match self {
            Padding::Iso7816_4 => {
                let mark = block.iter().rposition(|&b| b != 0);
                match mark {
                    Some(at) if block[at] == 0x80 => Ok(block.len() - at),
                    _ => Err(Error::CipherText),
                }
            }
            Padding::Pkcs7 => {
                let last = block[block.len() - 1];
                let n = usize::from(last);
                if !(1..=block.len()).contains(&n)
                    || block[block.len() - n..].iter().any(|&b| b != last)
                {
                    return Err(Error::CipherText);
                }
                Ok(n)
            }
        }
    }
}

/// Checks the length of a DES key; the parity bits do not matter.
pub fn key(bytes: &[u8]) -> Result<[u8; BLOCK], Error> {
    bytes.try_into().map_err(|_| Error::KeyLength(bytes.len()))
}

/// Length of the cipher text of `len` bytes.
pub fn encoded_len(len: usize) -> usize {
    len / BLOCK * BLOCK + BLOCK
}

/// Encrypts `text` into `out`, which has [`encoded_len`] bytes.
pub fn encode(key: [u8; BLOCK], text: &[u8], padding: Padding, out: &mut [u8]) {
    out[..text.len()].copy_from_slice(text);
    padding.fill(&mut out[text.len()..]);
    let (blocks, _) = Array::slice_as_chunks_mut(out);
    Des::new(&key.into()).encrypt_blocks(blocks);
}

/// Checks the length of a cipher text.
pub fn check_cipher_len(len: usize) -> Result<(), Error> {
    if len == 0 || !len.is_multiple_of(BLOCK) {
        return Err(Error::CipherLength(len));
    }
    Ok(())
}

/// Decrypts `cipher` into `out`, which is as long. Returns the length without padding.
pub fn decode(
    key: [u8; BLOCK],
    cipher: &[u8],
    padding: Padding,
    out: &mut [u8],
) -> Result<usize, Error> {
    check_cipher_len(cipher.len())?;
    out.copy_from_slice(cipher);
    let (blocks, _) = Array::slice_as_chunks_mut(out);
    Des::new(&key.into()).decrypt_blocks(blocks);
    let filled = padding.measure(&out[out.len() - BLOCK..])?;
    Ok(out.len() - filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: [u8; 8], text: &[u8], padding: Padding) -> Vec<u8> {
        let mut out = vec![0xAA; encoded_len(text.len())];
        encode(key, text, padding, &mut out);
        out
    }

    fn open(key: [u8; 8], cipher: &[u8], padding: Padding) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; cipher.len()];
        let len = decode(key, cipher, padding, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn known_texts() {
        let key = *b"12345678";
        assert_eq!(hex(&seal(key, b"", Padding::Iso7816_4)), "8d3d438a718b4510");
        assert_eq!(hex(&seal(key, b"", Padding::Pkcs7)), "feb959b7d4642fcb");
        assert_eq!(
            hex(&seal(key, b"12345678", Padding::Iso7816_4)),
            "96d0028878d58c898d3d438a718b4510"
        );
        // The worked example that every DES tutorial uses.
        let key = 0x1334_5779_9bbc_dff1u64.to_be_bytes();
        let text = 0x0123_4567_89ab_cdefu64.to_be_bytes();
        let sealed = seal(key, &text, Padding::Pkcs7);
        assert_eq!(hex(&sealed[..8]), "85e813540f0ab405");
    }

    #[test]
    fn every_length_comes_back() {
        let text: Vec<u8> = (0..40).collect();
        for len in 0..text.len() {
            for padding in [Padding::Iso7816_4, Padding::Pkcs7] {
                let sealed = seal(*b"a secret", &text[..len], padding);
                assert_eq!(sealed.len(), (len + 8) / 8 * 8);
                assert_eq!(open(*b"a secret", &sealed, padding).unwrap(), &text[..len]);
            }
        }
    }

    #[test]
    fn bad_lengths() {
        let check = |cipher: &[u8]| open([0; 8], cipher, Padding::Pkcs7);
        assert_eq!(check(b""), Err(Error::CipherLength(0)));
        assert_eq!(check(b"1234567"), Err(Error::CipherLength(7)));
        assert_eq!(check(b"123456789"), Err(Error::CipherLength(9)));
        assert_eq!(key(b"1234567"), Err(Error::KeyLength(7)));
        assert_eq!(Padding::from_number(2), Err(Error::PaddingMode(2)));
        assert_eq!(Padding::from_number(-1), Err(Error::PaddingMode(-1)));
    }

    #[test]
    fn bad_padding() {
        let iso = Padding::Iso7816_4;
        assert_eq!(iso.measure(&[0; 8]), Err(Error::CipherText));
        assert_eq!(iso.measure(&[0x80, 0, 0, 0, 0, 0, 0, 0]), Ok(8));
        assert_eq!(iso.measure(&[1, 2, 3, 4, 5, 6, 7, 0x80]), Ok(1));
        assert_eq!(
            iso.measure(&[0x80, 1, 0, 0, 0, 0, 0, 0]),
            Err(Error::CipherText)
        );
        let pkcs = Padding::Pkcs7;
        assert_eq!(pkcs.measure(&[8; 8]), Ok(8));
        assert_eq!(pkcs.measure(&[0, 0, 0, 0, 0, 0, 0, 1]), Ok(1));
        assert_eq!(pkcs.measure(&[0; 8]), Err(Error::CipherText));
        assert_eq!(pkcs.measure(&[9; 8]), Err(Error::CipherText));
        assert_eq!(
            pkcs.measure(&[0, 0, 0, 0, 0, 0, 1, 2]),
            Err(Error::CipherText)
        );
    }
}
