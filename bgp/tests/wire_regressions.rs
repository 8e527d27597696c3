//! Messages that crashed, confused or reset other BGP speakers, by the names they are known by. None does so here.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use bgp::wire::{Context, FamilySet, Framer, Message, encode};
use bgp::wire::{Nlri, Prefix4, Transmit};
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

/// A route with one more attribute.
fn with(hex: &str) -> String {
    fate(&update(&[], &[mandatory(), octets(hex)].concat(), &PREFIX), &external())
}

const KEPT: &str = "+10.1.2.0/24 ok";
const DISCARDED: &str = "+10.1.2.0/24 discard";
const WITHDRAWN: &str = "-10.1.2.0/24 withdraw";

#[test]
fn cve_2023_38802_frr_a_corrupt_tunnel_encapsulation_attribute_passes_unread() {
    assert_eq!(with("c01704ffffffff"), KEPT);
    assert_eq!(with("c01700"), KEPT);
    assert_eq!(with("c0170100"), KEPT);
}

#[test]
fn incident_2023_a_corrupt_entropy_label_attribute_passes_unread() {
    assert_eq!(with("e01c050000000000"), KEPT);
}

#[test]
fn incident_2025_05_a_prefix_sid_of_zeros_passes_unread() {
    // As it went round the world on 2025-05-20, from a peer in AS 3356.
    let real = "0090 02 0000 0075 40010100 40022202 08 00000d1c 0000232a 00002458 000210aa 00024f1e 00021b5d 000003d8 \
                00060a11 400304d5f24949 80040400000000 c0081c 0d1c0002 0d1c0016 0d1c0064 0d1c007b 0d1c01f7 0d1c0385 \
                0d1c0813 e0281c 00000000000000000000000000000000000000000000000000000000 182dc6b8";
    let context = Context { peer_as: asn(3356), ..external() };
    assert_eq!(played(real, &context), "+45.198.184.0/24 ok");
}

#[test]
fn frr_19336_a_prefix_sid_of_any_length_passes_unread() {
    for length in [0usize, 1, 2, 3, 7, 10, 255] {
        assert_eq!(with(&format!("c028{length:02x}{}", "01".repeat(length))), KEPT);
    }
}

#[test]
fn cve_2026_41643_gobgp_3308_an_as4_path_of_one_octet_is_discarded() {
    let first = "0033 02 0000 001c 4011 01 02 40010100 40020602010000fde9 4003040a090002 18cb0028";
    let first = first.replace("001c", "0018");
    assert_eq!(played(&first, &external()), "+203.0.40.0/24 discard");
    // In 2-octet sessions too, where the attribute is looked at.
    assert_eq!(with("c0110102"), DISCARDED);
    // Before an AS_PATH that is cut off: what ends the session is that no route can be found in it.
    assert_eq!(played("0022 02 0000 000b 40110102 400204ffffdead", &external()), "reset 3/11");
}

#[test]
fn cve_2026_41642_gobgp_an_unknown_well_known_attribute_withdraws_the_route() {
    assert_eq!(with("40630401020304"), WITHDRAWN);
}

#[test]
fn cve_2026_30405_gobgp_a_next_hop_of_any_length_withdraws_the_route() {
    for length in (0..40usize).filter(|l| *l != 4) {
        let next_hop = attr(WELL_KNOWN, 3, &vec![10; length]);
        let octets = update(&[], &[origin(), path(), next_hop].concat(), &PREFIX);
        assert_eq!(fate(&octets, &external()), WITHDRAWN, "{length}");
    }
}

#[test]
fn gobgp_ghsa_frrj_87jh_2772_an_empty_path_or_confederation_segment_withdraws_the_route() {
    for value in ["", "0300", "0400", "0201 0000fde9 0300", "0301 0000fde9 0201 0000fde9"] {
        let path = attr(WELL_KNOWN, 2, &octets(value));
        let octets = update(&[], &[origin(), path, next_hop()].concat(), &PREFIX);
        assert_eq!(fate(&octets, &external()), WITHDRAWN, "{value}");
    }
}

