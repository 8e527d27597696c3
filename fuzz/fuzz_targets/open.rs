//! The body of an OPEN: what is taken can be sent, and comes back the same.
#![no_main]

#[path = "../../bgp/tests/fuzz/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| properties::open(octets));
