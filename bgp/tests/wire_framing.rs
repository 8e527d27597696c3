//! Headers, OPEN, ROUTE-REFRESH and NOTIFICATION: what is taken, what is refused, and in which words.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use bgp::wire::capability::{AddPath, AfiSafi, Capabilities, GracefulFamily, GracefulRestart, LongLivedFamily, Role};
use bgp::wire::notification::cease;
use bgp::wire::{
    Capability, FamilySet, Framer, MAX_EXTENDED_MESSAGE, Message, MessageType, Notification, Open, RefreshKind,
    RouteRefresh, message,
};
use bytes::Bytes;
use model::{Family, RouterId};
use wire_support::*;

fn first(framer: &mut Framer) -> Result<Option<MessageType>, (u8, u8, Vec<u8>)> {
    match framer.next_frame() {
        Ok(frame) => Ok(frame.map(|f| f.kind)),
        Err(n) => Err((n.code, n.subcode, n.data.to_vec())),
    }
}

fn refused(octets: &[u8]) -> (u8, u8, Vec<u8>) {
    let mut framer = Framer::new();
    framer.push(octets);
    first(&mut framer).expect_err("the header is wrong")
}

#[test]
fn rfc4271_6_1_a_marker_other_than_all_ones_is_refused() {
    for place in 0..16 {
        let mut octets = message(4, &[]);
        octets[place] = 0xfe;
        assert_eq!(refused(&octets), (1, 1, vec![]));
    }
}

#[test]
fn rfc4271_6_1_a_length_that_the_type_cannot_have_is_refused_with_that_length() {
    for (kind, bad) in [
        (1, vec![0, 18, 19, 28, 4097]),
        (2, vec![0, 18, 19, 22, 4097, 65535]),
        (3, vec![19, 20, 4097]),
        (4, vec![18, 20, 4096]),
        (5, vec![18, 4097]),
    ] {
        for length in bad {
            let mut octets = message(kind, &[]);
            octets[16..18].copy_from_slice(&u16::to_be_bytes(length));
            assert_eq!(refused(&octets), (1, 2, u16::to_be_bytes(length).to_vec()), "type {kind}");
        }
    }
}

#[test]
fn rfc4271_6_1_an_unknown_type_is_refused_with_that_type() {
    for kind in [0, 6, 9, 255] {
        assert_eq!(refused(&message(kind, &[])), (1, 3, vec![kind]));
    }
}

#[test]
fn a_wrong_header_is_refused_before_its_body_comes() {
    assert_eq!(refused(&message(9, &[0; 100])[..19]), (1, 3, vec![9]));
    assert_eq!(refused(&[0; 16]), (1, 1, vec![]));
}

#[test]
fn rfc8654_4_extended_messages_lift_the_bound_for_all_but_open_and_keepalive() {
    let long = |kind| {
        let mut octets = message(kind, &[]);
        octets[16..18].copy_from_slice(&[0xff, 0xff]);
        let mut framer = Framer::new();
        framer.extend_messages();
        framer.push(&octets);
        first(&mut framer)
    };
    for kind in [2, 3, 5] {
        assert_eq!(long(kind), Ok(None), "waits for the rest");
    }
    for kind in [1, 4] {
        assert_eq!(long(kind), Err((1, 2, vec![0xff, 0xff])));
    }
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(&update(&[], &mandatory(), &[PREFIX; 10000].concat()));
    let frame = framer.next_frame().unwrap().unwrap();
    assert!(frame.message_length() > 40000 && frame.message_length() < MAX_EXTENDED_MESSAGE);
}

#[test]
fn messages_come_out_whole_however_the_stream_is_cut() {
    let stream = [message(4, &[]), update(&[], &mandatory(), &PREFIX), message(5, &[0, 1, 0, 1]), message(4, &[])];
    let stream = stream.concat();
    for size in [1, 2, 3, 7, 18, 19, 20, 64, stream.len()] {
        let mut framer = Framer::new();
        let mut kinds = Vec::new();
        for part in stream.chunks(size) {
            framer.push(part);
            while let Some(kind) = first(&mut framer).unwrap() {
                kinds.push(kind);
            }
        }
        use MessageType::{Keepalive, RouteRefresh, Update};
        assert_eq!(kinds, [Keepalive, Update, RouteRefresh, Keepalive], "pieces of {size}");
        assert_eq!(framer.pending(), 0);
    }
}

