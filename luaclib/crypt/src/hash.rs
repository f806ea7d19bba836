//! Hashes and keyed hashes, random keys, and XOR with a repeated key.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use md5::block_api::compress as md5_compress;
use sha1::{Digest, Sha1};

use crate::Error;

/// Two cheap 32-bit string hashes side by side: Bernstein's and the "JS" hash.
pub fn hashkey(text: &[u8]) -> [u8; 8] {
    let (mut times33, mut js) = (5381u32, 0x4E67_C6A7u32);
    for byte in text.iter().copied().map(u32::from) {
        times33 = times33.wrapping_mul(33).wrapping_add(byte);
        let mixed = js.wrapping_shl(5).wrapping_add(js >> 2);
        js ^= mixed.wrapping_add(byte);
    }
    join(times33, js)
}

/// The bare MD5 compression of `x` and `y`, folded to 64 bits: what the login handshake signs with.
pub fn hmac64(x: u64, y: u64) -> [u8; 8] {
    const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    // Four times (high x, low x, high y, low y); rotating swaps the halves.
    let mut block = [0; 64];
    for part in block.chunks_exact_mut(16) {
        part[..8].copy_from_slice(&x.rotate_left(32).to_le_bytes());
        part[8..].copy_from_slice(&y.rotate_left(32).to_le_bytes());
    }
    let mut state = START;
    md5_compress(&mut state, &[block]);
    // MD5 adds the start values at the end of a block; this hash is defined without that.
    let [a, b, c, d] = core::array::from_fn(|i| state[i].wrapping_sub(START[i]));
    join(c ^ d, a ^ b)
}

/// As [`hmac64`], but with the real MD5: of three times `x` and `y`, folded to 64 bits.
pub fn hmac64_md5(x: u64, y: u64) -> [u8; 8] {
    let mut hasher = Md5::new();
    for _ in 0..3 {
        hasher.update(x.to_le_bytes());
        hasher.update(y.to_le_bytes());
    }
    let digest = hasher.finalize();
    core::array::from_fn(|i| digest[i] ^ digest[i + 8])
}

/// [`hmac64`] of a text under a key.
pub fn hmac_hash(key: u64, text: &[u8]) -> [u8; 8] {
    hmac64(u64::from_le_bytes(hashkey(text)), key)
}

/// SHA-1.
pub fn sha1(data: &[u8]) -> [u8; 20] {
    Sha1::digest(data).into()
}

/// HMAC-SHA1 (RFC 2104).
pub fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    let mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(text).finalize().into_bytes().into()
}

/// Eight random bytes, never all zero: the Diffie-Hellman functions refuse that.
pub fn random_key() -> Result<[u8; 8], Error> {
    let mut key = [0; 8];
    getrandom::fill(&mut key).map_err(|_| Error::Random)?;
    Ok(never_zero(key))
}

/// Sets the lowest bit of a key whose bytes cancel out under XOR, as upstream does; all zeros is one of those.
fn never_zero(mut key: [u8; 8]) -> [u8; 8] {
    if key.iter().fold(0, |all, byte| all ^ byte) == 0 {
        key[0] |= 1;
    }
    key
}

/// XOR of `data` with `key`, repeated; `out` is as long as `data`.
pub fn xor(data: &[u8], key: &[u8], out: &mut [u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::EmptyKey);
    }
    for (chunk, target) in data.chunks(key.len()).zip(out.chunks_mut(key.len())) {
        for ((o, d), k) in target.iter_mut().zip(chunk).zip(key) {
            *o = d ^ k;
        }
    }
    Ok(())
}

fn join(low: u32, high: u32) -> [u8; 8] {
    (u64::from(high) << 32 | u64::from(low)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
    const B: u64 = u64::from_le_bytes(*b"abcdefgh");

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn hashkeys() {
        assert_eq!(hex(&hashkey(b"")), "05150000a7c6674e");
        assert_eq!(hex(&hashkey(b"a")), "06b602004d00f5ae");
        assert_eq!(hex(&hashkey(b"hello")), "9930920fcbef1867");
        assert_eq!(hex(&hashkey(&[0, 1, 2, 255])), "07155d7c4d266d43");
    }

    #[test]
    fn keyed_64_bit_hashes() {
        assert_eq!(hex(&hmac64(A, B)), "c33a3fabc0e7c128");
        assert_eq!(hex(&hmac64(B, A)), "03f66081e16fd0d8");
        assert_eq!(hex(&hmac64_md5(A, B)), "ecaeeab22183c5f2");
        assert_eq!(hex(&hmac64_md5(B, A)), "ba31b4bbe82b2478");
        assert_eq!(hex(&hmac_hash(A, b"hello")), "7a3851a6280017c1");
        assert_eq!(hex(&hmac_hash(A, b"")), "5557eef0a339145d");
    }

    #[test]
    fn sha1_family() {
        assert_eq!(
            hex(&sha1(b"abc")),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            hex(&hmac_sha1(b"", b"")),
            "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d"
        );
        assert_eq!(
            hex(&hmac_sha1(&[b'k'; 65], b"x")),
            "7209aca75ec680871725fd309aa689746677dbd4"
        );
        assert_eq!(
            hex(&hmac_sha1(&[b'k'; 64], b"x")),
            "2c31eadf68d9ba971ad29339d28ce725b03c11f6"
        );
    }

    #[test]
    fn random_keys_differ_and_are_not_zero() {
        assert_ne!(random_key().unwrap(), random_key().unwrap());
        assert_eq!(never_zero([0; 8]), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            never_zero([6, 6, 0, 0, 0, 0, 0, 0]),
            [7, 6, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            never_zero([2, 0, 0, 0, 0, 0, 0, 0]),
            [2, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn xor_repeats_the_key() {
        let mut out = [0; 5];
        xor(&[1, 2, 3, 4, 5], &[0xff, 1], &mut out).unwrap();
        assert_eq!(out, [0xfe, 3, 0xfc, 5, 0xfa]);
        xor(&[1, 2, 3, 4, 5], &[1; 9], &mut out).unwrap();
        assert_eq!(out, [0, 3, 2, 5, 4]);
        assert_eq!(xor(b"", b"", &mut []), Err(Error::EmptyKey));
    }
}