#[test]
fn gobgp_3590_as_0_in_the_path_withdraws_the_route() {
    let path = attr(WELL_KNOWN, 2, &octets("0203 0000fde9 00000000 0000fdea"));
    assert_eq!(fate(&update(&[], &[origin(), path, next_hop()].concat(), &PREFIX), &external()), WITHDRAWN);
}

#[test]
fn gobgp_a_truncated_attribute_header_withdraws_the_route() {
    assert_eq!(with("c0"), WITHDRAWN);
    assert_eq!(with("d0080000c0"), WITHDRAWN);
}

#[test]
fn frr_22563_a_fault_without_any_reachable_prefix_resets_the_session() {
    assert_eq!(played("001b 02 0000 0004 40012000", &external()), "reset 3/1");
}

#[test]
fn gobgp_3_10_an_unknown_family_does_not_reset_the_session() {
    let bgp_ls = "0041 02 0000 0026 800e0f 4004 47 04 0a090002 0000010002aabb 40010100 40020602010000fde9 4003040a090002 18cb003d";
    assert_eq!(played(bgp_ls, &external()), "+203.0.61.0/24 ok");
}

#[test]
fn gobgp_3_10_an_unknown_message_type_is_refused() {
    assert_eq!(fate(&message(9, &[]), &external()), "reset 1/3");
}

#[test]
fn gobgp_2598_a_capability_beyond_its_parameter_is_refused() {
    assert_eq!(opened("002c 01 04 fde9 005a 01020304 0f 020d 0201 04000100 01 4104 0000fde9"), "2/0");
}

#[test]
fn gobgp_2730_a_software_version_beyond_its_capability_is_refused() {
    assert_eq!(opened("0028 01 04 fc00 005a c0a80a05 0b 0209 4b07 0a000000000000"), "2/0");
}

#[test]
fn gobgp_2732_a_long_software_version_is_taken_for_what_it_is() {
    let text = "61".repeat(66);
    assert_eq!(
        opened(&format!("0064 01 04 fde9 005a 01020304 47 0245 4b43 42 {text}")),
        format!("[SoftwareVersion(\"{}\")]", "a".repeat(66))
    );
}

#[test]
fn cve_2025_43971_gobgp_an_empty_software_version_is_empty() {
    assert_eq!(opened("0022 01 04 fde9 005a 01020304 05 0203 4b01 00"), "[SoftwareVersion(\"\")]");
    assert_eq!(opened("0021 01 04 fde9 005a 01020304 04 0202 4b00"), "2/0");
}

#[test]
fn ghsa_gjrg_jjr3_56cm_gobgp_a_capability_of_no_octets_does_not_read_its_neighbour() {
    assert_eq!(opened("0025 01 04 fde9 005a 01020304 08 0206 4100 41020000"), "2/0");
    assert_eq!(opened("0027 01 04 fde9 005a 01020304 0a 0208 0100 4104 0000fde9"), "2/0");
}

#[test]
fn cve_2022_40302_frr_an_extended_open_without_its_length_is_refused() {
    assert_eq!(opened("001e 01 04 fde9 005a 01020304 ff ff"), "2/0");
    assert_eq!(opened("001f 01 04 fde9 005a 01020304 ff ff 00"), "2/0");
}

#[test]
fn cve_2022_40318_frr_an_extended_open_with_a_short_parameter_is_refused() {
    assert_eq!(opened("0021 01 04 fde9 005a 01020304 ff ff 0001 02"), "2/0");
    assert_eq!(opened("0022 01 04 fde9 005a 01020304 ff ff 0002 02 00"), "2/0");
}

