//! A stream of BMP messages: what is taken can be written, and comes back the same.
#![no_main]

#[path = "../../bgp/tests/fuzz/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| properties::bmp(octets));
