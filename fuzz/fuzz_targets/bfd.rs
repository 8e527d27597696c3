//! Datagrams to a BFD session, with pauses between them: no panic, no babble, and what is taken comes back the same.
#![no_main]

#[path = "../../bgp/tests/fuzz/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| properties::bfd(octets));