#[test]
fn cve_2022_43681_frr_an_open_that_ends_within_a_parameter_header_is_refused() {
    assert_eq!(opened("001e 01 04 fde9 005a 01020304 01 02"), "2/0");
    assert_eq!(opened("001d 01 04 fde9 005a 01020304 05"), "2/0");
}

#[test]
fn cve_2022_37032_frr_a_capability_without_its_length_is_refused() {
    assert_eq!(opened("0020 01 04 fde9 005a 01020304 03 02 01 49"), "2/0");
    assert_eq!(opened("0021 01 04 fde9 005a 01020304 04 02 02 49 00"), "2/0");
}

#[test]
fn cve_2012_1820_quagga_an_outbound_route_filter_capability_stays_raw() {
    let open = opened("002d 01 04 fde9 005a 01020304 10 020e 030c 0001 00 01 ff 4003 0000000000");
    assert!(open.starts_with("[Unknown(3, "), "{open}");
}

#[test]
fn cve_2023_46752_frr_a_truncated_mp_reach_resets_the_session_and_no_more() {
    for length in 0..28 {
        let whole = &reach6()[3..];
        let octets = update(&[], &[mandatory(), attr(NON_TRANSITIVE, 14, &whole[..length])].concat(), &PREFIX);
        let fate = fate(&octets, &external());
        // A next hop without prefixes is whole again.
        assert!(fate.starts_with("reset 3/") || (length == 21 && fate == KEPT), "{length}: {fate}");
    }
}

#[test]
fn cve_2023_46753_frr_an_update_without_mandatory_attributes_withdraws() {
    assert_eq!(fate(&update(&[], &[0xc0, 99, 0], &PREFIX), &external()), WITHDRAWN);
    assert_eq!(fate(&update(&[], &reach6(), &[]), &external()), "-2001:db8:1::/48 withdraw");
}

#[test]
fn cve_2023_47234_frr_mp_unreach_first_and_then_a_fault_resets_the_session() {
    let octets = update(&[], &[unreach6(), attr(WELL_KNOWN, 1, &[])].concat(), &[]);
    assert_eq!(fate(&octets, &external()), "reset 3/5");
}

#[test]
fn cve_2023_47235_frr_end_of_rib_with_other_attributes_is_none() {
    let octets = update(&[], &[attr(NON_TRANSITIVE, 15, &[0, 2, 1]), origin()].concat(), &[]);
    assert_eq!(fate(&octets, &external()), "ok");
}

#[test]
fn cve_2023_38283_openbgpd_attribute_lengths_beyond_the_total_withdraw() {
    assert_eq!(with("c0 20 ff 00000000"), WITHDRAWN);
    assert_eq!(with("d0 20 ffff 00000000"), WITHDRAWN);
}

#[test]
fn nanog_openbgpd_reserved_flag_bits_are_ignored() {
    assert_eq!(with("cf 08 0004 fde90001".replace("cf", "df").as_str()), KEPT);
    assert_eq!(with("c8 07 08 0000fde9 0a000002"), KEPT);
}

#[test]
fn openbgpd_3d74a76ba_withdrawn_routes_do_not_move_where_prefixes_are_looked_for() {
    let octets = update(&[8, 11, 8, 12], &mandatory(), &[8, 13]);
    assert_eq!(fate(&octets, &external()), "+13.0.0.0/8 -11.0.0.0/8 -12.0.0.0/8 ok");
}

#[test]
fn frr_553f44e8bc_attributes_as_large_as_a_message_are_an_error_and_never_a_loop() {
    let communities: Vec<u8> = (0..1020u32).flat_map(u32::to_be_bytes).collect();
    let octets = {
        let attributes = [mandatory(), attr(TRANSITIVE, 8, &communities)].concat();
        update(&[], &attributes, &[0])
    };
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(&octets);
    let frame = framer.next_frame().unwrap().unwrap();
    let Ok(Message::Update(taken)) = Message::decode(frame, &external()) else { panic!() };
    let prefixes = [Nlri::plain(Prefix4::new(0x0a00_0000, 8).unwrap())];
    let mut out = Vec::new();
    let sent = encode::updates(Family::Ipv4, &taken.reachable[0].attributes, prefixes, &Transmit::PLAIN, &mut out);
    assert!(sent.is_err() && out.is_empty());
}

