//! What goes out: packing, sizes, AS number widths, and that it comes back as it went.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use bgp::wire::attr::Aggregator;
use bgp::wire::encode::{self, EncodeError};
use bgp::wire::{
    AsWidth, Attributes, Community, Context, FamilySet, FirstAs, Framer, LargeCommunity, MAX_EXTENDED_MESSAGE,
    MAX_MESSAGE, Message, NextHop, Nlri, Origin, Prefix4, Prefix6, Transmit, Update,
};
use model::{ClusterId, Family, Prefix, RouterId};
use wire_support::*;

fn plain(next_hop: &str) -> Attributes {
    let next_hop: std::net::IpAddr = next_hop.parse().unwrap();
    let mut draft = Attributes::new(Origin::Igp, NextHop::from(next_hop)).edit();
    draft.prepend(asn(PEER_AS), 1);
    draft.build()
}

fn v4(count: u32) -> impl Iterator<Item = Nlri<Prefix4>> + Clone {
    (0..count).map(|i| Nlri::plain(Prefix4::new(0x0a00_0000 | i << 8, 24).unwrap()))
}
fn v6(count: u32) -> impl Iterator<Item = Nlri<Prefix6>> + Clone {
    (0..count).map(|i| {
        Nlri::plain(Prefix6::new(0x2001_0db8_0000_0000_0000_0000_0000_0000 | u128::from(i) << 64, 64).unwrap())
    })
}

