//! The cipher of `md5.crypt`: cipher feedback with MD5 as the block function.
//!
//! The key stream of a block is the MD5 of a 16-byte register followed by the key. The register starts as
//! the seed, padded with zeros; the cipher text of each block then overwrites its front.

use md5::{Digest, Md5};

/// Bytes of cipher text per step, size of the register, and longest seed.
pub const BLOCK: usize = 16;

/// Longest key.
pub const KEY_MAX: usize = 256;

/// The running state over one text.
pub struct Cfb<'a> {
    register: [u8; BLOCK],
    key: &'a [u8],
}

impl<'a> Cfb<'a> {
    /// Starts a text; `seed` has at most [`BLOCK`] bytes.
    pub fn new(seed: &[u8], key: &'a [u8]) -> Self {
        let mut register = [0; BLOCK];
        register[..seed.len()].copy_from_slice(seed);
        Cfb { register, key }
    }

    /// Encrypts `text` into `out` of the same length.
    pub fn encrypt(mut self, text: &[u8], out: &mut [u8]) {
        for (plain, cipher) in text.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            self.apply_stream(plain, cipher);
            self.register[..cipher.len()].copy_from_slice(cipher);
        }
    }

    /// Decrypts `cipher` into `out` of the same length.
    pub fn decrypt(mut self, cipher: &[u8], out: &mut [u8]) {
        for (cipher, plain) in cipher.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            self.apply_stream(cipher, plain);
            self.register[..cipher.len()].copy_from_slice(cipher);
        }
    }

    fn apply_stream(&self, from: &[u8], to: &mut [u8]) {
        let stream = Md5::new()
            .chain_update(self.register)
            .chain_update(self.key)
            .finalize();
        exor(from, &stream[..from.len()], to);
    }
}

/// XOR of two slices of the same length.
pub fn exor(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
        *o = a ^ b;
    }
}

/// Splits the output of `crypt` (length of the seed, seed, cipher text); none if it is too short for its
/// seed or if the seed is longer than any that `crypt` writes.
pub fn split(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = message.split_first()?;
    if usize::from(len) > BLOCK {
        return None;
    }
    rest.split_at_checked(len.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(text: &[u8], key: &[u8], seed: &[u8]) -> Vec<u8> {
        let mut out = vec![0; text.len()];
        Cfb::new(seed, key).encrypt(text, &mut out);
        out
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn known_texts() {
        let sealed = seal(b"hello world, this is a message", b"key", b"seed");
        assert_eq!(
            hex(&sealed),
            "c78025b74eeaf25687f4eaabf911327da70e275df474f7eb0c85b326b036"
        );
        assert_eq!(hex(&seal(b"x", b"k", b"")), "79");
        assert_eq!(hex(&seal(b"", b"k", b"s")), "");
    }

    #[test]
    fn every_length_comes_back() {
        let text: Vec<u8> = (0..50).collect();
        for len in 0..text.len() {
            let sealed = seal(&text[..len], b"some key", b"0123456789abcdef");
            let mut plain = vec![0; len];
            Cfb::new(b"0123456789abcdef", b"some key").decrypt(&sealed, &mut plain);
            assert_eq!(plain, &text[..len]);
        }
    }

    #[test]
    fn splitting() {
        assert_eq!(split(b""), None);
        assert_eq!(split(b"\x00"), Some((&b""[..], &b""[..])));
        assert_eq!(split(b"\x02a"), None);
        assert_eq!(split(b"\x02abc"), Some((&b"ab"[..], &b"c"[..])));
        assert_eq!(split(&[17; 40]), None);
    }
}
