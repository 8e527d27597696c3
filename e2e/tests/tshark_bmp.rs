//! Wireshark reads what BMP stations get, as one more opinion: nothing is malformed, and the BGP inside is BGP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that meets one has failed

#[path = "../../bgp/tests/bmp_support/mod.rs"]
mod bmp_support;
#[path = "../../bgp/tests/peer_support/mod.rs"]
mod peer_support;
#[path = "../../bgp/tests/sim_support/mod.rs"]
mod sim_support;

use std::process::Command;

use bgp::Input;
use bgp::bmp::{Message, Table, length};
use bgp::speaker::StationOutput;
use bgp::wire::notification::cease;
use bgp::wire::{MessageType, Notification};
use bmp_support::Watched;
use e2e::tshark::Written;
use peer_support::attributes;
use sim_support::seconds;

/// All that a station gets in a life full of events.
fn stream() -> Vec<u8> {
    let mut watched = Watched::new([Table::AdjInPre, Table::AdjInPost, Table::AdjOut, Table::Loc]);
    let mut all = Vec::new();
    let mut take = |watched: &mut Watched| {
        for output in &watched.peer.monitored {
            if let StationOutput::Send(octets) = output {
                all.extend_from_slice(octets);
            }
        }
        watched.drain();
    };
    watched.peer.establish(vec![]);
    watched.peer.announce(&attributes(&[65001, 7]), &[1, 2, 3]);
    watched.connect();
    take(&mut watched);
    watched.peer.end_of_rib();
    watched.originate(&[7, 8]);
    watched.withdraw(&[2]);
    watched.peer.pass(seconds(70));
    take(&mut watched);
    watched.peer.notify(&Notification::new(cease::ADMINISTRATIVE_RESET));
    watched.peer.pass(seconds(60));
    watched.peer.establish(vec![]);
    watched.peer.lose();
    watched.peer.pass(seconds(60));
    watched.peer.establish(vec![]);
    watched.peer.send(&[0; 19]);
    take(&mut watched);
    let mut config = watched.peer.speaker.config().clone();
    config.monitoring.stations.clear();
    watched.peer.input(Input::Configure(Box::new(config)));
    take(&mut watched);
    all
}

#[test]
fn tshark_finds_nothing_malformed_in_what_a_station_gets() -> anyhow::Result<()> {
    let stream = stream();
    let (mut kinds, mut packets) = (Vec::new(), Vec::new());
    let mut updates = 0;
    let mut rest = &stream[..];
    while !rest.is_empty() {
        let (message, tail) = rest.split_at(length(rest).unwrap().unwrap());
        kinds.push(message[5].to_string());
        packets.push((true, message.to_vec()));
        if let Message::RouteMonitoring { update, .. } = Message::decode(message).unwrap() {
            assert_eq!(update[18], MessageType::Update.value());
            updates += 1;
        }
        rest = tail;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bmp.pcap");
    let mut written = Written::default();
    // The port of BGP in the capture is where the station listens here.
    written.session(&packets);
    written.save(&file)?;
    let tshark = |more: &[&str]| {
        let output = Command::new("tshark").arg("-r").arg(&file).args(["-d", "tcp.port==179,bmp"]).args(more).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run tshark (make test installs it): {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let read = tshark(&["-Y", "bmp", "-T", "fields", "-e", "bmp.type"]);
    let read: Vec<&str> = read.lines().flat_map(|line| line.split(',')).collect();
    assert_eq!(read, kinds);
    for kind in ["0", "1", "2", "3", "4", "5"] {
        assert!(kinds.iter().any(|one| one == kind), "no message of type {kind}");
    }
    let inside = tshark(&["-Y", "bmp", "-T", "fields", "-e", "bgp.type"]);
    let inside: Vec<&str> = inside.lines().flat_map(|line| line.split(',')).collect();
    assert_eq!(inside.iter().filter(|kind| **kind == "2").count(), updates);
    // It takes what follows the two OPENs of a Peer Up for BGP: there the name of the Loc-RIB stands (RFC 9069 §4.4).
    let named = |(_, message): &(bool, Vec<u8>)| matches!(Message::decode(message), Ok(Message::PeerUp(up)) if !up.information.is_empty());
    let named: Vec<String> =
        (1..).zip(&packets).filter(|(_, packet)| named(packet)).map(|(n, _)| n.to_string()).collect();
    assert_eq!(named.len(), 1);
    let complaints = tshark(&["-Y", "_ws.malformed", "-T", "fields", "-e", "frame.number"]);
    assert_eq!(complaints.lines().collect::<Vec<_>>(), named);
    Ok(())
}
