//! What a BMP station hears of a speaker (RFC 7854): that its picture of sessions and tables is the speaker's, whenever it comes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bmp_support;
mod peer_support;
mod sim_support;

use std::net::Ipv4Addr;

use bgp::Input;
use bgp::bmp::{DownReason, Message, Statistic, Table, information};
use bgp::speaker::{StationEnd, StationInput, StationOutput, StationState};
use bgp::wire::notification::cease;
use bgp::wire::{Framer, Notification, Open};
use bmp_support::{STATION, Watched};
use model::{Family, Prefix};
use peer_support::attributes;
use sim_support::seconds;

fn open_in(octets: &bytes::Bytes) -> Open {
    let mut framer = Framer::new();
    framer.push(octets);
    Open::decode(&framer.next_frame().unwrap().unwrap().body).unwrap()
}

#[test]
fn rfc7854_3_3_a_station_hears_first_who_speaks_and_then_who_is_up() {
    let mut watched = Watched::new([Table::AdjInPre]);
    watched.peer.establish(vec![]);
    watched.connect();
    let messages = watched.messages();
    let [Message::Initiation(about), Message::PeerUp(up), ..] = &messages[..] else { panic!("{messages:?}") };
    assert!(about.iter().any(|one| one.kind == information::SYS_NAME && one.value == "node-0"));
    assert_eq!((up.peer.asn, up.peer.bgp_id, up.remote_port), (65001, 0x0a00_0002, 4000));
    assert_eq!((open_in(&up.sent).asn.value(), open_in(&up.received).asn.value()), (64512, 65001));
    assert_eq!(up.peer.time, bmp_support::TODAY);
}

#[test]
fn rfc7854_5_a_station_that_comes_late_is_told_all_and_then_end_of_rib() {
    let mut watched = Watched::new([Table::AdjInPre]);
    watched.peer.establish(vec![]);
    watched.peer.announce(&attributes(&[65001, 7]), &[1, 2, 3]);
    watched.peer.end_of_rib();
    watched.connect();
    let messages = watched.messages();
    watched.picture.learn(&messages);
    assert_eq!(watched.picture.table(Table::AdjInPre).len(), 3);
    assert_eq!(watched.picture.complete, [(Table::AdjInPre, Family::Ipv4)].into());
    let stages: Vec<_> = watched.peer.speaker.stations().iter().map(|station| station.state).collect();
    assert_eq!(stages, [StationState::Live]);
}

#[test]
fn rfc7854_5_changes_are_told_as_they_come() {
    let mut watched = Watched::new([Table::AdjInPre]);
    watched.connect();
    watched.peer.establish(vec![]);
    watched.peer.announce(&attributes(&[65001]), &[1, 2]);
    assert_eq!(watched.learn().table(Table::AdjInPre).len(), 2);
    assert_eq!(watched.picture.complete.len(), 0, "the peer is not through");
    watched.withdraw(&[1]);
    assert_eq!(watched.learn().table(Table::AdjInPre).len(), 1);
    watched.peer.end_of_rib();
    assert_eq!(watched.learn().complete.len(), 1);
}

#[test]
fn rfc7854_4_9_a_session_that_ends_is_told_with_its_last_words_and_its_routes_go_with_it() {
    let mut watched = Watched::new([Table::AdjInPre]);
    watched.connect();
    let mut reasons = Vec::new();
    for round in 0..3 {
        watched.peer.establish(vec![]);
        watched.peer.announce(&attributes(&[65001]), &[1, 2]);
        watched.learn();
        match round {
            0 => watched.peer.notify(&Notification::new(cease::ADMINISTRATIVE_SHUTDOWN)),
            1 => watched.peer.lose(),
            _ => watched.peer.send(&[0; 19]),
        }
        let messages = watched.messages();
        let [Message::PeerDown { peer, reason }] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(peer.asn, 65001);
        reasons.push(reason.clone());
        watched.picture.learn(&messages);
        assert!(watched.picture.table(Table::AdjInPre).is_empty());
        watched.peer.pass(seconds(60));
        watched.messages();
    }
    let [DownReason::RemoteNotification(theirs), DownReason::RemoteClosed, DownReason::LocalNotification(ours)] =
        &reasons[..]
    else {
        panic!("{reasons:?}")
    };
    assert_eq!((&theirs[18..21], &ours[18..21]), (&[3, 6, 2][..], &[3, 1, 1][..]));
}

#[test]
fn rfc7854_5_what_is_not_let_in_is_before_the_policy_only() {
    let mut watched = Watched::new([Table::AdjInPre, Table::AdjInPost, Table::Loc]);
    watched.connect();
    watched.peer.establish(vec![]);
    watched.peer.announce(&attributes(&[65001]), &[1]);
    // Our own AS is in the path.
    watched.peer.announce(&attributes(&[65001, 64512]), &[2]);
    let picture = watched.learn();
    assert_eq!(picture.table(Table::AdjInPre).len(), 2);
    assert_eq!(picture.table(Table::AdjInPost).len(), 1);
    // A route that was let in and no longer is.
    watched.peer.announce(&attributes(&[65001, 64512]), &[1]);
    let picture = watched.learn();
    assert_eq!((picture.table(Table::AdjInPre).len(), picture.table(Table::AdjInPost).len()), (2, 0));
    watched.holds_the_truth();
}

#[test]
fn rfc8671_4_a_station_hears_what_the_peer_is_told() {
    let mut watched = Watched::new([Table::AdjOut]);
    watched.peer.establish(vec![]);
    watched.connect();
    assert_eq!(watched.learn().table(Table::AdjOut).len(), 1, "our own block");
    watched.originate(&[7, 8]);
    assert_eq!(watched.learn().table(Table::AdjOut).len(), 3);
    watched.originate(&[7]);
    watched.holds_the_truth();
}

