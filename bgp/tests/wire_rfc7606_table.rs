//! The rows of RFC 7606 §7 and of the RFCs that follow its terms: attribute by attribute, from external and internal peers.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use bgp::wire::{AsWidth, Context, FamilySet, FirstAs};
use model::Family;
use wire_support::*;

#[test]
fn rfc7606_7_1_origin_is_one_octet_of_0_to_2() {
    both(|c| {
        for value in 0..=2 {
            assert_eq!(instead(c, 1, &attr(WELL_KNOWN, 1, &[value])), KEPT);
        }
        for value in [&[][..], &[3], &[255], &[0, 0]] {
            assert_eq!(instead(c, 1, &attr(WELL_KNOWN, 1, value)), WITHDRAWN, "{value:?}");
        }
    });
}

#[test]
fn rfc7606_7_2_a_malformed_as_path_withdraws_the_route() {
    both(|c| {
        for value in [
            "00 01 0000fde9",
            "03 01 0000fde9",
            "04 01 0000fde9",
            "05 01 0000fde9",
            "ff 01 0000fde9",
            "02 00",
            "02 01 0000fde9 02 00",
            "02 02 0000fde9",
            "02 01 0000fde9 00",
            "02 01 0000fde9 02",
            "02",
            "02 01 fde9",
            "02 01 0000fde9 01 01 00000000",
        ] {
            assert_eq!(instead(c, 2, &attr(WELL_KNOWN, 2, &octets(value))), WITHDRAWN, "{value}");
        }
        let sets = octets("02 01 0000fde9 01 02 0000fdea 0000fdeb");
        assert_eq!(instead(c, 2, &attr(WELL_KNOWN, 2, &sets)), KEPT);
    });
}

#[test]
fn rfc4271_6_3_an_external_peers_path_begins_with_its_own_as() {
    for value in ["", "02 01 0000fdea", "02 02 0000fdea 0000fde9", "01 01 0000fde9"] {
        let attribute = attr(WELL_KNOWN, 2, &octets(value));
        assert_eq!(instead(&external(), 2, &attribute), WITHDRAWN, "{value}");
        assert_eq!(instead(&internal(), 2, &attribute), KEPT, "{value}");
        let route_server = Context { first_as: FirstAs::Any, ..external() };
        assert_eq!(instead(&route_server, 2, &attribute), KEPT, "{value}");
    }
    // Without a route there is nothing to withdraw, and nothing in doubt.
    let other = attr(WELL_KNOWN, 2, &octets("02 01 0000fdea"));
    assert_eq!(fate(&update(&PREFIX, &[origin(), other].concat(), &[]), &external()), "-10.1.2.0/24 ok");
}

#[test]
fn rfc7606_7_3_next_hop_is_four_octets() {
    both(|c| {
        for length in [0, 3, 5, 16] {
            assert_eq!(instead(c, 3, &ones(WELL_KNOWN, 3, length)), WITHDRAWN, "{length}");
        }
    });
}

#[test]
fn rfc4271_6_3_a_next_hop_is_the_address_of_another_host() {
    both(|c| {
        let c = Context { own_addresses: ["10.9.0.1".parse().unwrap()].into_iter().collect(), ..c.clone() };
        for bad in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 5], [255, 255, 255, 255], [10, 9, 0, 1]] {
            assert_eq!(instead(&c, 3, &attr(WELL_KNOWN, 3, &bad)), WITHDRAWN, "{bad:?}");
        }
        // It spoils only those routes that it is the next hop of.
        let mixed = [reach6(), origin(), path(), attr(WELL_KNOWN, 3, &[127, 0, 0, 1])].concat();
        assert_eq!(fate(&update(&[], &mixed, &PREFIX), &c), "+2001:db8:1::/48 -10.1.2.0/24 withdraw");
        assert_eq!(fate(&update(&[], &mixed, &[]), &c), "+2001:db8:1::/48 ok");
    });
}

#[test]
fn rfc7606_7_4_multi_exit_disc_is_four_octets() {
    both(|c| {
        assert_eq!(with(c, &ones(NON_TRANSITIVE, 4, 4)), KEPT);
        for length in [0, 3, 5] {
            assert_eq!(with(c, &ones(NON_TRANSITIVE, 4, length)), WITHDRAWN, "{length}");
        }
    });
}

#[test]
fn rfc7606_7_5_local_pref_is_discarded_from_external_peers_and_four_octets_from_internal_ones() {
    for length in [0, 3, 4, 5] {
        assert_eq!(with(&external(), &ones(WELL_KNOWN, 5, length)), DISCARDED, "{length}");
        let expected = if length == 4 { KEPT } else { WITHDRAWN };
        assert_eq!(with(&internal(), &ones(WELL_KNOWN, 5, length)), expected, "{length}");
    }
}

