//! UDP addresses as modules see them: a tag, the port and the address, both in network order
//! (core.md §8.11(1)).

use std::net::{IpAddr, SocketAddr};

const TAG_V4: u8 = 1;
const TAG_V6: u8 = 2;

/// Bytes before the address itself: the tag and the port.
const PREFIX: usize = 3;
/// The longest encoded address.
pub const MAX_ADDRESS: usize = PREFIX + 16;

/// The length that a tag announces, or nothing for an unknown tag.
pub fn encoded_len(tag: u8) -> Option<usize> {
    match tag {
        TAG_V4 => Some(PREFIX + 4),
        TAG_V6 => Some(PREFIX + 16),
        _ => None,
    }
}

/// Writes the encoded form of `address` and returns its length.
pub fn encode(address: &SocketAddr, out: &mut [u8; MAX_ADDRESS]) -> usize {
    out[1..PREFIX].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            out[0] = TAG_V4;
            out[PREFIX..PREFIX + 4].copy_from_slice(&ip.octets());
            PREFIX + 4
        }
        IpAddr::V6(ip) => {
            out[0] = TAG_V6;
            out[PREFIX..].copy_from_slice(&ip.octets());
            PREFIX + 16
        }
    }
}

/// Reads an encoded address; nothing for an unknown tag or too few bytes.
pub fn decode(bytes: &[u8]) -> Option<SocketAddr> {
    let bytes = bytes.get(..encoded_len(*bytes.first()?)?)?;
    let port = u16::from_be_bytes([bytes[1], bytes[2]]);
    let ip = match *bytes.get(PREFIX..)? {
        [a, b, c, d] => IpAddr::from([a, b, c, d]),
        ref long => IpAddr::from(<[u8; 16]>::try_from(long).ok()?),
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_way_there_and_back() {
        for (text, len) in [("1.2.3.4:513", 7), ("[2001:db8::5]:65535", 19)] {
            let address: SocketAddr = text.parse().unwrap();
            let mut bytes = [0; MAX_ADDRESS];
            assert_eq!(encode(&address, &mut bytes), len);
            assert_eq!(encoded_len(bytes[0]), Some(len));
            assert_eq!(decode(&bytes[..len]), Some(address));
            assert_eq!(decode(&bytes[..len - 1]), None);
        }
    }

    #[test]
    fn the_bytes_are_in_network_order() {
        let mut bytes = [0; MAX_ADDRESS];
        let len = encode(&"1.2.3.4:513".parse().unwrap(), &mut bytes);
        assert_eq!(bytes[..len], [1, 2, 1, 1, 2, 3, 4]);
    }

    #[test]
    fn unknown_tags_are_refused() {
        assert_eq!(decode(&[0; 19]), None);
        assert_eq!(decode(&[3; 19]), None);
        assert_eq!(decode(&[]), None);
        assert_eq!(encoded_len(0), None);
    }
}
