//! A stream of whole messages, cut at odd places: framed, decoded, printed.
#![no_main]

#[path = "../../bgp/tests/fuzz/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| properties::message(octets));
