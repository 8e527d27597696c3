//! The attributes of an UPDATE that is right round them: nothing wrong in them costs more than RFC 7606 says.
#![no_main]

#[path = "../../bgp/tests/fuzz/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| properties::attribute(octets));
