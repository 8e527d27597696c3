//! More messages that crashed, confused or reset other BGP speakers, by the names they are known by: what comes in OPENs,
//! in attributes nobody here uses, and what must go out right.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use bgp::bmp;
use bgp::wire::{
    AsWidth, Context, Framer, Message, Nlri, Notification, Open, Prefix4, RouteRefresh, Transmit, Update, Verdict,
    encode,
};
use bytes::Bytes;
use model::Family;
use wire_support::*;

/// The fate of a message given without its marker.
fn played(hex: &str, context: &Context) -> String {
    fate(&[&[0xff; 16][..], &octets(hex)].concat(), context)
}

/// An OPEN given without its marker: the code of the refusal, or its capabilities.
fn opened(hex: &str) -> String {
    match decode(&[&[0xff; 16][..], &octets(hex)].concat(), &external()) {
        Err(n) => format!("{}/{}", n.code, n.subcode),
        Ok(Message::Open(open)) => format!("{:?}", open.capabilities),
        Ok(other) => panic!("{other}"),
    }
}

/// An OPEN with this capability alone.
fn capable(code: u8, value: &[u8]) -> Result<Open, Notification> {
    let length = u8::try_from(value.len()).unwrap();
    let mut body = vec![4, 0xfd, 0xe9, 0, 90, 1, 2, 3, 4, length + 4, 2, length + 2, code, length];
    body.extend_from_slice(value);
    Open::decode(&body.into())
}

#[test]
fn cve_2022_36440_frr_a_look_ahead_for_the_as_number_stays_inside_the_open() {
    // The capability with the AS number is announced where the OPEN ends, plain and extended.
    assert_eq!(opened("0021 01 04 fde9 005a 01020304 04 02 02 41 04"), "2/0");
    assert_eq!(opened("0025 01 04 fde9 005a 01020304 ff ff 0005 02 0002 41 04"), "2/0");
    assert_eq!(opened("0024 01 04 fde9 005a 01020304 ff ff 0004 02 0004 41"), "2/0");
}

#[test]
fn cve_2023_31489_frr_a_long_lived_restart_capability_of_any_length_is_read_or_refused() {
    for length in 0..30 {
        let whole = length % 7 == 0;
        assert_eq!(capable(71, &vec![0; length]).is_ok(), whole, "{length}");
    }
}

#[test]
fn cve_2023_41361_frr_a_software_version_that_claims_more_than_there_is_is_refused() {
    assert!(capable(75, &[255, b'a', b'b']).is_err());
    assert!(capable(75, &[3, b'a', b'b']).is_err());
    assert!(capable(75, &[2, b'a', b'b']).is_ok());
}

#[test]
fn gobgp_2367_a_capability_that_does_not_move_on_is_no_endless_loop() {
    let parameters = [2, 0].repeat(120);
    let mut body = vec![4, 0xfd, 0xe9, 0, 90, 1, 2, 3, 4, 240];
    body.extend_from_slice(&parameters);
    assert!(Open::decode(&body.into()).unwrap().capabilities.is_empty());
}

#[test]
fn cve_2024_31949_frr_a_dynamic_capability_message_is_of_an_unknown_type() {
    assert_eq!(fate(&message(6, &[0, 0, 0, 64, 0]), &external()), "reset 1/3");
}

#[test]
fn bird_2_19_an_open_without_a_single_capability_has_no_role_and_is_read() {
    use bgp::wire::capability::Capabilities;
    let open = Open::decode(&Bytes::from_static(&[4, 0xfd, 0xe9, 0, 90, 1, 2, 3, 4, 0])).unwrap();
    assert_eq!((open.capabilities.role(), open.asn.value()), (None, 65001));
}

#[test]
fn bird_2_19_a_bmp_message_fills_its_length_to_the_last_octet() {
    let text = |length: usize| bmp::Information::text(bmp::information::STRING, &"a".repeat(length));
    for length in [0, 1, 254, 255, 256, 65_534, 65_535, 65_536] {
        let mut octets = Vec::new();
        bmp::Message::Initiation(vec![text(length), text(1)]).encode(&mut octets);
        assert_eq!(bmp::length(&octets), Ok(Some(octets.len())));
        let Ok(bmp::Message::Initiation(about)) = bmp::Message::decode(&octets) else { panic!("{length}") };
        assert_eq!((about[0].value.len(), about[1].value.len()), (length.min(65_535), 1));
    }
}