#[test]
fn a_missing_local_pref_from_an_internal_peer_means_100() {
    let plain = decode_update(&update(&[], &mandatory(), &PREFIX), &internal()).unwrap();
    assert_eq!(plain.reachable[0].attributes.local_pref, Some(100));
    let outside = decode_update(&update(&[], &mandatory(), &PREFIX), &external()).unwrap();
    assert_eq!(outside.reachable[0].attributes.local_pref, None);
}

#[test]
fn rfc7606_7_6_a_malformed_atomic_aggregate_is_discarded() {
    both(|c| {
        assert_eq!(with(c, &ones(WELL_KNOWN, 6, 0)), KEPT);
        assert_eq!(with(c, &ones(WELL_KNOWN, 6, 1)), DISCARDED);
    });
}

#[test]
fn rfc7606_7_7_a_malformed_aggregator_is_discarded() {
    both(|c| {
        let two = Context { as_width: AsWidth::Two, first_as: FirstAs::Any, ..c.clone() };
        let narrow = attr(WELL_KNOWN, 2, &[2, 1, 0xfd, 0xe9]);
        for length in [0, 5, 6, 7, 8, 9, 10] {
            let expected = |right| if length == right { KEPT } else { DISCARDED };
            assert_eq!(with(c, &ones(TRANSITIVE, 7, length)), expected(8), "{length}");
            let attributes = [origin(), narrow.clone(), next_hop(), ones(TRANSITIVE, 7, length)].concat();
            assert_eq!(fate(&update(&[], &attributes, &PREFIX), &two), expected(6), "{length}");
        }
        assert_eq!(with(c, &attr(TRANSITIVE, 7, &[0, 0, 0, 0, 10, 0, 0, 1])), DISCARDED, "AS 0 (RFC 7607)");
    });
}

#[test]
fn rfc7606_7_8_communities_are_a_list_of_four_octets() {
    both(|c| {
        for (length, expected) in [(4, KEPT), (8, KEPT), (256, KEPT), (0, WITHDRAWN), (3, WITHDRAWN), (5, WITHDRAWN)] {
            assert_eq!(with(c, &ones(TRANSITIVE, 8, length)), expected, "{length}");
        }
    });
}

#[test]
fn rfc7606_7_9_originator_id_is_discarded_from_external_peers_and_four_octets_from_internal_ones() {
    for length in [0, 3, 4, 5] {
        assert_eq!(with(&external(), &ones(NON_TRANSITIVE, 9, length)), DISCARDED, "{length}");
        let expected = if length == 4 { KEPT } else { WITHDRAWN };
        assert_eq!(with(&internal(), &ones(NON_TRANSITIVE, 9, length)), expected, "{length}");
    }
}

#[test]
fn rfc7606_7_10_cluster_list_is_discarded_from_external_peers_and_a_list_from_internal_ones() {
    for length in [0, 3, 4, 5, 8] {
        assert_eq!(with(&external(), &ones(NON_TRANSITIVE, 10, length)), DISCARDED, "{length}");
        let expected = if length == 4 || length == 8 { KEPT } else { WITHDRAWN };
        assert_eq!(with(&internal(), &ones(NON_TRANSITIVE, 10, length)), expected, "{length}");
    }
}

#[test]
fn rfc7606_7_11_an_mp_reach_whose_next_hop_does_not_fit_resets_the_session() {
    both(|c| {
        for next_hop in [0, 4, 9, 15, 17, 24, 31, 33, 48] {
            let value = [&[0, 2, 1, next_hop][..], &vec![0x20; next_hop.into()], &[0], &PREFIX6].concat();
            let attributes = [attr(NON_TRANSITIVE, 14, &value), origin(), path()].concat();
            assert_eq!(fate(&update(&[], &attributes, &[]), c), "reset 3/9", "{next_hop}");
        }
        for length in 0..5 {
            assert_eq!(with(c, &attr(NON_TRANSITIVE, 14, &[0, 2, 1, 0, 0][..length])), "reset 3/9", "{length}");
        }
        let overrun = attr(NON_TRANSITIVE, 14, &[0, 2, 1, 16, 1, 2, 3, 4, 5]);
        assert_eq!(with(c, &overrun), "reset 3/9");
        let overrun_elsewhere = attr(NON_TRANSITIVE, 14, &[0, 25, 70, 16, 1, 2, 3, 4, 5]);
        assert_eq!(with(c, &overrun_elsewhere), "reset 3/9");
    });
}

