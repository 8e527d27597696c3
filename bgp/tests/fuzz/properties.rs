//! What must hold for any octets from outside, one function for each fuzz target. They panic where it does not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bgp::bfd::{self, Arrival, Distance, Packet, Sessions};
use bgp::bmp;
use bgp::wire::{
    AsWidth, Attributes, Context, FamilySet, FirstAs, Frame, Framer, MAX_EXTENDED_MESSAGE, Message, MessageType, Open,
    PeerKind, Transmit, Update, Verdict, encode,
};
use bytes::Bytes;
use model::{Asn, Time};

/// What must hold for any octets.
pub type Property = fn(&[u8]);

/// A property by the name of its fuzz target.
pub fn property(target: &str) -> Option<Property> {
    TARGETS.iter().find(|(name, _)| *name == target).map(|(_, property)| *property)
}

/// All of them.
pub const TARGETS: [(&str, Property); 6] =
    [("message", message), ("update", update), ("attribute", attribute), ("open", open), ("bfd", bfd), ("bmp", bmp)];

/// A stream of whole messages, cut at odd places: framed, decoded, printed; what waits stays bounded.
pub fn message(octets: &[u8]) {
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
        assert!(framer.pending() < bgp::wire::MAX_MESSAGE);
    }
}

/// The session that the first octet of a case picks.
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

/// The body of an UPDATE after an octet that picks the session: what is taken can be sent on, and comes back the same.
pub fn update(octets: &[u8]) {
    let Some((bits, body)) = octets.split_first() else { return };
    let context = pick(*bits);
    let body = Bytes::copy_from_slice(body);
    let Ok(update) = Update::decode(&body, &context) else { return };
    comes_back(&update, &context, body.len());
}

/// The attributes of an UPDATE after an octet that picks the session. The message round them is right, so whatever is
/// wrong in them costs no more than RFC 7606 says, and never the session unless they are lists of prefixes or run over.
pub fn attribute(octets: &[u8]) {
    let Some((bits, attributes)) = octets.split_first() else { return };
    let attributes = attributes.get(..4000).unwrap_or(attributes);
    let context = pick(*bits);
    let mut body = vec![0, 0];
    body.extend_from_slice(&u16::try_from(attributes.len()).unwrap_or_default().to_be_bytes());
    body.extend_from_slice(attributes);
    // Four prefixes, with path identifiers where the session has them.
    let path_id: &[u8] = if context.add_path.is_empty() { &[] } else { &[0, 0, 0, 7] };
    for prefix in [&[8, 10][..], &[0], &[24, 192, 0, 2], &[32, 198, 51, 100, 1]] {
        body.extend_from_slice(path_id);
        body.extend_from_slice(prefix);
    }
    let body = Bytes::from(body);
    match Update::decode(&body, &context) {
        Ok(update) => {
            // Each of the four is believed or withdrawn: none is forgotten.
            assert!(update.reachable_prefixes() + update.withdrawn_prefixes() >= 4);
            comes_back(&update, &context, body.len());
        }
        // Only a fault of the lists of prefixes ends the session, or one that hides where an attribute ends.
        Err(notification) => assert_eq!(notification.code, 3),
    }
}

fn comes_back(update: &Update, context: &Context, length: usize) {
    let _ = update.to_string();
    assert!(update.errors.len() <= 32);
    assert!(update.verdict().is_none_or(|verdict| verdict < Verdict::Reset));
    assert!(update.reachable_prefixes() + update.withdrawn_prefixes() <= length);
    let transmit = Transmit { max_message: MAX_EXTENDED_MESSAGE, ..Transmit::PLAIN };
    for r in &update.reachable {
        assert!(r.attributes.memory() < 300 + 4 * length);
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
            let Ok(Message::Update(again)) = Message::decode(Frame { kind, body }, &plain(context)) else {
                panic!("we refuse what we sent")
            };
            assert!(again.reachable.iter().all(|a| comparable(&a.attributes) == comparable(&r.attributes)));
            back += again.reachable_prefixes();
        }
        assert_eq!(back, r.nlri.len());
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

/// The body of an OPEN: what is taken can be sent, and comes back the same.
pub fn open(octets: &[u8]) {
    let Ok(open) = Open::decode(&Bytes::copy_from_slice(octets)) else { return };
    let mut out = Vec::new();
    open.encode(&mut out);
    // Texts are made printable on the way in, which can lengthen them beyond what goes out again; all else is equal.
    if let Ok(again) = Open::decode(&Bytes::copy_from_slice(&out[19..])) {
        assert_eq!((again.asn, again.hold_seconds, again.router_id), (open.asn, open.hold_seconds, open.router_id));
        assert_eq!(again.capabilities.len(), open.capabilities.len());
    }
}

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Datagrams to a BFD session, with pauses between them: no panic, no babble, and what is taken comes back the same.
///
/// One after another: a pause in tens of milliseconds, whether it names our discriminator, a length, octets.
pub fn bfd(octets: &[u8]) {
    let mut sessions = Sessions::new(1);
    let mut now = Time::START;
    sessions.configure(now, &BTreeMap::from([(PEER, bfd::Config::default())]));
    let (mut own, mut sent, mut heard) = (0_u32, 0_usize, 0_usize);
    let mut rest = octets;
    while let Some((&[pause, ours, length], tail)) = rest.split_first_chunk::<3>() {
        let (datagram, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        let mut datagram = datagram.to_vec();
        if ours & 1 == 1
            && let Some(yours) = datagram.get_mut(8..12)
        {
            yours.copy_from_slice(&own.to_be_bytes());
        }
        if let Ok(packet) = Packet::decode(&datagram) {
            assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }
        now = now + Duration::from_millis(10) * u32::from(pause);
        heard += 1;
        let _ = sessions.receive(now, Arrival { from: PEER, distance: Distance::SingleHop, ttl: 255 }, &datagram);
        sessions.tick(now);
        while let Some(output) = sessions.poll() {
            match output {
                bfd::Output::Transmit { .. } => sent += 1,
                bfd::Output::Changed { view, .. } => own = view.discriminator,
                bfd::Output::Fell { .. } | bfd::Output::Gone { .. } => {}
            }
        }
        assert!(sessions.deadline().is_none_or(|at| at > now));
        // At once, an answer, and what a timer wanted.
        assert!(sent <= 1 + 3 * heard);
    }
}

/// A stream of BMP messages: each is refused, or can be written and read again, and takes no more room than it came in.
pub fn bmp(octets: &[u8]) {
    let mut rest = octets;
    while let Ok(Some(whole)) = bmp::length(rest) {
        let Some((message, tail)) = rest.split_at_checked(whole) else { return };
        rest = tail;
        let Ok(message) = bmp::Message::decode(message) else { continue };
        let mut again = Vec::new();
        message.encode(&mut again);
        assert_eq!(bmp::length(&again), Ok(Some(again.len())));
        assert_eq!(bmp::Message::decode(&again), Ok(message));
        assert!(again.len() <= whole);
    }
}
