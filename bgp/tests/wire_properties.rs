//! What holds of any octets and any routes: no panic, no loss, no growth; what is encoded comes back.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use bgp::wire::attr::{Aggregator, ExtendedCommunity};
use bgp::wire::{
    AsWidth, Attributes, Community, Context, FamilySet, FirstAs, Frame, Framer, LargeCommunity, MAX_EXTENDED_MESSAGE,
    MAX_MESSAGE, Message, MessageType, NextHop, Nlri, Origin, PeerKind, Prefix4, Prefix6, Transmit, Update, encode,
};
use bytes::Bytes;
use model::{Asn, ClusterId, Family, RouterId};
use proptest::collection::vec;
use proptest::prelude::*;
use wire_support::{asn, external, internal, octets};

fn context() -> impl Strategy<Value = Context> {
    (any::<[bool; 6]>(), 0..4u8).prop_map(|([internal, two, path_ids, next_hop, first, v6_only], _)| Context {
        kind: if internal { PeerKind::Internal } else { PeerKind::External },
        as_width: if two { AsWidth::Two } else { AsWidth::Four },
        add_path: if path_ids { FamilySet::ALL } else { FamilySet::NONE },
        extended_next_hop: if next_hop { FamilySet::of(Family::Ipv4) } else { FamilySet::NONE },
        first_as: if first { FirstAs::Enforce } else { FirstAs::Any },
        families: if v6_only { FamilySet::of(Family::Ipv6) } else { FamilySet::ALL },
        ..external()
    })
}

fn number() -> impl Strategy<Value = Asn> {
    prop_oneof![1..70_000u32, 1..=u32::MAX].prop_map(asn)
}

/// Any set of attributes that an internal peer could send with an IPv4 next hop.
fn attributes() -> impl Strategy<Value = Attributes> {
    let head = (0..3u8, 1..0xe000_0000u32, any::<Option<u32>>(), any::<u32>(), vec(number(), 0..20), 0..3usize);
    let marks = (vec(any::<u32>(), 0..8), vec(any::<[u32; 3]>(), 0..4), vec(any::<[u8; 8]>(), 0..4));
    let rest = (
        any::<bool>(),
        proptest::option::of((number(), any::<u32>())),
        proptest::option::of(1..=u32::MAX),
        vec(any::<u32>(), 0..4),
        vec((prop_oneof![40..=127u8, 129..=255u8], vec(any::<u8>(), 0..300)), 0..4),
    );
    (head, marks, rest).prop_map(
        |((origin, next_hop, med, local_pref, path, prepends), (communities, large, extended), rest)| {
            let (atomic, aggregator, originator, clusters, unknown) = rest;
            let next_hop = match next_hop >> 24 {
                0 | 127 => 0x0a00_0001,
                _ => next_hop,
            };
            let origin = [Origin::Igp, Origin::Egp, Origin::Incomplete][usize::from(origin)];
            let mut draft = Attributes::new(origin, NextHop::V4(next_hop.into())).edit();
            draft.med = med;
            draft.local_pref = Some(local_pref);
            if !path.is_empty() {
                draft.set_as_path(&path).prepend(path[0], prepends);
            }
            draft.set_communities(communities.into_iter().map(Community));
            draft.set_large_communities(large.into_iter().map(|[global, first, second]| LargeCommunity {
                global,
                first,
                second,
            }));
            draft.set_extended_communities(extended.into_iter().map(ExtendedCommunity));
            if atomic {
                draft.set_atomic_aggregate();
            }
            if let Some((asn, address)) = aggregator {
                draft.set_aggregator(Aggregator { asn, address: address.into() });
            }
            if let Some(id) = originator {
                draft.set_originator_id(RouterId::new(id).unwrap());
            }
            for id in clusters {
                draft.prepend_cluster(ClusterId(id));
            }
            for (code, value) in unknown {
                draft.set_unknown(code, 0xe0, &value);
            }
            draft.build()
        },
    )
}

