//! The body of an UPDATE after an octet that picks the session: what is taken can be sent on, and comes back the same.
#![no_main]

use bgp::wire::{
    AsWidth, Attributes, Context, FamilySet, FirstAs, Frame, Framer, MAX_EXTENDED_MESSAGE, Message, MessageType,
    PeerKind, Transmit, Update, encode,
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use model::Asn;

fn pick(bits: u8) -> Context {
    let kind = if bits & 1 == 0 { PeerKind::External } else { PeerKind::Internal };
    Context {
        as_width: if bits & 2 == 0 { AsWidth::Four } else { AsWidth::Two },
        add_path: if bits & 4 == 0 { FamilySet::NONE } else { FamilySet::ALL },
        extended_next_hop: if bits & 8 == 0 { FamilySet::NONE } else { FamilySet::ALL },
        first_as: FirstAs::Any,
        ..Context::new(kind, Asn::TRANS)
    }
}

/// What goes out has 4-octet AS numbers and no path identifiers.
fn plain(context: &Context) -> Context {
    Context { as_width: AsWidth::Four, add_path: FamilySet::NONE, ..context.clone() }
}

/// From an external peer LOCAL_PREF does not come back.
fn comparable(set: &Attributes) -> Attributes {
    let mut set = set.clone();
    set.local_pref = None;
    set
}

fuzz_target!(|octets: &[u8]| {
    let Some((bits, body)) = octets.split_first() else { return };
    let context = pick(*bits);
    let body = Bytes::copy_from_slice(body);
    let Ok(update) = Update::decode(&body, &context) else { return };
    let _ = update.to_string();
    assert!(update.reachable_prefixes() + update.withdrawn_prefixes() <= body.len());
    let transmit = Transmit { max_message: MAX_EXTENDED_MESSAGE, ..Transmit::PLAIN };
    for r in &update.reachable {
        let mut out = Vec::new();
        if encode::updates(r.nlri.family(), &r.attributes, r.nlri.iter(), &transmit, &mut out).is_err() {
            continue;
        }
        let mut framer = Framer::new();
        framer.extend_messages();
        framer.push(&out);
        let mut back = 0;
        while let Ok(Some(Frame { kind, body })) = framer.next_frame() {
            assert_eq!(kind, MessageType::Update);
            let Ok(Message::Update(again)) = Message::decode(Frame { kind, body }, &plain(&context)) else {
                panic!("we refuse what we sent")
            };
            assert!(again.reachable.iter().all(|a| comparable(&a.attributes) == comparable(&r.attributes)));
            back += again.reachable_prefixes();
        }
        assert_eq!(back, r.nlri.len());
    }
});
