//! See `properties::gate_framing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::gate_framing(data));