#[test]
fn rfc7606_3c_wrong_flags_of_mp_reach_withdraw_the_prefixes_inside() {
    both(|c| {
        for flags in [0x00, 0x40, 0xc0] {
            let reach = attr(flags, 14, &reach6()[3..]);
            let attributes = [reach, mandatory()].concat();
            assert_eq!(fate(&update(&[], &attributes, &PREFIX), c), "-2001:db8:1::/48 -10.1.2.0/24 withdraw");
        }
    });
}

#[test]
fn rfc7606_7_12_an_mp_unreach_of_less_than_three_octets_resets_the_session() {
    both(|c| {
        for length in 0..3 {
            let unreach = attr(NON_TRANSITIVE, 15, &[0, 2, 1][..length]);
            assert_eq!(fate(&update(&[], &unreach, &[]), c), "reset 3/9", "{length}");
        }
    });
}

#[test]
fn rfc7606_7_14_extended_communities_are_a_list_of_eight_octets() {
    both(|c| {
        for (length, expected) in [(8, KEPT), (16, KEPT), (0, WITHDRAWN), (7, WITHDRAWN), (9, WITHDRAWN)] {
            assert_eq!(with(c, &ones(TRANSITIVE, 16, length)), expected, "{length}");
        }
    });
}

#[test]
fn rfc7606_7_15_ipv6_extended_communities_are_a_list_of_twenty_octets() {
    both(|c| {
        for (length, expected) in [(20, KEPT), (40, KEPT), (0, WITHDRAWN), (19, WITHDRAWN), (21, WITHDRAWN)] {
            assert_eq!(with(c, &ones(TRANSITIVE, 25, length)), expected, "{length}");
        }
    });
}

#[test]
fn rfc7606_7_16_attr_set_is_not_supported_and_passes_unread() {
    both(|c| {
        for length in [0, 3, 4, 40] {
            assert_eq!(with(c, &ones(TRANSITIVE, 128, length)), KEPT, "{length}");
        }
    });
}

#[test]
fn rfc8092_6_large_communities_are_a_list_of_twelve_octets() {
    both(|c| {
        for (length, expected) in [(12, KEPT), (24, KEPT), (0, WITHDRAWN), (11, WITHDRAWN), (13, WITHDRAWN)] {
            assert_eq!(with(c, &ones(TRANSITIVE, 32, length)), expected, "{length}");
        }
    });
}

#[test]
fn rfc9234_5_otc_is_four_octets() {
    both(|c| {
        for (length, expected) in [(4, KEPT), (0, WITHDRAWN), (3, WITHDRAWN), (5, WITHDRAWN)] {
            assert_eq!(with(c, &ones(TRANSITIVE, 35, length)), expected, "{length}");
        }
    });
}

#[test]
fn rfc6793_4_1_as4_attributes_from_a_four_octet_peer_are_discarded_whatever_they_look_like() {
    both(|c| {
        for code in [17, 18] {
            for flags in [0x00, 0x40, 0x80, 0xc0] {
                for length in [0, 1, 6, 8] {
                    assert_eq!(with(c, &ones(flags, code, length)), DISCARDED, "{code} {flags:#x} {length}");
                }
            }
        }
    });
}

#[test]
fn rfc6793_6_malformed_as4_attributes_from_a_two_octet_peer_are_discarded() {
    both(|c| {
        let c = Context { as_width: AsWidth::Two, first_as: FirstAs::Any, ..c.clone() };
        let base = [origin(), attr(WELL_KNOWN, 2, &[2, 1, 0xfd, 0xe9]), next_hop()].concat();
        let fate = |extra: Vec<u8>| fate(&update(&[], &[base.clone(), extra].concat(), &PREFIX), &c);
        assert_eq!(fate(attr(TRANSITIVE, 17, &octets("02 01 0000fde9"))), KEPT);
        for value in
            ["", "02", "02 01 0000fd", "02 02 0000fde9", "03 01 0000fde9", "02 01 00000000", "02 00 02 00 0200"]
        {
            assert_eq!(fate(attr(TRANSITIVE, 17, &octets(value))), DISCARDED, "{value}");
        }
        assert_eq!(fate(ones(TRANSITIVE, 18, 8)), KEPT);
        assert_eq!(fate(ones(TRANSITIVE, 18, 6)), DISCARDED);
        assert_eq!(fate(attr(TRANSITIVE, 18, &[0; 8])), DISCARDED);
    });
}

