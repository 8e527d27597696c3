//! The body of an UPDATE after an octet that picks the session: what is taken can be sent on, and comes back the same.
#![no_main]

#[path = "../../bgp/tests/fuzz/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| properties::update(octets));
