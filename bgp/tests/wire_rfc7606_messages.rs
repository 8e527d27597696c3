//! What RFC 7606 §3 to §5 say of a message as a whole: which fault counts, which prefixes it takes, what is ignored.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use bgp::wire::{Context, FamilySet};
use model::Family;
use wire_support::*;

#[test]
fn rfc7606_3c_conflicting_flags_withdraw_the_route() {
    both(|c| {
        for (code, value) in [(1, vec![0]), (2, path()[3..].to_vec()), (3, vec![10, 9, 0, 2])] {
            for flags in [0x00, 0x80, 0xc0] {
                assert_eq!(instead(c, code, &attr(flags, code, &value)), WITHDRAWN, "{code} {flags:#x}");
            }
        }
        for (code, length, right) in [(4, 4, 0x80), (5, 4, 0x40), (6, 0, 0x40), (7, 8, 0xc0), (8, 4, 0xc0)]
            .into_iter()
            .chain([(9, 4, 0x80), (10, 4, 0x80), (16, 8, 0xc0), (25, 20, 0xc0), (32, 12, 0xc0), (35, 4, 0xc0)])
        {
            for flags in [0x00, 0x40, 0x80, 0xc0] {
                if flags != right {
                    assert_eq!(with(c, &ones(flags, code, length)), WITHDRAWN, "{code} {flags:#x}");
                }
            }
        }
    });
}

#[test]
fn rfc4271_4_3_the_low_four_flag_bits_are_ignored() {
    both(|c| {
        assert_eq!(instead(c, 1, &attr(0x4f & !0x10, 1, &[0])), KEPT);
        assert_eq!(with(c, &ones(0xcf & !0x10, 8, 4)), KEPT);
        assert_eq!(with(c, &[0xdf, 8, 0, 4, 1, 1, 1, 1]), KEPT);
    });
}

#[test]
fn rfc7606_3c_the_partial_bit_conflicts_with_nothing() {
    both(|c| {
        assert_eq!(instead(c, 1, &attr(0x60, 1, &[0])), KEPT);
        assert_eq!(with(c, &ones(0xa0, 4, 4)), KEPT);
        assert_eq!(with(c, &ones(0xe0, 8, 4)), KEPT);
    });
}

#[test]
fn rfc7606_3d_a_missing_mandatory_attribute_withdraws_the_route() {
    both(|c| {
        for code in [1, 2, 3] {
            assert_eq!(instead(c, code, &[]), WITHDRAWN, "{code}");
        }
        assert_eq!(fate(&update(&[], &[], &PREFIX), c), WITHDRAWN);
        assert_eq!(fate(&update(&[], &[reach6(), path()].concat(), &[]), c), "-2001:db8:1::/48 withdraw");
        assert_eq!(fate(&update(&[], &[reach6(), origin()].concat(), &[]), c), "-2001:db8:1::/48 withdraw");
    });
}

#[test]
fn rfc4760_3_next_hop_is_not_needed_for_prefixes_in_mp_reach() {
    both(|c| {
        assert_eq!(fate(&update(&[], &[reach6(), origin(), path()].concat(), &[]), c), "+2001:db8:1::/48 ok");
        // For those outside it is, and the whole message is one route's worth of attributes.
        let missing = update(&[], &[reach6(), origin(), path()].concat(), &PREFIX);
        assert_eq!(fate(&missing, c), "-2001:db8:1::/48 -10.1.2.0/24 withdraw");
    });
}

#[test]
fn rfc7606_3g_a_repeated_attribute_is_discarded_and_the_first_one_counts() {
    both(|c| {
        let twice = [attr(NON_TRANSITIVE, 4, &[0, 0, 0, 7]), attr(NON_TRANSITIVE, 4, &[0, 0, 0, 8])].concat();
        let update = decode_update(&update(&[], &[mandatory(), twice].concat(), &PREFIX), c).unwrap();
        assert_eq!((told(&update).as_str(), update.reachable[0].attributes.med), (DISCARDED, Some(7)));
        // Also one that would not pass itself, whatever is wrong with it.
        assert_eq!(with(c, &attr(WELL_KNOWN, 1, &[9])), DISCARDED);
        assert_eq!(with(c, &attr(TRANSITIVE, 1, &[0])), DISCARDED);
        assert_eq!(with(c, &[attr(TRANSITIVE, 99, &[1]), attr(TRANSITIVE, 99, &[2])].concat()), DISCARDED);
    });
}

