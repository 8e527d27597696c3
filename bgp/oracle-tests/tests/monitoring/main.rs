//! A second opinion on what stations and files get: bgpkit-parser reads our BMP and our MRT, and sees what we meant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that meets one has failed

#[path = "../../../tests/bmp_support/mod.rs"]
mod bmp_support;
#[path = "../../../tests/peer_support/mod.rs"]
mod peer_support;
#[path = "../../../tests/sim_support/mod.rs"]
mod sim_support;

use std::collections::BTreeSet;

use bgp::bmp::{Message, Table, length};
use bgp::speaker::StationOutput;
use bgp::wire::{Context, Framer, PeerKind, Update};
use bgpkit_parser::models::{AttributeValue, BgpMessage, MrtMessage, TableDumpV2Message};
use bgpkit_parser::parser::bmp::messages::{BmpMessageBody, PeerDownReason};
use bgpkit_parser::parser::bmp::parse_bmp_msg;
use bgpkit_parser::parser::mrt::mrt_record::parse_mrt_record;
use bmp_support::{Dice, Watched};
use model::api::show::{BgpRoutes, BgpTable};
use peer_support::attributes;

/// What is announced and withdrawn in an UPDATE.
type Told = (BTreeSet<String>, BTreeSet<String>);

fn ours(update: &[u8]) -> Told {
    let mut framer = Framer::new();
    framer.extend_messages();
    framer.push(update);
    let body = framer.next_frame().unwrap().unwrap().body;
    let update = Update::decode(&body, &Context::new(PeerKind::Internal, sim_support::asn(64512))).unwrap();
    let reachable = update.reachable.iter().flat_map(|r| r.nlri.iter()).map(|nlri| nlri.prefix.to_string()).collect();
    let withdrawn = update.withdrawn.iter().flat_map(|b| b.iter()).map(|nlri| nlri.prefix.to_string()).collect();
    (reachable, withdrawn)
}

fn theirs(message: BgpMessage) -> Told {
    let BgpMessage::Update(update) = message else { panic!("not an UPDATE") };
    let names = |prefixes: &[bgpkit_parser::models::NetworkPrefix]| {
        prefixes.iter().map(|prefix| prefix.prefix.to_string()).collect::<Vec<_>>()
    };
    let mut told: Told = Default::default();
    told.0.extend(names(&update.announced_prefixes));
    told.1.extend(names(&update.withdrawn_prefixes));
    for attribute in update.attributes {
        match attribute {
            AttributeValue::MpReachNlri(nlri) => told.0.extend(names(&nlri.prefixes)),
            AttributeValue::MpUnreachNlri(nlri) => told.1.extend(names(&nlri.prefixes)),
            _ => {}
        }
    }
    told
}

/// The two agree on a message.
fn compare(message: &[u8]) {
    let ours_is = Message::decode(message).unwrap();
    let mut octets = message.to_vec().into();
    let read = parse_bmp_msg(&mut octets).unwrap_or_else(|error| panic!("{error}: {ours_is:?}"));
    match (ours_is, read.message_body) {
        (Message::RouteMonitoring { peer, update }, BmpMessageBody::RouteMonitoring(theirs_is)) => {
            assert_eq!(theirs(theirs_is.bgp_message), ours(&update));
            let header = read.per_peer_header.unwrap();
            assert_eq!((header.peer_ip, header.peer_asn.to_u32()), (peer.address, peer.asn));
            assert!((header.timestamp - peer.time.as_secs_f64()).abs() < 1e-3);
        }
        (Message::PeerUp(up), BmpMessageBody::PeerUpNotification(read)) => {
            assert_eq!((read.local_port, read.remote_port), (up.local_port, up.remote_port));
            assert_eq!(read.tlvs.len(), up.information.len());
            let BgpMessage::Open(open) = read.sent_open else { panic!("not an OPEN") };
            assert_eq!(open.asn.to_u32(), 64512);
        }
        (Message::PeerDown { .. }, BmpMessageBody::PeerDownNotification(read)) => {
            let known = [
                PeerDownReason::LocalSystemClosedNotificationPduFollows,
                PeerDownReason::LocalSystemClosedFsmEvenFollows,
                PeerDownReason::RemoteSystemClosedNotificationPduFollows,
                PeerDownReason::RemoteSystemsClosedNoData,
            ];
            assert!(known.contains(&read.reason), "{read:?}");
        }
        (Message::Statistics { statistics, .. }, BmpMessageBody::StatsReport(read)) => {
            assert_eq!(read.counters.len(), statistics.len());
        }
        (Message::Initiation(about), BmpMessageBody::InitiationMessage(read)) => {
            assert_eq!(read.tlvs.len(), about.len());
        }
        (Message::Termination(_), BmpMessageBody::TerminationMessage(_)) => {}
        (ours, theirs) => panic!("{ours:?} against {theirs:?}"),
    }
}