#[test]
fn bgp_rs_quirk_3_a_default_route_among_others_is_not_mistaken_for_a_path_identifier() {
    let octets = update(&[], &mandatory(), &[0, 16, 172, 16, 16, 10, 0]);
    assert_eq!(fate(&octets, &external()), "+0.0.0.0/0 +172.16.0.0/16 +10.0.0.0/16 ok");
}

#[test]
fn bgp_rs_quirk_2_path_numbers_are_as_wide_as_was_agreed_on() {
    for number in [512, 256, 131_328, 4_200_005_888] {
        let context = Context { peer_as: asn(number), ..external() };
        let path = attr(WELL_KNOWN, 2, &[&[2, 1][..], &u32::to_be_bytes(number)].concat());
        let update = decode_update(&update(&[], &[origin(), path, next_hop()].concat(), &PREFIX), &context).unwrap();
        assert_eq!(update.reachable[0].attributes.as_path().to_string(), number.to_string());
    }
}

#[test]
fn bgp_rs_quirk_10_unknown_families_and_labelled_prefixes_are_ignored() {
    assert_eq!(with("800e0c 4004 47 04 0a000001 00 010203"), KEPT);
    assert_eq!(with("800f06 0019 46 02 01 02"), KEPT);
    // Wrong flags round prefixes of a family that is ignored: there is nothing to withdraw, and nothing in doubt.
    let panic = "002b 02 0000 0014 400e 10 0001 04 04 0a000001 01010040 82 06020100";
    assert_eq!(played(panic, &external()), "withdraw");
}

#[test]
fn bgp_rs_quirk_11_nested_attribute_sets_are_not_descended_into() {
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        let length = u16::try_from(nested.len() + 4).unwrap();
        let mut outer = vec![0xd0, 128];
        outer.extend_from_slice(&length.to_be_bytes());
        outer.extend_from_slice(&[0, 0, 0xfd, 0xe9]);
        outer.extend_from_slice(&nested);
        if outer.len() > 60_000 {
            break;
        }
        nested = outer;
    }
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(&update(&[], &[mandatory(), nested].concat(), &PREFIX));
    let frame = framer.next_frame().unwrap().unwrap();
    let Ok(Message::Update(update)) = Message::decode(frame, &external()) else { panic!() };
    assert_eq!(told(&update), KEPT);
}

#[test]
fn zettabgp_a_path_with_an_octet_left_over_ends() {
    let hex = "0030 02 0000 0015 40010100 400207 02010000fde800 4003040a000001 180a0001";
    assert_eq!(played(hex, &internal()), "-10.0.1.0/24 withdraw");
}

#[test]
fn a_message_of_nothing_but_attribute_headers_reports_a_bounded_number_of_faults() {
    let repeated = [WELL_KNOWN, 6, 0].repeat(20_000);
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(&update(&[], &[mandatory(), repeated].concat(), &PREFIX));
    let frame = framer.next_frame().unwrap().unwrap();
    let Ok(Message::Update(update)) = Message::decode(frame, &external()) else { panic!() };
    assert_eq!((told(&update).as_str(), update.errors.len()), (DISCARDED, 32));
}

#[test]
fn a_message_of_default_routes_only_reads_in_one_pass() {
    let context = Context { families: FamilySet::ALL, ..external() };
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(&update(&[], &mandatory(), &[0; 60_000]));
    let frame = framer.next_frame().unwrap().unwrap();
    let Ok(Message::Update(update)) = Message::decode(frame, &context) else { panic!() };
    assert_eq!(update.reachable_prefixes(), 60_000);
}
