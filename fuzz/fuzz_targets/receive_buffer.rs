//! See `properties::receive_buffer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::receive_buffer(data));