#[test]
fn rfc9069_4_the_best_paths_are_told_as_a_peer_of_their_own() {
    let mut watched = Watched::new([Table::Loc]);
    watched.peer.establish(vec![]);
    watched.peer.announce(&attributes(&[65001]), &[1]);
    watched.connect();
    let messages = watched.messages();
    let named = |message: &Message| matches!(message, Message::PeerUp(up) if up.information.iter().any(|i| i.value == "global"));
    assert!(messages.iter().any(named), "{messages:?}");
    watched.picture.learn(&messages);
    watched.holds_the_truth();
    watched.withdraw(&[1]);
    watched.holds_the_truth();
}

#[test]
fn rfc7854_4_8_counters_come_once_a_minute_and_only_while_somebody_is_there() {
    let mut watched = Watched::new([Table::AdjInPre]);
    watched.peer.establish(vec![]);
    watched.peer.announce(&attributes(&[65001]), &[1, 2]);
    watched.connect();
    watched.messages();
    watched.peer.pass(seconds(59));
    assert_eq!(watched.messages(), []);
    watched.peer.pass(seconds(10));
    let messages = watched.messages();
    let [Message::Statistics { statistics, .. }] = &messages[..] else { panic!("{messages:?}") };
    assert!(statistics.contains(&Statistic::AdjIn(2)) && statistics.contains(&Statistic::AdjInOf(1, 1, 2)));
    assert!(statistics.contains(&Statistic::AdjOutPost(1)));
    watched.station(StationInput::Closed);
    watched.peer.pass(seconds(300));
    assert_eq!(watched.messages(), []);
}

#[test]
fn a_station_that_does_not_read_costs_the_session_nothing_and_begins_anew() {
    let mut watched = Watched::new([Table::AdjInPre]);
    watched.peer.establish(vec![]);
    watched.connect();
    watched.reads = false;
    let mut given_up = 0;
    for round in 0..2000_u32 {
        // Long paths that change all the time.
        let path: Vec<u32> = [65001].into_iter().chain((0..250).map(|n| 1 + round * 1000 + n)).collect();
        watched.peer.announce(&attributes(&path), &[1, 2, 3, 4, 5, 6, 7, 8]);
        let station = &watched.peer.speaker.stations()[0];
        assert!(station.outstanding <= 9 << 20);
        if station.state == StationState::Away {
            given_up += 1;
            break;
        }
        // Far more than one message each time, so that it fills up in no time.
        for n in 0..20 {
            let path: Vec<u32> = path.iter().map(|asn| asn.wrapping_add(n).max(1)).collect();
            watched.peer.announce(&attributes(&[&[65001][..], &path].concat()), &[10 + n as usize]);
        }
    }
    assert_eq!(given_up, 1);
    assert_eq!(watched.peer.monitored.last(), Some(&StationOutput::Close(StationEnd::TooSlow)));
    assert!(watched.peer.told().is_none() && watched.peer.open);
    watched.reads = true;
    watched.connect();
    watched.holds_the_truth();
}

#[test]
fn a_station_that_is_no_longer_configured_hears_why_and_a_change_leaves_the_others_alone() {
    let mut watched = Watched::new([Table::AdjInPre]);
    watched.peer.establish(vec![]);
    watched.connect();
    watched.messages();
    let mut config = watched.peer.speaker.config().clone();
    config.monitoring.stations.insert("10.9.9.9:11019".parse().unwrap(), config.monitoring.stations[&STATION].clone());
    watched.peer.input(Input::Configure(Box::new(config.clone())));
    assert_eq!(watched.messages(), []);
    config.monitoring.stations.clear();
    watched.peer.input(Input::Configure(Box::new(config)));
    let messages = watched.messages();
    assert!(matches!(&messages[..], [Message::Termination(_)]), "{messages:?}");
    assert!(watched.closed);
    assert!(watched.peer.told().is_none());
}

#[test]
fn whatever_happens_the_picture_of_a_station_that_reads_is_the_speakers() {
    for seed in 1..120 {
        let mut watched = Watched::new([Table::AdjInPre, Table::AdjInPost, Table::AdjOut, Table::Loc]);
        let mut dice = bmp_support::Dice(seed * 0x9e37_79b9);
        for _ in 0..60 {
            watched.happen(&mut dice);
        }
        if !watched.is_connected() {
            watched.connect();
        }
        watched.reads = true;
        watched.drain();
        watched.holds_the_truth();
    }
}

#[test]
fn a_dump_of_many_routes_waits_for_the_station_and_is_then_whole() {
    let mut watched = Watched::new([Table::AdjInPre, Table::Loc]);
    watched.peer.establish(vec![]);
    // A set of attributes for each: nothing can share a message.
    for n in 0..4000_u32 {
        let prefix = Prefix::new(Ipv4Addr::from_bits(0x0b00_0000 + (n << 8)).into(), 24).unwrap();
        watched.announce(&attributes(&[65001, 1 + n]), &[prefix]);
    }
    watched.reads = false;
    watched.connect();
    let waiting = watched.peer.speaker.stations()[0].outstanding;
    assert!((200 << 10..400 << 10).contains(&waiting), "{waiting}");
    watched.withdraw(&[3, 4]);
    watched.reads = true;
    watched.drain();
    watched.holds_the_truth();
    assert_eq!(watched.picture.table(Table::Loc).len(), 4001);
}
