//! The body of an OPEN: what is taken can be sent, and comes back the same.
#![no_main]

use bgp::wire::Open;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Ok(open) = Open::decode(&Bytes::copy_from_slice(octets)) else { return };
    let mut out = Vec::new();
    open.encode(&mut out);
    // Texts are made printable on the way in, which can lengthen them beyond what goes out again; all else is equal.
    if let Ok(again) = Open::decode(&Bytes::copy_from_slice(&out[19..])) {
        assert_eq!((again.asn, again.hold_seconds, again.router_id), (open.asn, open.hold_seconds, open.router_id));
        assert_eq!(again.capabilities.len(), open.capabilities.len());
    }
});