fn prefixes4() -> impl Strategy<Value = Vec<Nlri<Prefix4>>> {
    let one = (any::<u32>(), 0..=32u8, any::<u32>());
    vec(one, 0..2000).prop_map(|all| {
        all.into_iter().map(|(a, l, path_id)| Nlri { prefix: Prefix4::new(a, l).unwrap(), path_id }).collect()
    })
}
fn prefixes6() -> impl Strategy<Value = Vec<Nlri<Prefix6>>> {
    let one = (any::<u128>(), 0..=128u8, any::<u32>());
    vec(one, 0..1000).prop_map(|all| {
        all.into_iter().map(|(a, l, path_id)| Nlri { prefix: Prefix6::new(a, l).unwrap(), path_id }).collect()
    })
}

/// All UPDATEs of a stream that we encoded ourselves.
fn taken(octets: &[u8], context: &Context, bound: usize) -> Vec<Update> {
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(octets);
    let mut all = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        assert!(frame.message_length() <= bound);
        let Ok(Message::Update(update)) = Message::decode(frame, context) else { panic!("not an UPDATE") };
        assert_eq!(update.errors, []);
        all.push(update);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_encoded_comes_back(
        set in attributes(),
        four in prefixes4(),
        six in prefixes6(),
        path_ids in any::<bool>(),
        two in any::<bool>(),
        extended in any::<bool>(),
    ) {
        let add_path = if path_ids { FamilySet::ALL } else { FamilySet::NONE };
        let as_width = if two { AsWidth::Two } else { AsWidth::Four };
        let max_message = if extended { MAX_EXTENDED_MESSAGE } else { MAX_MESSAGE };
        let transmit = Transmit { as_width, add_path, max_message };
        let context = Context { as_width, add_path, ..internal() };
        let id = |id| if path_ids { id } else { 0 };

        let mut out = Vec::new();
        encode::updates(Family::Ipv4, &set, four.iter().copied(), &transmit, &mut out).unwrap();
        let updates = taken(&out, &context, max_message);
        prop_assert!(updates.iter().flat_map(|u| &u.reachable).all(|r| *r.attributes == set));
        let back: Vec<_> = updates.iter().flat_map(|u| &u.reachable).flat_map(|r| r.nlri.ipv4()).collect();
        let expected: Vec<_> = four.iter().map(|n| Nlri { path_id: id(n.path_id), ..*n }).collect();
        prop_assert_eq!(&back, &expected);

        let mut set = set;
        set.next_hop = NextHop::V6WithLinkLocal("2001:db8::9".parse().unwrap(), "fe80::9".parse().unwrap());
        out.clear();
        encode::updates(Family::Ipv6, &set, six.iter().copied(), &transmit, &mut out).unwrap();
        let updates = taken(&out, &context, max_message);
        prop_assert!(updates.iter().flat_map(|u| &u.reachable).all(|r| *r.attributes == set));
        let back: Vec<_> = updates.iter().flat_map(|u| &u.reachable).flat_map(|r| r.nlri.ipv6()).collect();
        let expected6: Vec<_> = six.iter().map(|n| Nlri { path_id: id(n.path_id), ..*n }).collect();
        prop_assert_eq!(&back, &expected6);

        out.clear();
        encode::withdrawals(Family::Ipv4, four.iter().copied(), &transmit, &mut out);
        encode::withdrawals(Family::Ipv6, six.iter().copied(), &transmit, &mut out);
        let updates = taken(&out, &context, max_message);
        let gone: Vec<_> = updates.iter().flat_map(|u| &u.withdrawn).flat_map(|w| w.ipv4()).collect();
        prop_assert_eq!(gone, expected);
        let gone6: Vec<_> = updates.iter().flat_map(|u| &u.withdrawn).flat_map(|w| w.ipv6()).collect();
        prop_assert_eq!(gone6, expected6);
    }

    #[test]
    fn any_octets_are_a_message_or_an_error(kind in 1..=5u8, body in vec(any::<u8>(), 0..300), context in context()) {
        look_at(kind, body, &context);
    }

    #[test]
    fn any_attributes_are_taken_or_refused(
        attributes in vec((any::<u8>(), 0..45u8, vec(0..4u8, 0..40)), 0..8),
        withdrawn in vec(0..34u8, 0..6),
        nlri in vec(0..34u8, 0..6),
        context in context(),
    ) {
        let attributes: Vec<u8> =
            attributes.into_iter().flat_map(|(flags, code, value)| wire_support::attr(flags & 0xef, code, &value)).collect();
        let message = wire_support::update(&withdrawn, &attributes, &nlri);
        look_at(2, message[19..].to_vec(), &context);
    }

    #[test]
    fn any_stream_is_cut_into_frames_or_refused(octets in vec(any::<u8>(), 0..200), cut in 1..50usize) {
        let mut framer = Framer::new();
        for part in octets.chunks(cut) {
            framer.push(part);
            if !matches!(framer.next_frame(), Ok(None)) {
                break;
            }
        }
        prop_assert!(framer.pending() <= octets.len());
    }
}