#[test]
fn cve_2023_38406_frr_and_cve_2025_43972_gobgp_flow_specifications_are_not_looked_into() {
    // AFI 1 and 2, SAFI 133: no rule, a rule that is cut off, one that claims too much.
    for afi in [1_u8, 2] {
        for rules in [&[][..], &[0], &[5, 1], &[0xf0], &[0xff, 0xff, 1, 24]] {
            let reach = [&[0, afi, 133, 0, 0][..], rules].concat();
            assert_eq!(with(&external(), &attr(NON_TRANSITIVE, 14, &reach)), KEPT, "{rules:?}");
            let unreach = [&[0, afi, 133][..], rules].concat();
            assert_eq!(with(&external(), &attr(NON_TRANSITIVE, 15, &unreach)), KEPT, "{rules:?}");
        }
    }
}

#[test]
fn cve_2023_38407_frr_label_stacks_are_not_looked_into() {
    // AFI 1, SAFI 4: a stack without a bottom, and one that is cut off.
    for prefix in [&[0x18, 0, 0, 0x10][..], &[0x60, 0, 0, 0x10, 0, 0, 0x20], &[0x78, 0, 0]] {
        let reach = [&[0, 1, 4, 4, 10, 0, 0, 1, 0][..], prefix].concat();
        assert_eq!(with(&external(), &attr(NON_TRANSITIVE, 14, &reach)), KEPT, "{prefix:?}");
    }
}

#[test]
fn cve_2023_31490_and_cve_2024_31948_frr_a_prefix_sid_of_any_content_passes_unread() {
    for value in [&[][..], &[1], &[1, 0, 7], &[3, 0, 0], &[3, 0xff, 0xff, 0], &[5, 0, 1, 0], &[4, 0, 0, 4, 0, 0]] {
        assert_eq!(with(&external(), &attr(TRANSITIVE, 40, value)), KEPT, "{value:?}");
    }
}

#[test]
fn cve_2026_7734_gobgp_an_srv6_service_in_a_prefix_sid_passes_unread() {
    for length in 0..24 {
        let inner = vec![1; length];
        let value = [&[5, 0, u8::try_from(length).unwrap()][..], &inner].concat();
        assert_eq!(with(&external(), &attr(TRANSITIVE, 40, &value)), KEPT);
    }
}

#[test]
fn cve_2023_41358_frr_prefixes_without_any_attribute_are_withdrawn() {
    assert_eq!(fate(&update(&[], &[], &PREFIX), &external()), WITHDRAWN);
    assert_eq!(fate(&update(&PREFIX, &[], &PREFIX), &external()), "-10.1.2.0/24 -10.1.2.0/24 withdraw");
}

#[test]
fn cve_2023_41359_frr_an_aigp_attribute_of_any_length_is_dropped() {
    for length in 0..15 {
        let whole = [1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9];
        let fate = with(&external(), &attr(NON_TRANSITIVE, 26, &whole[..length]));
        assert!([KEPT, DISCARDED].contains(&fate.as_str()), "{length}: {fate}");
    }
}

#[test]
fn cve_2023_41360_frr_a_route_refresh_that_ends_before_its_filters_is_refused() {
    for body in [&[0, 1, 0, 1, 1][..], &[0, 1, 0, 1, 1, 64], &[0, 1, 0, 1, 1, 64, 0, 9], &[0, 1, 0], &[]] {
        let refused = RouteRefresh::decode(&Bytes::copy_from_slice(body)).unwrap_err();
        assert_eq!((refused.code, refused.subcode), (7, 1), "{body:?}");
    }
}

#[test]
fn cve_2024_44070_frr_a_tunnel_encapsulation_that_claims_more_than_there_is_passes_unread() {
    for value in [&[0, 1, 0, 8, 1][..], &[0, 13, 0xff, 0xff], &[0, 1], &[0, 1, 0, 2, 1, 255]] {
        assert_eq!(with(&external(), &attr(TRANSITIVE, 23, value)), KEPT, "{value:?}");
    }
}

#[test]
fn cert_vu_347067_attributes_that_nobody_uses_reset_nothing_whatever_is_in_them() {
    for code in [11, 12, 13, 19, 20, 21, 22, 24, 27, 28, 30, 31, 33, 36, 37, 38, 39, 41, 99, 129, 243, 255] {
        for value in [&[][..], &[0], &[0xff; 7], &[0; 255]] {
            assert_eq!(with(&external(), &attr(TRANSITIVE, code, value)), KEPT, "{code}");
            assert_eq!(with(&external(), &attr(NON_TRANSITIVE, code, value)), KEPT, "{code}");
        }
    }
}

