//! See `properties::gate_command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::gate_command(data));