/// Decodes a body, prints what came, and checks what must hold of it: every prefix is either reachable or gone, and what is
/// reachable can be sent on.
fn look_at(kind: u8, body: Vec<u8>, context: &Context) {
    let kind = match kind {
        1 => MessageType::Open,
        2 => MessageType::Update,
        3 => MessageType::Notification,
        4 => MessageType::Keepalive,
        _ => MessageType::RouteRefresh,
    };
    let bound = body.len();
    let Ok(message) = Message::decode(Frame { kind, body: Bytes::from(body) }, context) else {
        return;
    };
    let _ = format!("{message} {message:?}");
    let Message::Update(update) = message else {
        return;
    };
    assert!(update.reachable_prefixes() + update.withdrawn_prefixes() <= bound);
    assert!(update.verdict().is_none_or(|v| v != bgp::wire::Verdict::Reset));
    for r in &update.reachable {
        assert_eq!(r.nlri.iter().count(), r.nlri.len());
        assert!(r.attributes.memory() < 300 + 4 * bound);
        let mut out = Vec::new();
        let transmit = Transmit { max_message: MAX_EXTENDED_MESSAGE, ..Transmit::PLAIN };
        encode::updates(r.nlri.family(), &r.attributes, r.nlri.iter(), &transmit, &mut out).expect("it fitted before");
        let mut lenient = context.clone();
        lenient.as_width = AsWidth::Four;
        lenient.add_path = FamilySet::NONE;
        let again = taken(&out, &lenient, MAX_EXTENDED_MESSAGE);
        assert!(again.iter().flat_map(|u| &u.reachable).all(|a| {
            a.attributes == r.attributes
                || (context.kind == PeerKind::External
                    && Attributes::clone(&a.attributes) == without_local_pref(&r.attributes))
        }));
    }
}

fn without_local_pref(set: &Attributes) -> Attributes {
    let mut set = set.clone();
    set.local_pref = None;
    set
}

/// A small generator of numbers, the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

/// Messages to start from: the vectors and what our own encoder makes.
fn seeds() -> Vec<Vec<u8>> {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("vectors/rfc7606.json")).unwrap();
    let lists = ["ebgp", "ibgp"].map(|list| vectors[list].as_array().unwrap());
    let hex = lists.into_iter().flatten().map(|v| v["hex"].as_str().unwrap());
    let mut all: Vec<Vec<u8>> = hex.map(octets).filter(|m| m.len() < 300).collect();
    let mut open = Vec::new();
    let raw = octets(
        "ffffffffffffffffffffffffffffffff004501 04fde9005a0a000001 28 0226 010400010001 010400020001 0200 \
                      4006c0780001 0180 4104 0000fde9 4504 00010103 4600 4b03 026162",
    );
    open.extend_from_slice(&raw);
    all.push(open);
    all
}

#[test]
fn mutated_messages_never_panic_and_never_grow() {
    let seeds = seeds();
    let contexts = [external(), internal(), Context { as_width: AsWidth::Two, add_path: FamilySet::ALL, ..internal() }];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..40_000 {
        let mut octets = seeds[dice.roll(seeds.len())].clone();
        for _ in 0..=dice.roll(4) {
            let place = 18 + dice.roll(octets.len() - 18);
            match dice.roll(6) {
                0 => octets[place] ^= 1 << dice.roll(8),
                1 => octets[place] = [0, 1, 2, 3, 4, 14, 15, 17, 32, 33, 127, 128, 254, 255][dice.roll(14)],
                2 => octets.insert(place, dice.roll(256) as u8),
                3 if octets.len() > 24 => drop(octets.remove(place)),
                4 => octets.truncate(place.max(20)),
                _ => octets[place] = octets[place].wrapping_add(1),
            }
        }
        let kind = octets[18];
        look_at(kind, octets[19..].to_vec(), &contexts[round % contexts.len()]);
    }
}