#[test]
fn gobgp_3392_an_origin_without_its_transitive_flag_withdraws_the_route() {
    assert_eq!(instead(&external(), 1, &attr(0, 1, &[0])), WITHDRAWN);
    let octets = update(&[], &[attr(0, 1, &[0]), path(), next_hop()].concat(), &[]);
    assert_eq!(fate(&octets, &external()), "reset 3/4", "nothing says what is to be withdrawn");
}

#[test]
fn cve_2026_42285_gobgp_attribute_lengths_that_contradict_each_other_withdraw_what_is_there_and_no_more() {
    // The total says less than the attributes do, and more than the message has.
    for (total, expected) in [(10_u16, WITHDRAWN), (200, "reset 3/1")] {
        let mut octets = update(&[], &[mandatory(), attr(TRANSITIVE, 8, &[0; 8])].concat(), &PREFIX);
        let honest = u16::from_be_bytes([octets[21], octets[22]]);
        if total < honest {
            // Cut to the lie, so that what follows is still a prefix.
            octets = update(&[], &[mandatory(), octets_of_a_cut_attribute()].concat(), &PREFIX);
        } else {
            octets[21..23].copy_from_slice(&total.to_be_bytes());
        }
        assert_eq!(fate(&octets, &external()), expected);
    }
}

fn octets_of_a_cut_attribute() -> Vec<u8> {
    vec![TRANSITIVE, 8, 200, 0, 0, 0, 0]
}

#[test]
fn cve_2026_37462_gobgp_lengths_below_what_the_header_takes_do_not_wrap() {
    // Withdrawn routes that claim the whole message, and attributes where no octet is left for them.
    assert_eq!(played("0017 02 ffff 0000", &external()), "reset 3/1");
    assert_eq!(played("0017 02 0002 0000", &external()), "reset 3/1");
    assert_eq!(played("0017 02 0000 ffff", &external()), "reset 3/1");
    assert_eq!(played("0016 02 0000 00", &external()), "reset 1/2");
}

#[test]
fn cve_2023_46565_gobgp_a_fault_with_no_route_at_all_is_answered_and_not_followed_into_nothing() {
    for attribute in
        [attr(WELL_KNOWN, 1, &[9]), attr(WELL_KNOWN, 2, &[2]), attr(WELL_KNOWN, 3, &[1]), attr(0, 200, &[])]
    {
        let fate = fate(&update(&[], &attribute, &[]), &external());
        assert!(fate.starts_with("reset 3/"), "{fate}");
    }
}

#[test]
fn quagga_2017_16227_a_path_of_600_numbers_goes_out_in_segments_that_fit_and_comes_back() {
    for as_width in [AsWidth::Four, AsWidth::Two] {
        let numbers: Vec<_> = (0..600).map(|n| asn(if n == 0 { PEER_AS } else { 70_000 + n })).collect();
        let mut draft =
            decode_update(&update(&[], &mandatory(), &PREFIX), &external()).unwrap().reachable[0].attributes.edit();
        draft.set_as_path(&numbers);
        let set = draft.build();
        let prefixes = [Nlri::plain(Prefix4::new(0x0a01_0200, 24).unwrap())];
        let mut out = Vec::new();
        let transmit = Transmit { as_width, max_message: 65_535, ..Transmit::PLAIN };
        encode::updates(Family::Ipv4, &set, prefixes, &transmit, &mut out).unwrap();
        let mut framer = Framer::new();
        framer.extend_messages();
        framer.push(&out);
        let body = framer.next_frame().unwrap().unwrap().body;
        let context = Context { as_width, ..external() };
        let again = Update::decode(&body, &context).unwrap();
        assert!(again.verdict().is_none_or(|verdict| verdict < Verdict::Withdraw), "{:?}", again.errors);
        assert_eq!(again.reachable[0].attributes.as_path().to_string(), set.as_path().to_string(), "{as_width:?}");
    }
}

#[test]
fn frr_pr_14129_attributes_after_withdrawn_routes_are_found_whatever_came_before() {
    for withdrawn in [&[][..], &[0], &PREFIX, &[32, 1, 2, 3, 4, 8, 9]] {
        let fate = fate(&update(withdrawn, &mandatory(), &[16, 172, 16]), &external());
        assert!(fate.starts_with("+172.16.0.0/16") && fate.ends_with(" ok"), "{fate}");
    }
}