/// An OPEN with these optional parameters, length octet included.
fn open_with(parameters: &[u8]) -> Vec<u8> {
    message(1, &[&[4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 1][..], parameters].concat())
}
fn opened(octets: &[u8]) -> Result<Open, (u8, u8, Vec<u8>)> {
    match decode(octets, &external()) {
        Ok(Message::Open(open)) => Ok(open),
        Ok(other) => panic!("not an OPEN: {other}"),
        Err(n) => Err((n.code, n.subcode, n.data.to_vec())),
    }
}
fn with_capability(code: u8, value: &[u8]) -> Result<Vec<Capability>, (u8, u8, Vec<u8>)> {
    let length = value.len() as u8;
    opened(&open_with(&[&[length + 4, 2, length + 2, code, length], value].concat())).map(|o| o.capabilities)
}

#[test]
fn rfc4271_6_2_what_is_wrong_with_an_open_has_a_subcode() {
    let body = |version, asn: u16, hold: u16, id: u32| {
        let mut body = vec![version];
        body.extend_from_slice(&asn.to_be_bytes());
        body.extend_from_slice(&hold.to_be_bytes());
        body.extend_from_slice(&id.to_be_bytes());
        body.push(0);
        opened(&message(1, &body))
    };
    assert!(body(4, 65001, 90, 1).is_ok());
    assert!(body(4, 65001, 0, 1).is_ok());
    assert!(body(4, 65001, 3, 1).is_ok());
    assert_eq!(body(3, 65001, 90, 1), Err((2, 1, vec![0, 4])));
    assert_eq!(body(5, 65001, 90, 1), Err((2, 1, vec![0, 4])));
    assert_eq!(body(4, 0, 90, 1), Err((2, 2, vec![0, 0])), "RFC 7607");
    assert_eq!(body(4, 65001, 90, 0), Err((2, 3, vec![0; 4])), "RFC 6286");
    assert_eq!(body(4, 65001, 1, 1), Err((2, 6, vec![0, 1])));
    assert_eq!(body(4, 65001, 2, 1), Err((2, 6, vec![0, 2])));
}

#[test]
fn rfc4271_6_2_an_unknown_optional_parameter_is_refused() {
    assert_eq!(opened(&open_with(&[2, 1, 0])), Err((2, 4, vec![])));
    assert_eq!(opened(&open_with(&[4, 77, 2, 0, 0])), Err((2, 4, vec![])));
}

#[test]
fn optional_parameters_that_do_not_fit_their_lengths_are_refused() {
    for bad in [
        &[1][..],
        &[5, 2, 0],
        &[1, 2],
        &[2, 2, 1],
        &[2, 2, 0, 0],
        &[3, 2, 1, 1],
        &[4, 2, 2, 1, 1],
        &[4, 2, 1, 2, 0],
        &[255, 255],
        &[255, 255, 0],
        &[255, 255, 0, 5, 2, 0, 2, 2],
        &[255, 255, 0, 3, 2, 0, 1],
        &[255, 2, 0],
    ] {
        assert_eq!(opened(&open_with(bad)), Err((2, 0, vec![])), "{bad:?}");
    }
}

