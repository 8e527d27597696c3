//! The octets of messages, as RFC 7854 draws them; and what is refused.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;

use super::*;

fn header() -> PeerHeader {
    PeerHeader {
        kind: Kind::Global,
        flags: Flags::POST_POLICY,
        distinguisher: 0,
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
        asn: 65001,
        bgp_id: 0x0a00_0002,
        time: Duration::new(0x6553_f100, 5_000),
    }
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut octets = Vec::new();
    message.encode(&mut octets);
    octets
}

fn bgp(kind: u8, body: &[u8]) -> Bytes {
    let length = u16::try_from(19 + body.len()).unwrap_or_default();
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat().into()
}

fn samples() -> Vec<Message> {
    let text = |kind, text| Information::text(kind, text);
    let header6 = PeerHeader { address: "2001:db8::2".parse().unwrap_or(header().address), ..header() };
    let loc = PeerHeader { kind: Kind::LocRib, address: Ipv4Addr::UNSPECIFIED.into(), ..header() };
    let up = |peer: PeerHeader| PeerUp {
        local_address: if peer.address.is_ipv6() { peer.address } else { Ipv4Addr::new(10, 0, 0, 1).into() },
        peer,
        local_port: 179,
        remote_port: 4000,
        sent: bgp(1, &[4, 0xfc, 0, 0, 90, 10, 0, 0, 1, 0]),
        received: bgp(1, &[4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 2, 0]),
        information: vec![text(information::TABLE_NAME, "global")],
    };
    let down = |reason| Message::PeerDown { peer: header(), reason };
    vec![
        Message::Initiation(vec![text(information::SYS_DESCR, "margay"), text(information::SYS_NAME, "node-0")]),
        Message::PeerUp(Box::new(up(header()))),
        Message::PeerUp(Box::new(up(header6))),
        Message::RouteMonitoring { peer: loc, update: bgp(2, &[0, 0, 0, 0]) },
        Message::Statistics {
            peer: header(),
            statistics: vec![
                Statistic::AdjIn(5),
                Statistic::Loc(6),
                Statistic::AdjInOf(1, 1, 7),
                Statistic::TreatedAsWithdrawn(8),
                Statistic::AdjOutPost(9),
                Statistic::Other(13, Bytes::from_static(&[0, 0, 0, 1])),
            ],
        },
        down(DownReason::LocalNotification(bgp(3, &[6, 2]))),
        down(DownReason::LocalEvent(18)),
        down(DownReason::RemoteNotification(bgp(3, &[4, 0]))),
        down(DownReason::RemoteClosed),
        down(DownReason::Deconfigured),
        down(DownReason::LocalClosed(vec![text(information::TABLE_NAME, "global")])),
        Message::Termination(vec![Information { kind: termination::REASON, value: Bytes::from_static(&[0, 2]) }]),
    ]
}

#[test]
fn every_message_comes_back_as_it_was() {
    for message in samples() {
        let octets = encoded(&message);
        assert_eq!(length(&octets), Ok(Some(octets.len())));
        assert_eq!(Message::decode(&octets), Ok(message));
    }
}

#[test]
fn rfc7854_4_2_the_per_peer_header_is_laid_out_as_drawn() {
    let octets = encoded(&Message::RouteMonitoring { peer: header(), update: bgp(2, &[0, 0, 0, 0]) });
    let drawn =
        "03 00000047 00 00 40 0000000000000000 0000000000000000000000000a000002 0000fde9 0a000002 6553f100 00000005";
    let drawn: Vec<char> = drawn.chars().filter(|c| *c != ' ').collect();
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(hex.chars().take(drawn.len()).collect::<Vec<_>>(), drawn);
}

#[test]
fn a_message_is_cut_only_where_its_length_says_and_one_that_is_too_long_is_refused_at_once() {
    let octets = encoded(&samples().remove(0));
    for end in 0..5 {
        assert_eq!(length(octets.get(..end).unwrap_or_default()), Ok(None));
    }
    assert_eq!(length(&[2, 0, 0]), Err(DecodeError::Version(2)));
    assert_eq!(length(&[3, 0, 0, 0, 5]), Err(DecodeError::Length(5)));
    assert_eq!(length(&[3, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Length(u32::MAX)));
}

#[test]
fn parts_that_do_not_fit_the_whole_are_refused() {
    for message in samples() {
        let mut octets = encoded(&message);
        for end in 6..octets.len() {
            let mut part: Vec<u8> = octets.iter().take(end).copied().collect();
            let length = u32::try_from(end).unwrap_or_default().to_be_bytes();
            part.splice(1..5, length);
            // Never a panic; what is shorter is another message or none.
            assert_ne!(Message::decode(&part), Ok(message.clone()));
        }
        octets.push(0);
        let length = u32::try_from(octets.len()).unwrap_or_default().to_be_bytes();
        octets.splice(1..5, length);
        assert!(Message::decode(&octets).is_err(), "{message:?}");
    }
}
