//! A stream of whole messages, cut at odd places: framed, decoded, printed.
#![no_main]

use bgp::wire::{Context, Framer, Message, PeerKind};
use libfuzzer_sys::fuzz_target;
use model::Asn;

fuzz_target!(|octets: &[u8]| {
    let context = Context::new(PeerKind::External, Asn::TRANS);
    let mut framer = Framer::new();
    for part in octets.chunks(61) {
        framer.push(part);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => {
                    if let Ok(message) = Message::decode(frame, &context) {
                        let _ = message.to_string();
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