#[test]
fn rfc5492_4_a_capability_ends_where_its_length_says() {
    for (code, bad) in [
        (1, &[0, 1, 0][..]),
        (1, &[0, 1, 0, 1, 0]),
        (2, &[0]),
        (5, &[0, 1, 0, 1, 0]),
        (6, &[0]),
        (9, &[]),
        (9, &[0, 0]),
        (64, &[]),
        (64, &[0]),
        (64, &[0, 0, 0, 1, 1]),
        (65, &[]),
        (65, &[0, 0, 1]),
        (65, &[0, 0, 0, 1, 0]),
        (69, &[0, 1, 1]),
        (70, &[1]),
        (71, &[0, 1, 1, 0, 0, 0]),
        (73, &[]),
        (73, &[5, b'a']),
        (73, &[1, b'a', 2, b'b']),
        (75, &[]),
        (75, &[10, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(with_capability(code, bad), Err((2, 0, vec![])), "{code} {bad:?}");
    }
    assert_eq!(with_capability(99, &[1, 2]), Ok(vec![Capability::Unknown(99, Bytes::from_static(&[1, 2]))]));
}

#[test]
fn rfc6793_4_1_the_as_number_of_the_capability_counts() {
    let open = opened(&open_with(&[8, 2, 6, 65, 4, 0xfa, 0x56, 0xea, 0x00])).unwrap();
    assert_eq!(open.asn, asn(0xfa56_ea00));
    assert!(open.has_four_octet_as());
    assert_eq!(opened(&open_with(&[0])).unwrap().asn, asn(65001));
    assert_eq!(opened(&open_with(&[8, 2, 6, 65, 4, 0, 0, 0, 0])).unwrap_err().1, 2, "RFC 7607");
    let mut octets = open_with(&[8, 2, 6, 65, 4, 0, 0, 0xfd, 0xe9]);
    octets[20..22].fill(0);
    assert_eq!(opened(&octets), Err((2, 2, vec![0, 0])), "also where the capability has another");
}

fn everything() -> Open {
    Open {
        asn: asn(4_200_000_001),
        hold_seconds: 90,
        router_id: RouterId::new(0x0a00_0001).unwrap(),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4.into()),
            Capability::Multiprotocol(Family::Ipv6.into()),
            Capability::Multiprotocol(AfiSafi { afi: 25, safi: 70 }),
            Capability::RouteRefresh,
            Capability::ExtendedNextHop(vec![(Family::Ipv4.into(), 2)]),
            Capability::ExtendedMessage,
            Capability::Role(Role::Customer),
            Capability::GracefulRestart(GracefulRestart {
                restarting: true,
                notification: true,
                restart_seconds: 120,
                families: vec![GracefulFamily { family: Family::Ipv4.into(), forwarding_kept: true }],
            }),
            Capability::FourOctetAs(Some(asn(4_200_000_001))),
            Capability::AddPath(vec![AddPath { family: Family::Ipv4.into(), receive: true, send: false }]),
            Capability::EnhancedRouteRefresh,
            Capability::LongLivedGracefulRestart(vec![LongLivedFamily {
                family: Family::Ipv6.into(),
                forwarding_kept: false,
                stale_seconds: 86400,
            }]),
            Capability::Fqdn { host: "node-1".into(), domain: "example.org".into() },
            Capability::SoftwareVersion("margay/0.1.0".into()),
            Capability::Unknown(130, Bytes::from_static(&[1, 2, 3])),
        ],
    }
}

#[test]
fn every_capability_comes_back_as_it_went() {
    let mut octets = Vec::new();
    everything().encode(&mut octets);
    let open = opened(&octets).unwrap();
    assert_eq!(open, everything());
    let all = &open.capabilities;
    assert_eq!(all.families(), FamilySet::ALL);
    assert_eq!(all.extended_next_hop(), FamilySet::of(Family::Ipv4));
    assert_eq!(all.add_path_receive(), FamilySet::of(Family::Ipv4));
    assert_eq!(all.add_path_send(), FamilySet::NONE);
    assert_eq!(all.role(), Some(Role::Customer));
    assert_eq!(all.graceful_restart().map(|gr| gr.restart_seconds), Some(120));
    assert_eq!(all.long_lived().map(|families| families[0].stale_seconds), Some(86400));
    assert!(all.announces(&Capability::EnhancedRouteRefresh));
}

#[test]
fn rfc4760_8_without_any_family_announced_it_is_ipv4() {
    assert_eq!(Vec::<Capability>::new().families(), FamilySet::of(Family::Ipv4));
    assert_eq!(vec![Capability::Multiprotocol(Family::Ipv6.into())].families(), FamilySet::of(Family::Ipv6));
    assert_eq!(vec![Capability::Multiprotocol(AfiSafi { afi: 25, safi: 70 })].families(), FamilySet::NONE);
}

#[test]
fn rfc9072_2_many_capabilities_take_the_extended_form() {
    for count in [0, 1, 49, 50, 51, 52, 200] {
        let raw = |i| Capability::Unknown(200, Bytes::copy_from_slice(&[i as u8, 0, 0]));
        let open = Open { capabilities: (0..count).map(raw).collect(), ..everything() };
        let mut octets = Vec::new();
        open.encode(&mut octets);
        assert_eq!(
            octets.len(),
            29 + if count == 0 {
                0
            } else if count < 51 {
                2 + count * 5
            } else {
                6 + count * 5
            }
        );
        let back = opened(&octets).unwrap();
        assert_eq!(back.capabilities, open.capabilities, "{count}");
    }
    // The marker is the type 255; the length before it may be anything but 0.
    let odd = opened(&open_with(&[7, 255, 0, 5, 2, 0, 2, 2, 0])).unwrap();
    assert_eq!(odd.capabilities, [Capability::RouteRefresh]);
}