#[test]
fn rfc7606_3g_repeated_mp_reach_or_mp_unreach_resets_the_session() {
    both(|c| {
        assert_eq!(with(c, &[reach6(), reach6()].concat()), "reset 3/1");
        assert_eq!(with(c, &[unreach6(), unreach6()].concat()), "reset 3/1");
        let other = attr(NON_TRANSITIVE, 15, &[0, 25, 70]); // of a family that nobody agreed on
        assert_eq!(with(c, &[other.clone(), other].concat()), "reset 3/1");
        assert_eq!(with(c, &[reach6(), unreach6()].concat()), "+2001:db8:1::/48 +10.1.2.0/24 -2001:db8:1::/48 ok");
    });
}

#[test]
fn rfc7606_3h_of_several_faults_the_worst_counts() {
    both(|c| {
        let discard = ones(WELL_KNOWN, 6, 1);
        let withdraw = ones(NON_TRANSITIVE, 4, 3);
        let reset = attr(NON_TRANSITIVE, 15, &[0, 2]);
        assert_eq!(with(c, &discard), DISCARDED);
        assert_eq!(with(c, &[discard.clone(), withdraw.clone()].concat()), WITHDRAWN);
        assert_eq!(with(c, &[withdraw.clone(), discard.clone()].concat()), WITHDRAWN);
        assert_eq!(with(c, &[discard, reset.clone(), withdraw].concat()), "reset 3/9");
    });
}

#[test]
fn rfc7606_4_attributes_that_run_past_their_total_length_withdraw_the_prefixes_behind() {
    both(|c| {
        for tail in [&[0xc0][..], &[0xc0, 8], &[0xd0, 8, 0], &[0xc0, 8, 4, 1], &[0xd0, 8, 0, 4, 1], &[0xc0, 99, 1]] {
            assert_eq!(with(c, tail), WITHDRAWN, "{tail:02x?}");
        }
        // The prefixes inside are found too.
        let both_kinds = update(&[], &[reach6(), mandatory(), vec![0xc0, 8, 4]].concat(), &PREFIX);
        assert_eq!(fate(&both_kinds, c), "-2001:db8:1::/48 -10.1.2.0/24 withdraw");
    });
}

#[test]
fn rfc7606_3j_an_mp_attribute_that_runs_past_the_total_length_resets_the_session() {
    both(|c| {
        assert_eq!(with(c, &[0x80, 14, 40, 0, 2, 1]), "reset 3/1");
        assert_eq!(with(c, &[0x80, 15, 4, 0, 2, 1]), "reset 3/1");
        assert_eq!(with(c, &[0x80, 15]), "reset 3/1");
    });
}

#[test]
fn rfc7606_5_2_a_fault_without_any_reachable_prefix_resets_the_session() {
    both(|c| {
        let bad = ones(NON_TRANSITIVE, 4, 3);
        let withdrawing = update(&PREFIX, &bad, &[]);
        assert_eq!(fate(&withdrawing, c), "reset 3/5");
        assert_eq!(fate(&update(&[], &[unreach6(), bad.clone()].concat(), &[]), c), "reset 3/5");
        assert_eq!(fate(&update(&[], &[mandatory(), bad.clone()].concat(), &[]), c), "reset 3/5");
        let empty_reach = attr(NON_TRANSITIVE, 14, &reach6()[3..reach6().len() - PREFIX6.len()]);
        assert_eq!(fate(&update(&[], &[empty_reach, bad].concat(), &[]), c), "reset 3/5");
        assert_eq!(fate(&update(&[], &[0xc0], &[]), c), "reset 3/1");
        assert_eq!(fate(&update(&[], &attr(0, 1, &[0]), &[]), c), "reset 3/4");
    });
}

