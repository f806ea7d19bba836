//! See `properties::udp_address`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::udp_address(data));