#[test]
fn rfc7313_5_a_route_refresh_of_another_length_is_refused_with_the_whole_message() {
    for body in [&[][..], &[0, 1, 0], &[0, 1, 0, 1, 0], &[0, 1, 1, 1, 0], &[0, 1, 0, 1, 1, 128, 0, 0]] {
        let octets = message(5, body);
        let n = decode(&octets, &external()).unwrap_err();
        assert_eq!((n.code, n.subcode, n.data.to_vec()), (7, 1, octets));
    }
}

#[test]
fn rfc2918_4_a_route_refresh_for_a_family_that_is_not_carried_names_none() {
    for (body, family, kind) in [
        ([0, 1, 0, 1], Some(Family::Ipv4), RefreshKind::Request),
        ([0, 2, 1, 1], Some(Family::Ipv6), RefreshKind::Begin),
        ([0, 2, 2, 1], Some(Family::Ipv6), RefreshKind::End),
        ([0, 2, 9, 1], Some(Family::Ipv6), RefreshKind::Unknown(9)),
        ([0, 99, 0, 99], None, RefreshKind::Request),
        ([0, 1, 0, 128], None, RefreshKind::Request),
    ] {
        let octets = message(5, &body);
        let Ok(Message::RouteRefresh(refresh)) = decode(&octets, &external()) else { panic!("{body:?}") };
        assert_eq!(refresh, RouteRefresh { family, kind });
        let mut again = Vec::new();
        refresh.encode(&mut again);
        assert_eq!(again, if family.is_some() { octets } else { vec![] });
    }
}

#[test]
fn a_keepalive_is_a_header_and_nothing_else() {
    let mut octets = Vec::new();
    message::encode_keepalive(&mut octets);
    assert_eq!(octets, message(4, &[]));
}

fn notified(body: &[u8]) -> Notification {
    match decode(&message(3, body), &external()) {
        Ok(Message::Notification(n)) => n,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rfc9003_2_a_shutdown_message_reaches_the_operator_without_control_characters() {
    let n = Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, "maintenance until 04:00");
    let mut octets = Vec::new();
    n.encode(&mut octets);
    let n = notified(&octets[19..]);
    assert_eq!(n.to_string(), "cease: administrative shutdown (6/2): \"maintenance until 04:00\"");
    let evil = notified(&[&[6, 4, 8][..], b"\x1b[2Ja\xff\nb"].concat());
    assert_eq!(evil.shutdown_message().as_deref(), Some("?[2Ja\u{fffd}?b"));
    assert_eq!(notified(&[6, 2, 0]).shutdown_message(), None);
    assert_eq!(notified(&[6, 2]).shutdown_message(), None);
    assert_eq!(notified(&[6, 2, 200, b'a']).shutdown_message(), None);
    assert_eq!(notified(&[6, 3, 1, b'a']).shutdown_message(), None);
}

#[test]
fn rfc9003_2_a_long_shutdown_message_is_cut_between_characters() {
    let n = Notification::shutdown(cease::ADMINISTRATIVE_RESET, &"ö".repeat(200));
    assert_eq!((n.data[0], n.data.len()), (254, 255));
    assert_eq!(n.shutdown_message(), Some("ö".repeat(127)));
}

#[test]
fn rfc8538_3_a_hard_reset_carries_its_reason() {
    let n = Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, "bye").hard_reset();
    assert!(n.is_hard_reset());
    assert_eq!(n.to_string(), "cease: hard reset (6/9) because cease: administrative shutdown (6/2): \"bye\"");
    let bottomless = (0..500).fold(Notification::new(cease::HARD_RESET), |n, _| n.hard_reset());
    assert_eq!(bottomless.to_string(), "cease: hard reset (6/9)");
    assert_eq!(notified(&[6, 9, 6]).hard_reset_reason(), None);
}

#[test]
fn a_notification_says_in_words_what_went_wrong() {
    assert_eq!(notified(&[2, 2, 0xfd, 0xe9]).to_string(), "OPEN: bad peer AS (2/2), data fde9");
    assert_eq!(notified(&[4, 0]).to_string(), "hold timer expired (4/0)");
    assert_eq!(notified(&[99, 9]).to_string(), "unknown error (99/9)");
    assert!(notified(&[&[3, 1][..], &[0xab; 100]].concat()).to_string().ends_with("abab… (100 octets)"));
}

#[test]
fn a_notification_never_outgrows_a_message() {
    let mut octets = Vec::new();
    Notification::with_data((3, 1), &[7; 70000]).encode(&mut octets);
    assert_eq!(octets.len(), 4096);
    assert_eq!(notified(&octets[19..]).data.len(), 4075);
}