#[test]
fn rfc4271_5_unknown_attributes_pass_if_transitive_and_vanish_if_not() {
    both(|c| {
        for code in [0, 11, 12, 13, 20, 22, 23, 24, 27, 28, 30, 33, 34, 40, 100, 129, 254, 255] {
            for length in [0, 1, 28, 300] {
                let octets = update(&[], &[mandatory(), ones(TRANSITIVE, code, length)].concat(), &PREFIX);
                let taken = decode_update(&octets, c).unwrap();
                assert_eq!(told(&taken), KEPT);
                let set = &taken.reachable[0].attributes;
                let unknown: Vec<_> = set.unknown().map(|raw| (raw.code, raw.flags, raw.value.len())).collect();
                assert_eq!(unknown, [(code, 0xe0, length)], "Partial is set by who does not know it");

                let octets = update(&[], &[mandatory(), ones(NON_TRANSITIVE, code, length)].concat(), &PREFIX);
                let taken = decode_update(&octets, c).unwrap();
                assert_eq!((told(&taken).as_str(), taken.reachable[0].attributes.unknown().count()), (KEPT, 0));
            }
        }
    });
}

#[test]
fn an_unknown_attribute_that_claims_to_be_well_known_withdraws_the_route() {
    both(|c| {
        for (flags, code) in [(0x40, 99), (0x00, 99), (0x40, 40), (0x00, 0), (0x40, 255)] {
            assert_eq!(with(c, &ones(flags, code, 4)), WITHDRAWN, "{flags:#x} {code}");
        }
    });
}

#[test]
fn rfc7311_3_aigp_and_bgp_ls_are_ignored_and_not_passed_on_whatever_they_look_like() {
    both(|c| {
        for code in [26, 29] {
            for flags in [0x00, 0x40, 0x80, 0xc0] {
                let octets = update(&[], &[mandatory(), ones(flags, code, 3)].concat(), &PREFIX);
                let taken = decode_update(&octets, c).unwrap();
                assert_eq!((told(&taken).as_str(), taken.reachable[0].attributes.unknown().count()), (KEPT, 0));
            }
        }
    });
}

#[test]
fn rfc2545_3_a_next_hop_may_be_global_link_local_or_both() {
    both(|c| {
        let c = Context { own_addresses: ["2001:db8::1".parse().unwrap()].into_iter().collect(), ..c.clone() };
        let by = |hex: &str| {
            let next_hop = octets(hex);
            let value = [&[0, 2, 1, next_hop.len() as u8][..], &next_hop, &[0], &PREFIX6].concat();
            let octets = update(&[], &[attr(NON_TRANSITIVE, 14, &value), origin(), path()].concat(), &[]);
            let update = decode_update(&octets, &c).unwrap();
            update.reachable.first().map_or("gone".to_string(), |r| r.attributes.next_hop.to_string())
        };
        let (global, local) = ("20010db8000000000000000000000002", "fe800000000000000000000000000003");
        let zero = "00000000000000000000000000000000";
        assert_eq!(by(global), "2001:db8::2");
        assert_eq!(by(local), "fe80::3");
        assert_eq!(by(&format!("{global}{local}")), "2001:db8::2 (fe80::3)");
        assert_eq!(by(&format!("{zero}{local}")), "fe80::3");
        assert_eq!(by(&format!("{local}{local}")), "fe80::3");
        assert_eq!(by(&format!("{global}{zero}")), "2001:db8::2");
        assert_eq!(by(&format!("{global}{global}")), "2001:db8::2");
        for bad in [zero, "00000000000000000000000000000001", "ff020000000000000000000000000001"] {
            assert_eq!(by(bad), "gone", "{bad}");
        }
        assert_eq!(by("20010db8000000000000000000000001"), "gone", "our own");
        assert_eq!(by("00000000000000000000ffff0a090002"), "gone", "an IPv4 address");
    });
}

#[test]
fn rfc8950_3_ipv4_prefixes_take_an_ipv6_next_hop_only_where_agreed_on() {
    both(|c| {
        let next_hop = octets("20010db8000000000000000000000002");
        let value = [&[0, 1, 1, 16][..], &next_hop, &[0], &PREFIX].concat();
        let octets = update(&[], &[attr(NON_TRANSITIVE, 14, &value), origin(), path()].concat(), &[]);
        assert_eq!(fate(&octets, c), "reset 3/9");
        let agreed = Context { extended_next_hop: FamilySet::of(Family::Ipv4), ..c.clone() };
        let taken = decode_update(&octets, &agreed).unwrap();
        assert_eq!(told(&taken), KEPT);
        assert_eq!(taken.reachable[0].attributes.next_hop.to_string(), "2001:db8::2");
        let value = [&[0, 1, 1, 4, 10, 9, 0, 2, 0][..], &PREFIX].concat();
        let classic = update(&[], &[attr(NON_TRANSITIVE, 14, &value), origin(), path()].concat(), &[]);
        assert_eq!(fate(&classic, c), KEPT);
    });
}
