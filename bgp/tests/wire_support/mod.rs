//! Messages put together by hand, octet by octet, and what the codec makes of them. Shared by the codec's tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // each test program uses a part of it

use bgp::wire::{Context, Framer, Message, Notification, PeerKind, Update, Verdict};
use model::Asn;

/// Flags of a well-known attribute.
pub const WELL_KNOWN: u8 = 0x40;
/// Flags of an optional transitive attribute.
pub const TRANSITIVE: u8 = 0xc0;
/// Flags of an optional non-transitive attribute.
pub const NON_TRANSITIVE: u8 = 0x80;

/// The peer of all tests.
pub const PEER_AS: u32 = 65001;

/// 10.1.2.0/24 as it lies in a message.
pub const PREFIX: [u8; 4] = [24, 10, 1, 2];
/// 2001:db8:1::/48 as it lies in a message.
pub const PREFIX6: [u8; 7] = [48, 0x20, 0x01, 0x0d, 0xb8, 0, 1];

pub fn asn(number: u32) -> Asn {
    Asn::new(number).unwrap()
}
pub fn external() -> Context {
    Context::new(PeerKind::External, asn(PEER_AS))
}
pub fn internal() -> Context {
    Context::new(PeerKind::Internal, asn(PEER_AS))
}

pub fn octets(hex: &str) -> Vec<u8> {
    let hex: String = hex.chars().filter(|c| !c.is_whitespace()).collect();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// An attribute, with an extended length if it needs one.
pub fn attr(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = match u8::try_from(value.len()) {
        Ok(length) => vec![flags, code, length],
        Err(_) => {
            let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
            vec![flags | 0x10, code, high, low]
        }
    };
    out.extend_from_slice(value);
    out
}

/// ORIGIN igp, AS_PATH of the peer alone, NEXT_HOP 10.9.0.2.
pub fn mandatory() -> Vec<u8> {
    [origin(), path(), next_hop()].concat()
}
pub fn origin() -> Vec<u8> {
    attr(WELL_KNOWN, 1, &[0])
}
pub fn path() -> Vec<u8> {
    let [a, b, c, d] = PEER_AS.to_be_bytes();
    attr(WELL_KNOWN, 2, &[2, 1, a, b, c, d])
}
pub fn next_hop() -> Vec<u8> {
    attr(WELL_KNOWN, 3, &[10, 9, 0, 2])
}
/// MP_REACH_NLRI of [`PREFIX6`] by 2001:db8::2.
pub fn reach6() -> Vec<u8> {
    let next_hop = octets("20010db8000000000000000000000002");
    attr(NON_TRANSITIVE, 14, &[&[0, 2, 1, 16][..], &next_hop, &[0], &PREFIX6].concat())
}
/// MP_UNREACH_NLRI of [`PREFIX6`].
pub fn unreach6() -> Vec<u8> {
    attr(NON_TRANSITIVE, 15, &[&[0, 2, 1][..], &PREFIX6].concat())
}

/// A whole message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len() + 19).unwrap().to_be_bytes();
    [&[0xff; 16][..], &[high, low, kind], body].concat()
}

/// A whole UPDATE.
pub fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u16::try_from(part.len()).unwrap().to_be_bytes();
    message(2, &[&length(withdrawn)[..], withdrawn, &length(attributes), attributes, nlri].concat())
}

/// The first message in the octets.
pub fn decode(octets: &[u8], context: &Context) -> Result<Message, Notification> {
    let mut framer = Framer::new();
    framer.push(octets);
    let frame = framer.next_frame()?.expect("a whole message");
    Message::decode(frame, context)
}

/// The UPDATE in the octets.
pub fn decode_update(octets: &[u8], context: &Context) -> Result<Update, Notification> {
    match decode(octets, context)? {
        Message::Update(update) => Ok(update),
        other => panic!("not an UPDATE: {other}"),
    }
}

/// What became of a message: `reach PREFIX…`, `gone PREFIX…`, in that order, then the verdict; or the code of the reset.
pub fn fate(octets: &[u8], context: &Context) -> String {
    match decode_update(octets, context) {
        Err(notification) => format!("reset {}/{}", notification.code, notification.subcode),
        Ok(update) => told(&update),
    }
}

/// See [`fate`].
pub fn told(update: &Update) -> String {
    let mut words = Vec::new();
    for r in &update.reachable {
        words.extend(r.nlri.iter().map(|n| format!("+{n}")));
    }
    for w in &update.withdrawn {
        words.extend(w.iter().map(|n| format!("-{n}")));
    }
    if let Some(family) = update.end_of_rib {
        words.push(format!("end of {family}"));
    }
    words.push(match update.verdict() {
        None => "ok".to_string(),
        Some(Verdict::Discard) => "discard".to_string(),
        Some(Verdict::Withdraw) => "withdraw".to_string(),
        Some(Verdict::Reset) => "reset, but it was not".to_string(),
    });
    words.join(" ")
}

/// The mandatory attributes, one more, one prefix.
pub fn with(context: &Context, extra: &[u8]) -> String {
    fate(&update(&[], &[mandatory(), extra.to_vec()].concat(), &PREFIX), context)
}

/// The mandatory attributes with the one of this code replaced.
pub fn instead(context: &Context, code: u8, replacement: &[u8]) -> String {
    let all = [(1, origin()), (2, path()), (3, next_hop())];
    let attributes: Vec<u8> =
        all.into_iter().flat_map(|(c, a)| if c == code { replacement.to_vec() } else { a }).collect();
    fate(&update(&[], &attributes, &PREFIX), context)
}

pub const KEPT: &str = "+10.1.2.0/24 ok";
pub const DISCARDED: &str = "+10.1.2.0/24 discard";
pub const WITHDRAWN: &str = "-10.1.2.0/24 withdraw";

/// An attribute of a number of octets, all 1.
pub fn ones(flags: u8, code: u8, length: usize) -> Vec<u8> {
    attr(flags, code, &vec![1; length])
}

pub fn both(check: impl Fn(&Context)) {
    check(&external());
    check(&internal());
}
