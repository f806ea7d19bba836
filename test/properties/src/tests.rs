//! Some thousand inputs for each property, the same in every run.

use crate::{ALL, gate_command, udp_address};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Up to `limit` bytes out of an alphabet that is sometimes small.
    fn bytes(&mut self, limit: u64) -> Vec<u8> {
        let alphabet = [2, 3, 17, 256][self.below(4) as usize];
        let count = self.below(limit + 1);
        (0..count).map(|_| self.below(alphabet) as u8).collect()
    }
}

/// A failure names the input, for a target of `fuzz/`.
fn hold(name: &str, property: fn(&[u8]), input: &[u8]) {
    let held = std::panic::catch_unwind(|| property(input));
    assert!(held.is_ok(), "{name} does not hold for {input:?}");
}

#[test]
fn arbitrary_bytes() {
    for &(name, property) in ALL {
        let mut random = Random(1);
        for limit in [8, 40, 400, 4000] {
            for _ in 0..1000 {
                hold(name, property, &random.bytes(limit));
            }
        }
    }
}

#[test]
fn gate_commands_out_of_their_words() {
    const WORDS: &[&str] = &[
        "kick",
        "forward",
        "broker",
        "start",
        "close",
        "k",
        "fo",
        "",
        "S",
        "L",
        "!",
        ".dog",
        ":10",
        ":0x1f",
        ":ffffffff",
        "?",
        "7",
        "-1",
        "+2",
        "0",
        "127.0.0.1:80",
        ":80",
        "::1:80",
        "x",
        "2147483648",
        "99999999999999999999",
        "\t",
        "\0",
        "\u{b}",
        "\r\n",
        "é",
    ];
    let mut random = Random(2);
    for _ in 0..5000 {
        let mut text = String::new();
        for _ in 0..random.below(8) {
            text += WORDS[random.below(WORDS.len() as u64) as usize];
            text += [" ", "  ", "", "\t"][random.below(4) as usize];
        }
        hold("gate_command", gate_command, text.as_bytes());
    }
}

#[test]
fn udp_addresses_of_every_length() {
    let mut random = Random(3);
    for tag in 0..=3 {
        for length in 0..=20 {
            let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            bytes.insert(0, tag);
            hold("udp_address", udp_address, &bytes);
        }
    }
}
