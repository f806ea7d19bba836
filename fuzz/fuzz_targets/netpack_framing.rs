//! See `properties::netpack_framing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::netpack_framing(data));