/// All UPDATEs in the octets, none longer than the bound.
fn updates(octets: &[u8], context: &Context, bound: usize) -> Vec<Update> {
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(octets);
    let mut all = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        assert!(frame.message_length() <= bound);
        match Message::decode(frame, context).unwrap() {
            Message::Update(update) => {
                assert_eq!(update.errors, [], "{update}");
                all.push(update);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(framer.pending(), 0);
    all
}

fn reached(updates: &[Update]) -> Vec<String> {
    updates.iter().flat_map(|u| &u.reachable).flat_map(|r| r.nlri.iter()).map(|n| n.to_string()).collect()
}
fn gone(updates: &[Update]) -> Vec<String> {
    updates.iter().flat_map(|u| &u.withdrawn).flat_map(|w| w.iter()).map(|n| n.to_string()).collect()
}
fn names<P: std::fmt::Display>(all: impl Iterator<Item = Nlri<P>>) -> Vec<String> {
    all.map(|n| n.to_string()).collect()
}

#[test]
fn one_ipv4_route_is_as_small_as_rfc4271_allows() {
    let mut out = Vec::new();
    encode::updates(Family::Ipv4, &plain("10.9.0.2"), v4(1), &Transmit::PLAIN, &mut out).unwrap();
    assert_eq!(out, update(&[], &mandatory(), &[24, 10, 0, 0]));
}

#[test]
fn rfc7606_5_1_mp_reach_comes_first_and_next_hop_not_at_all() {
    let mut out = Vec::new();
    let prefix: Prefix = "2001:db8:1::/48".parse().unwrap();
    let one = [Nlri::plain(prefix)];
    encode::updates(Family::Ipv6, &plain("2001:db8::2"), one, &Transmit::PLAIN, &mut out).unwrap();
    let mut reach = reach6();
    reach.splice(0..3, [0x90, 14, 0, u8::try_from(reach.len() - 3).unwrap()]);
    assert_eq!(out, update(&[], &[reach, origin(), path()].concat(), &[]));
}

#[test]
fn prefixes_fill_messages_and_none_is_lost() {
    for bound in [MAX_MESSAGE, MAX_EXTENDED_MESSAGE] {
        for ids in [FamilySet::NONE, FamilySet::ALL] {
            let transmit = Transmit { max_message: bound, add_path: ids, ..Transmit::PLAIN };
            let context = Context { add_path: ids, ..external() };
            for count in [0, 1, 500, 1000, 1016, 1017, 20000] {
                let mut out = Vec::new();
                let messages = encode::updates(Family::Ipv4, &plain("10.9.0.2"), v4(count), &transmit, &mut out);
                let all = updates(&out, &context, bound);
                assert_eq!((Ok(all.len()), reached(&all)), (messages, names(v4(count))));

                let mut out = Vec::new();
                let messages = encode::updates(Family::Ipv6, &plain("2001:db8::2"), v6(count), &transmit, &mut out);
                let all = updates(&out, &context, bound);
                assert_eq!((Ok(all.len()), reached(&all)), (messages, names(v6(count))));

                let mut out = Vec::new();
                let messages = encode::withdrawals(Family::Ipv4, v4(count), &transmit, &mut out)
                    + encode::withdrawals(Family::Ipv6, v6(count), &transmit, &mut out);
                let all = updates(&out, &context, bound);
                let both = [names(v4(count)), names(v6(count))].concat();
                assert_eq!((all.len(), gone(&all)), (messages, both));
            }
        }
    }
}

#[test]
fn messages_are_full_but_for_less_than_a_prefix() {
    let mut out = Vec::new();
    encode::updates(Family::Ipv4, &plain("10.9.0.2"), v4(5000), &Transmit::PLAIN, &mut out).unwrap();
    let mut framer = Framer::new();
    framer.push(&out);
    let mut lengths = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        lengths.push(frame.message_length());
    }
    lengths.pop();
    assert!(lengths.iter().all(|l| *l > MAX_MESSAGE - 4), "{lengths:?}");
}

#[test]
fn path_identifiers_go_out_where_agreed_on() {
    let transmit = Transmit { add_path: FamilySet::of(Family::Ipv4), ..Transmit::PLAIN };
    let context = Context { add_path: FamilySet::of(Family::Ipv4), ..external() };
    let two = [7, 8].map(|path_id| Nlri { prefix: Prefix4::new(0x0a00_0000, 8).unwrap(), path_id });
    let mut out = Vec::new();
    encode::updates(Family::Ipv4, &plain("10.9.0.2"), two, &transmit, &mut out).unwrap();
    assert_eq!(reached(&updates(&out, &context, MAX_MESSAGE)), ["10.0.0.0/8 (path 7)", "10.0.0.0/8 (path 8)"]);
}

#[test]
fn prefixes_of_another_family_are_left_out() {
    let mixed = ["10.0.0.0/8", "2001:db8::/32"].map(|p| Nlri::plain(p.parse::<Prefix>().unwrap()));
    let mut out = Vec::new();
    encode::updates(Family::Ipv4, &plain("10.9.0.2"), mixed, &Transmit::PLAIN, &mut out).unwrap();
    encode::withdrawals(Family::Ipv6, mixed, &Transmit::PLAIN, &mut out);
    let all = updates(&out, &external(), MAX_MESSAGE);
    assert_eq!((reached(&all), gone(&all)), (vec!["10.0.0.0/8".to_string()], vec!["2001:db8::/32".to_string()]));
}

#[test]
fn rfc8950_ipv4_prefixes_with_an_ipv6_next_hop_go_into_mp_reach() {
    let context = Context { extended_next_hop: FamilySet::of(Family::Ipv4), ..external() };
    let global = "2001:db8::2".parse().unwrap();
    for next_hop in [NextHop::V6(global), NextHop::V6WithLinkLocal(global, "fe80::2".parse().unwrap())] {
        let mut attributes = plain("10.9.0.2");
        attributes.next_hop = next_hop;
        let mut out = Vec::new();
        encode::updates(Family::Ipv4, &attributes, v4(3), &Transmit::PLAIN, &mut out).unwrap();
        let all = updates(&out, &context, MAX_MESSAGE);
        assert_eq!(reached(&all), names(v4(3)));
        assert_eq!(all[0].reachable[0].attributes.next_hop, next_hop);
    }
}

#[test]
fn ipv6_prefixes_with_an_ipv4_next_hop_are_an_error() {
    let mut out = Vec::new();
    let error = encode::updates(Family::Ipv6, &plain("10.9.0.2"), v6(1), &Transmit::PLAIN, &mut out);
    assert_eq!((error, out.len()), (Err(EncodeError::NextHopFamily("10.9.0.2".parse().unwrap())), 0));
}

#[test]
fn end_of_rib_reads_as_such_in_both_families() {
    let mut out = Vec::new();
    encode::end_of_rib(Family::Ipv4, &mut out);
    encode::end_of_rib(Family::Ipv6, &mut out);
    let all = updates(&out, &external(), MAX_MESSAGE);
    assert_eq!(all.iter().map(|u| u.end_of_rib).collect::<Vec<_>>(), [Some(Family::Ipv4), Some(Family::Ipv6)]);
    assert_eq!(out.len(), 23 + 29);
}

fn rich() -> Attributes {
    let mut draft = plain("10.9.0.2").edit();
    draft.med = Some(10);
    draft.local_pref = Some(200);
    draft.set_atomic_aggregate();
    draft.set_aggregator(Aggregator { asn: asn(4_200_000_001), address: "10.0.0.9".parse().unwrap() });
    draft.set_communities([Community::NO_EXPORT, "64512:7".parse().unwrap()]);
    draft.set_large_communities([LargeCommunity { global: 64512, first: 1, second: 2 }]);
    draft.set_originator_id(RouterId::new(7).unwrap());
    draft.prepend_cluster(ClusterId(8)).prepend_cluster(ClusterId(9));
    draft.set_only_to_customer(asn(65009));
    draft.set_unknown(40, 0xe0, &[1, 2, 3]).set_unknown(255, 0xe0, &[]).set_unknown(0, 0xe0, &[9; 300]);
    draft.build()
}

fn round_trip(attributes: &Attributes, transmit: &Transmit, context: &Context) -> Attributes {
    let mut out = Vec::new();
    encode::updates(Family::Ipv4, attributes, v4(1), transmit, &mut out).unwrap();
    let all = updates(&out, context, transmit.max_message);
    Attributes::clone(&all[0].reachable[0].attributes)
}

#[test]
fn a_rich_set_of_attributes_comes_back_as_it_went() {
    let back = round_trip(&rich(), &Transmit::PLAIN, &internal());
    assert_eq!(back, rich());
    let expected = format!(
        "next hop 10.9.0.2, path [65001], origin igp, local pref 200, med 10, atomic aggregate, \
         aggregator 4200000001 10.0.0.9, originator 0.0.0.7, clusters 0.0.0.9 0.0.0.8, \
         communities 65535:65281 64512:7, large 64512:1:2, only to customer 65009, \
         attribute 0/e0:{}…, attribute 40/e0:010203, attribute 255/e0:",
        "09".repeat(64)
    );
    assert_eq!(back.to_string(), expected);
}

#[test]
fn rfc4271_4_3_attributes_go_out_in_order_with_their_low_flag_bits_zero() {
    let mut out = Vec::new();
    encode::updates(Family::Ipv4, &rich(), v4(1), &Transmit::PLAIN, &mut out).unwrap();
    let mut rest = &out[23..out.len() - 4];
    let mut codes = Vec::new();
    while let [flags, code, tail @ ..] = rest {
        let extended = flags & 0x10 != 0;
        let length = if extended { u16::from_be_bytes([tail[0], tail[1]]).into() } else { usize::from(tail[0]) };
        assert_eq!((flags & 0x0f, extended), (0, length > 255), "{code}");
        codes.push(*code);
        rest = &tail[length + if extended { 2 } else { 1 }..];
    }
    assert!(codes.is_sorted(), "{codes:?}");
    assert_eq!(codes.len(), 15);
}

#[test]
fn what_leaves_the_as_has_nothing_internal() {
    let mut draft = rich().edit();
    draft.set_extended_communities(
        ["0002fde900000001", "4002fde900000001"]
            .map(|hex| bgp::wire::attr::ExtendedCommunity(octets(hex).try_into().unwrap())),
    );
    draft.leave_as();
    let outside = draft.build();
    assert_eq!((outside.local_pref, outside.med, outside.originator_id()), (None, None, None));
    assert_eq!(outside.cluster_list().count(), 0);
    assert_eq!(outside.extended_communities().map(|c| c.to_string()).collect::<Vec<_>>(), ["0002fde900000001"]);
    assert_eq!(outside.communities().count(), 2);
}

#[test]
fn rfc4271_5_1_2_a_full_path_segment_gets_another_before_it() {
    let mut set = Attributes::new(Origin::Igp, NextHop::V4("10.9.0.2".parse().unwrap()));
    for length in 1..=600u32 {
        let mut draft = set.edit();
        draft.prepend(asn(PEER_AS + length), 1);
        set = draft.build();
        assert_eq!((set.path_length(), set.neighbor_as()), (length, Some(asn(PEER_AS + length))));
    }
    assert_eq!(set.as_path().segments().map(|s| s.len()).collect::<Vec<_>>(), [90, 255, 255]);
    let context = Context { peer_as: asn(PEER_AS + 600), ..external() };
    assert_eq!(round_trip(&set, &Transmit::PLAIN, &context), set);

    let mut draft = Attributes::new(Origin::Igp, NextHop::V4("10.9.0.2".parse().unwrap())).edit();
    draft.prepend(asn(PEER_AS), 700);
    let set = draft.build();
    assert_eq!(set.as_path().segments().map(|s| s.len()).collect::<Vec<_>>(), [190, 255, 255]);
    assert_eq!(round_trip(&set, &Transmit::PLAIN, &external()), set);
}

#[test]
fn attributes_that_fill_a_message_are_an_error_and_never_a_loop() {
    let mut draft = plain("10.9.0.2").edit();
    draft.set_unknown(99, 0xe0, &vec![0; 4045]);
    let big = draft.build();
    let mut out = Vec::new();
    let error = encode::updates(Family::Ipv4, &big, v4(10), &Transmit::PLAIN, &mut out);
    assert!(matches!(error, Err(EncodeError::TooLong { bound: MAX_MESSAGE, .. })), "{error:?}");
    assert_eq!(out.len(), 0);
    let extended = Transmit { max_message: MAX_EXTENDED_MESSAGE, ..Transmit::PLAIN };
    assert_eq!(encode::updates(Family::Ipv4, &big, v4(10), &extended, &mut out), Ok(1));
    let absurd = Transmit { max_message: 0, ..Transmit::PLAIN };
    assert!(encode::updates(Family::Ipv4, &big, v4(10), &absurd, &mut out).is_err());
    assert_eq!(encode::withdrawals(Family::Ipv4, v4(10), &absurd, &mut out), 1);

    let mut draft = plain("10.9.0.2").edit();
    draft.set_unknown(99, 0xe0, &vec![0; 70000]);
    let huge = draft.build();
    assert!(encode::updates(Family::Ipv4, &huge, v4(1), &extended, &mut Vec::new()).is_err());
}

#[test]
fn every_size_of_attributes_either_fits_or_is_an_error() {
    for size in 3900..4096 {
        let mut draft = plain("10.9.0.2").edit();
        draft.set_unknown(99, 0xe0, &vec![0; size]);
        let mut out = Vec::new();
        match encode::updates(Family::Ipv4, &draft.build(), v4(3), &Transmit::PLAIN, &mut out) {
            Ok(_) => assert_eq!(reached(&updates(&out, &external(), MAX_MESSAGE)), names(v4(3)), "{size}"),
            Err(_) => assert!(size > 4000 && out.is_empty(), "{size}"),
        }
    }
}

fn two_octets() -> (Transmit, Context) {
    let context = Context { as_width: AsWidth::Two, first_as: FirstAs::Any, ..internal() };
    (Transmit { as_width: AsWidth::Two, ..Transmit::PLAIN }, context)
}

#[test]
fn rfc6793_4_2_2_wide_numbers_go_round_a_two_octet_peer_and_come_back() {
    let (transmit, context) = two_octets();
    let mut draft = rich().edit();
    draft.set_as_path(&[asn(65001), asn(4_200_000_002), asn(65003)]);
    let set = draft.build();
    assert_eq!(round_trip(&set, &transmit, &context), set);

    let mut out = Vec::new();
    encode::updates(Family::Ipv4, &set, v4(1), &transmit, &mut out).unwrap();
    let contains = |hex: &str| out.windows(octets(hex).len()).any(|w| w == octets(hex));
    assert!(contains("400208 0203 fde9 5ba0 fdeb"), "AS_PATH with AS_TRANS");
    assert!(contains("c0110e 0203 0000fde9 fa56ea02 0000fdeb"), "AS4_PATH");
    assert!(contains("c00706 5ba0 0a000009"), "AGGREGATOR with AS_TRANS");
    assert!(contains("c01208 fa56ea01 0a000009"), "AS4_AGGREGATOR");
}

#[test]
fn rfc6793_4_2_2_narrow_numbers_need_no_as4_attributes() {
    let (transmit, context) = two_octets();
    let mut draft = plain("10.9.0.2").edit();
    draft.set_aggregator(Aggregator { asn: asn(65009), address: "10.0.0.9".parse().unwrap() });
    draft.local_pref = Some(100);
    let set = draft.build();
    let mut out = Vec::new();
    encode::updates(Family::Ipv4, &set, v4(1), &transmit, &mut out).unwrap();
    assert!(!out.windows(2).any(|w| w == [0xc0, 17] || w == [0xc0, 18]));
    assert_eq!(round_trip(&set, &transmit, &context), set);
}

/// The path that comes of this AS_PATH and AS4_PATH from a 2-octet peer.
fn merged(path: &str, four: &str, extra: &[u8]) -> String {
    let (_, context) = two_octets();
    let attributes =
        [origin(), attr(WELL_KNOWN, 2, &octets(path)), next_hop(), extra.to_vec(), attr(TRANSITIVE, 17, &octets(four))];
    let update = decode_update(&update(&[], &attributes.concat(), &PREFIX), &context).unwrap();
    update.reachable[0].attributes.as_path().to_string()
}

#[test]
fn rfc6793_4_2_3_as4_path_replaces_the_tail_of_as_path() {
    let four = "0202 fa56ea02 0000fdeb";
    assert_eq!(merged("0202 5ba0 fdeb", four, &[]), "4200000002 65003");
    assert_eq!(merged("0204 fde8 fde9 5ba0 fdeb", four, &[]), "65000 65001 4200000002 65003");
    assert_eq!(merged("0201 fdeb", four, &[]), "65003", "an AS4_PATH longer than the AS_PATH is ignored");
    assert_eq!(merged("0101 fde8 0202 5ba0 fdeb", four, &[]), "{65000} 4200000002 65003");
    assert_eq!(merged("0201 fde8 0102 fde9 fdea 0202 5ba0 fdeb", four, &[]), "65000 {65001 65002} 4200000002 65003");
}

#[test]
fn rfc6793_4_2_3_an_aggregator_that_is_not_as_trans_makes_as4_attributes_stale() {
    let four = "0202 fa56ea02 0000fdeb";
    let stale = [attr(TRANSITIVE, 7, &octets("fde9 0a000001")), attr(TRANSITIVE, 18, &octets("fa56ea01 0a000009"))];
    assert_eq!(merged("0203 fde8 5ba0 fdeb", four, &stale.concat()), "65000 23456 65003");
    let fresh = [attr(TRANSITIVE, 7, &octets("5ba0 0a000001")), attr(TRANSITIVE, 18, &octets("fa56ea01 0a000009"))];
    assert_eq!(merged("0203 fde8 5ba0 fdeb", four, &fresh.concat()), "65000 4200000002 65003");
}
