//! Encoded UDP addresses.

use crate::udp::{MAX_ADDRESS, decode, encode, encoded_len};

/// What can be read is what would be written; everything else is refused.
pub fn udp_address(bytes: &[u8]) {
    let wanted = bytes.first().and_then(|&tag| encoded_len(tag));
    let there = wanted.filter(|&wanted| wanted <= bytes.len());
    let Some(address) = decode(bytes) else {
        assert_eq!(there, None);
        return;
    };
    let mut again = [0; MAX_ADDRESS];
    let length = encode(&address, &mut again);
    assert_eq!(Some(length), there);
    assert_eq!(again[..length], bytes[..length]);
    assert_eq!(address.is_ipv4(), bytes[0] == 1);
}