#[test]
fn rfc7606_5_2_a_discarded_attribute_without_any_reachable_prefix_changes_nothing() {
    both(|c| {
        assert_eq!(fate(&update(&PREFIX, &ones(WELL_KNOWN, 6, 1), &[]), c), "-10.1.2.0/24 discard");
        assert_eq!(fate(&update(&[], &mandatory(), &[]), c), "ok");
        assert_eq!(fate(&update(&[], &[unreach6(), mandatory()].concat(), &[]), c), "-2001:db8:1::/48 ok");
    });
}

#[test]
fn rfc7606_5_2_mp_unreach_alone_with_wrong_flags_still_withdraws() {
    both(|c| {
        let unreach = attr(TRANSITIVE, 15, &unreach6()[3..]);
        assert_eq!(fate(&update(&[], &unreach, &[]), c), "-2001:db8:1::/48 withdraw");
    });
}

#[test]
fn rfc7606_5_3_a_prefix_that_cannot_be_parsed_resets_the_session() {
    both(|c| {
        for bad in [&[33, 10, 0, 0, 0, 0][..], &[24, 10, 1], &[255], &[24, 10, 1, 2, 8]] {
            assert_eq!(fate(&update(&[], &mandatory(), bad), c), "reset 3/10", "{bad:?}");
            assert_eq!(fate(&update(bad, &[], &[]), c), "reset 3/10", "{bad:?}");
        }
        for bad in [&[129][..], &[64, 0x20, 1], &[128; 16]] {
            let head = &reach6()[3..reach6().len() - PREFIX6.len()];
            let reach = attr(NON_TRANSITIVE, 14, &[head, bad].concat());
            let unreach = attr(NON_TRANSITIVE, 15, &[&[0, 2, 1], bad].concat());
            assert_eq!(fate(&update(&[], &[reach, origin(), path()].concat(), &[]), c), "reset 3/10", "{bad:?}");
            assert_eq!(fate(&update(&[], &unreach, &[]), c), "reset 3/10", "{bad:?}");
        }
    });
}

#[test]
fn rfc4271_6_3_lengths_beyond_the_message_reset_the_session() {
    both(|c| {
        for body in [&[0, 1, 0, 0][..], &[0, 0, 0, 1], &[0xff, 0xff, 0, 0], &[0, 0, 0xff, 0xff], &[0, 2, 8, 10, 0]] {
            assert_eq!(fate(&message(2, body), c), "reset 3/1", "{body:?}");
        }
    });
}

#[test]
fn rfc4760_6_a_family_that_was_not_agreed_on_is_ignored() {
    both(|c| {
        for (afi, safi) in [(25, 70), (16388, 71), (1, 2), (2, 128), (0, 0), (1, 133)] {
            let [high, low] = u16::to_be_bytes(afi);
            let reach = attr(NON_TRANSITIVE, 14, &[high, low, safi, 4, 10, 9, 0, 2, 0, 0xff, 1, 2, 3]);
            assert_eq!(with(c, &reach), KEPT, "{afi}/{safi}");
            let unreach = attr(NON_TRANSITIVE, 15, &[high, low, safi, 0xff, 1, 2, 3]);
            assert_eq!(with(c, &unreach), KEPT, "{afi}/{safi}");
            assert_eq!(fate(&update(&[], &unreach[..], &[]), c), "ok");
        }
        let v4_only = Context { families: FamilySet::of(Family::Ipv4), ..c.clone() };
        assert_eq!(with(&v4_only, &[reach6(), unreach6()].concat()), KEPT);
        let v6_only = Context { families: FamilySet::of(Family::Ipv6), ..c.clone() };
        let mixed = update(&PREFIX, &[reach6(), mandatory()].concat(), &PREFIX);
        assert_eq!(fate(&mixed, &v6_only), "+2001:db8:1::/48 ok");
        assert_eq!(fate(&update(&[], &[], &[]), &v6_only), "ok");
    });
}