#[test]
fn bgpkit_sees_in_our_bmp_what_we_meant() {
    let mut asked = 0;
    for seed in 1..40 {
        let mut watched = Watched::new([Table::AdjInPre, Table::AdjInPost, Table::AdjOut, Table::Loc]);
        let mut dice = Dice(seed * 0x9e37_79b9);
        for _ in 0..60 {
            for output in &watched.peer.monitored {
                let StationOutput::Send(octets) = output else { continue };
                let mut rest = &octets[..];
                while !rest.is_empty() {
                    let (message, tail) = rest.split_at(length(rest).unwrap().unwrap());
                    compare(message);
                    (rest, asked) = (tail, asked + 1);
                }
            }
            watched.drain();
            watched.happen(&mut dice);
        }
    }
    assert!(asked > 2000, "only {asked} messages");
}

#[test]
fn bgpkit_sees_in_our_mrt_file_the_table_that_we_have() {
    let mut watched = Watched::new([]);
    watched.peer.establish(vec![]);
    for n in 0..3000_u32 {
        let prefix = model::Prefix::new(std::net::Ipv4Addr::from_bits(0x0b00_0000 + (n << 8)).into(), 24).unwrap();
        watched.announce(&attributes(&[65001, 1 + n % 7]), &[prefix]);
    }
    let (mut file, mut after) = (Vec::new(), None);
    loop {
        let piece = watched.peer.speaker.dump(after.as_ref(), 1_700_000_000).unwrap();
        file.extend(piece.octets);
        after = piece.next;
        if after.is_none() {
            break;
        }
    }
    let mut input = &file[..];
    let (mut peers, mut lines, mut sequence) = (None, BTreeSet::new(), 0);
    while !input.is_empty() {
        let record = parse_mrt_record(&mut input).unwrap_or_else(|error| panic!("{}", error.error));
        match record.message {
            MrtMessage::TableDumpV2Message(TableDumpV2Message::PeerIndexTable(table)) => peers = Some(table),
            MrtMessage::TableDumpV2Message(TableDumpV2Message::RibAfi(rib)) => {
                assert_eq!(rib.sequence_number, sequence);
                sequence += 1;
                for entry in rib.rib_entries {
                    let peer = &peers.as_ref().expect("peers first").id_peer_map[&entry.peer_index];
                    let path = entry.attributes.as_path().map(ToString::to_string).unwrap_or_default();
                    assert!(entry.attributes.next_hop().is_some());
                    lines.insert(format!("{} {} {path}", rib.prefix.prefix, peer.peer_ip));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let mut question = BgpRoutes { table: BgpTable::Accepted, peer: None, within: None, after: None };
    let mut truth = BTreeSet::new();
    loop {
        let page = watched.peer.speaker.routes(&question);
        truth.extend(page.routes.iter().map(|row| {
            let peer = row.peer.map_or("0.0.0.0".into(), |peer| peer.to_string());
            format!("{} {peer} {}", row.prefix, bmp_support::path(row))
        }));
        question.after = page.next;
        if question.after.is_none() {
            break;
        }
    }
    assert_eq!(truth.len(), 3001);
    assert_eq!(lines, truth);
}