#[test]
fn a_family_that_we_can_read_is_read_even_if_it_is_ignored() {
    both(|c| {
        let v4_only = Context { families: FamilySet::of(Family::Ipv4), ..c.clone() };
        assert_eq!(with(&v4_only, &attr(NON_TRANSITIVE, 14, &[0, 2, 1, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0])), "reset 3/9");
        assert_eq!(with(&v4_only, &attr(NON_TRANSITIVE, 15, &[0, 2, 1, 129, 1, 2])), "reset 3/10");
        assert_eq!(fate(&update(&[], &attr(NON_TRANSITIVE, 15, &[0, 2, 1]), &[]), &v4_only), "ok", "no end of RIB");
    });
}

#[test]
fn a_fault_beside_a_family_that_is_ignored_does_not_reset_the_session() {
    both(|c| {
        let reach = attr(NON_TRANSITIVE, 14, &[0, 25, 70, 4, 10, 9, 0, 2, 0, 1, 2, 3]);
        assert_eq!(fate(&update(&[], &[reach, ones(NON_TRANSITIVE, 4, 3)].concat(), &[]), c), "withdraw");
    });
}

#[test]
fn rfc7606_2_treat_as_withdraw_takes_the_prefixes_of_every_family_in_the_message() {
    both(|c| {
        let attributes = [reach6(), mandatory(), ones(TRANSITIVE, 8, 5)].concat();
        assert_eq!(fate(&update(&[], &attributes, &PREFIX), c), "-2001:db8:1::/48 -10.1.2.0/24 withdraw");
        let only6 = [reach6(), origin(), path(), ones(TRANSITIVE, 8, 5)].concat();
        assert_eq!(fate(&update(&[8, 11], &only6, &[]), c), "-11.0.0.0/8 -2001:db8:1::/48 withdraw");
    });
}

#[test]
fn rfc4724_2_end_of_rib_is_an_empty_update_or_an_empty_mp_unreach_alone() {
    both(|c| {
        assert_eq!(fate(&update(&[], &[], &[]), c), "end of ipv4 ok");
        let v6 = attr(NON_TRANSITIVE, 15, &[0, 2, 1]);
        assert_eq!(fate(&update(&[], &v6, &[]), c), "end of ipv6 ok");
        assert_eq!(fate(&update(&[], &attr(NON_TRANSITIVE, 15, &[0, 1, 1]), &[]), c), "end of ipv4 ok");
        assert_eq!(fate(&update(&PREFIX, &v6, &[]), c), "-10.1.2.0/24 ok");
        assert_eq!(fate(&update(&[], &[v6, mandatory()].concat(), &[]), c), "ok");
        assert_eq!(fate(&update(&[], &unreach6(), &[]), c), "-2001:db8:1::/48 ok");
    });
}

#[test]
fn rfc7911_3_prefixes_carry_path_identifiers_where_agreed_on() {
    both(|c| {
        let c = Context { add_path: FamilySet::of(Family::Ipv4), ..c.clone() };
        let nlri = [&[0, 0, 0, 7][..], &PREFIX, &[0, 0, 0, 8], &PREFIX].concat();
        assert_eq!(
            fate(&update(&nlri, &mandatory(), &nlri), &c),
            "+10.1.2.0/24 (path 7) +10.1.2.0/24 (path 8) -10.1.2.0/24 (path 7) -10.1.2.0/24 (path 8) ok"
        );
        assert_eq!(fate(&update(&[], &mandatory(), &PREFIX), &c), "reset 3/10");
        assert_eq!(fate(&update(&[], &[reach6(), origin(), path()].concat(), &[]), &c), "+2001:db8:1::/48 ok");
    });
}

#[test]
fn rfc4271_4_3_bits_behind_a_prefix_do_not_count() {
    assert_eq!(fate(&update(&[], &mandatory(), &[20, 10, 1, 0xff]), &external()), "+10.1.240.0/20 ok");
    assert_eq!(fate(&update(&[], &mandatory(), &[0]), &external()), "+0.0.0.0/0 ok");
}
