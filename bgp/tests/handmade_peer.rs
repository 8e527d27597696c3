//! A speaker and a peer made by hand, message by message, for what no simulated speaker would say.
#![allow(clippy::unwrap_used)]

mod sim_support;

use std::net::SocketAddr;

use bgp::config::{Dialling, Start};
use bgp::speaker::{CloseReason, ConnId};
use bgp::wire::attr::Origin;
use bgp::wire::capability::{AddPath, GracefulFamily, GracefulRestart};
use bgp::wire::{
    Attributes, Capability, Context, FamilySet, Framer, Message, NextHop, Nlri, Open, PeerKind, Transmit, encode,
};
use bgp::{Input, Output, Speaker};
use model::{Family, RouterId, Time};
use sim_support::{address, asn, block, config, peer_with};

/// The speaker is node 0 in AS 64512, the peer node 1 in AS 64512.
struct Pair {
    speaker: Speaker,
    now: Time,
    conn: ConnId,
    routes: Vec<String>,
    in_sync: bool,
}

/// What the peer's OPEN says of its restart.
fn restart(flags: &str) -> GracefulRestart {
    GracefulRestart {
        restarting: flags.contains('R'),
        notification: false,
        restart_seconds: 120,
        families: vec![GracefulFamily { family: Family::Ipv4.into(), forwarding_kept: flags.contains('F') }],
    }
}

impl Pair {
    fn new(start: Start) -> Pair {
        let mut config = config(0, 64512);
        config.graceful_restart.start = start;
        peer_with(&mut config, 1, 64512);
        config.peers.values_mut().for_each(|peer| peer.dial = Dialling::Passive);
        let mut speaker = Speaker::new(config, Time::START, 1);
        let conn = speaker.new_conn();
        let mut pair = Pair { speaker, now: Time::START, conn, routes: Vec::new(), in_sync: false };
        pair.outputs();
        pair
    }

    fn outputs(&mut self) {
        while let Some(output) = self.speaker.poll(self.now) {
            match output {
                Output::Route(change) => {
                    let prefix = change.prefix.to_string();
                    self.routes.retain(|other| *other != prefix);
                    self.routes.extend(change.best.map(|_| prefix));
                }
                Output::InSync => self.in_sync = true,
                _ => {}
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.speaker.handle(self.now, input);
        self.outputs();
    }

    /// The peer dials, and its session comes up.
    fn establish(&mut self, flags: &str) {
        self.conn = self.speaker.new_conn();
        let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(address(1), 4000));
        self.input(Input::Accepted { conn: self.conn, local, remote });
        let add_path = AddPath { family: Family::Ipv4.into(), receive: false, send: flags.contains('A') };
        let capabilities = vec![
            Capability::GracefulRestart(restart(flags)),
            Capability::FourOctetAs(Some(asn(64512))),
            Capability::AddPath(vec![add_path]),
        ];
        let router_id = RouterId::new(0x0a00_0002).unwrap();
        self.say(Message::Open(Open { asn: asn(64512), hold_seconds: 90, router_id, capabilities }));
        self.say(Message::Keepalive);
    }

    fn say(&mut self, message: Message) {
        self.input(Input::Message { conn: self.conn, message });
    }

    fn update(&mut self, octets: &[u8]) {
        self.update_in(&Context::new(PeerKind::Internal, asn(64512)), octets);
    }

    fn update_in(&mut self, context: &Context, octets: &[u8]) {
        let mut framer = Framer::new();
        framer.push(octets);
        while let Some(frame) = framer.next_frame().unwrap() {
            self.say(Message::decode(frame, context).unwrap());
        }
    }

    /// Announces or withdraws paths of one prefix (RFC 7911), each with a next hop of its own.
    fn paths(&mut self, n: usize, ids: std::ops::Range<u32>, announce: bool) {
        let mut context = Context::new(PeerKind::Internal, asn(64512));
        context.add_path = FamilySet::of(Family::Ipv4);
        let transmit = Transmit { add_path: context.add_path, ..Transmit::PLAIN };
        let mut octets = Vec::new();
        for path_id in ids {
            let nlri = [Nlri { prefix: block(n), path_id }];
            let attributes = Attributes::new(Origin::Igp, NextHop::from(address(path_id as usize)));
            if announce {
                encode::updates(Family::Ipv4, &attributes, nlri, &transmit, &mut octets).unwrap();
            } else {
                encode::withdrawals(Family::Ipv4, nlri, &transmit, &mut octets);
            }
        }
        self.update_in(&context, &octets);
    }

    fn counts(&self) -> (u64, u64) {
        let view = self.speaker.peers().remove(0).view;
        (view.received, view.ignored)
    }

    fn announce(&mut self, n: usize) {
        let mut octets = Vec::new();
        let attributes = Attributes::new(Origin::Igp, NextHop::from(address(1)));
        encode::updates(Family::Ipv4, &attributes, [Nlri::plain(block(n))], &Transmit::PLAIN, &mut octets).unwrap();
        self.update(&octets);
    }

    fn end_of_rib(&mut self) {
        let mut octets = Vec::new();
        encode::end_of_rib(Family::Ipv4, &mut octets);
        self.update(&octets);
    }

    fn lose(&mut self) {
        self.input(Input::Closed { conn: self.conn, reason: CloseReason::Reset });
    }

    fn knows(&self, n: usize) -> bool {
        self.routes.contains(&block(n).to_string())
    }
}

#[test]
fn rfc4724_4_2_without_the_f_bit_the_old_routes_go_when_the_session_is_back_not_later() {
    for (flags, kept) in [("RF", true), ("F", true), ("R", false), ("", false)] {
        let mut pair = Pair::new(Start::Fresh);
        pair.establish("F");
        pair.announce(5);
        pair.lose();
        assert!(pair.knows(5));
        pair.establish(flags);
        assert_eq!(pair.knows(5), kept, "flags {flags:?}, before End-of-RIB");
        pair.end_of_rib();
        assert!(!pair.knows(5), "flags {flags:?}, after End-of-RIB");
    }
}

#[test]
fn rfc4724_4_1_a_peer_that_has_restarted_itself_is_not_waited_for() {
    for (flags, waited_for) in [("F", true), ("RF", false)] {
        let mut pair = Pair::new(Start::Restarted);
        assert!(!pair.in_sync, "a passive peer may still come");
        pair.establish(flags);
        assert_eq!(pair.in_sync, !waited_for, "flags {flags:?}");
        pair.end_of_rib();
        assert!(pair.in_sync);
    }
}

#[test]
fn rfc4724_4_1_learned_routes_wait_for_end_of_rib_and_then_come_at_once() {
    let mut pair = Pair::new(Start::Restarted);
    pair.establish("F");
    pair.announce(5);
    assert!(!pair.knows(5));
    pair.end_of_rib();
    assert!(pair.knows(5));
}

#[test]
fn rfc4724_4_2_routes_that_are_stale_already_do_not_survive_a_second_restart() {
    let mut pair = Pair::new(Start::Fresh);
    pair.establish("F");
    pair.announce(5);
    pair.announce(6);
    pair.lose();
    pair.establish("F");
    pair.announce(6);
    pair.lose();
    assert!(pair.knows(6), "announced in the session that was just lost");
    assert!(!pair.knows(5), "two sessions old");
}

#[test]
fn rfc7911_of_one_prefix_128_paths_of_a_peer_are_kept_and_the_rest_is_counted() {
    let mut pair = Pair::new(Start::Fresh);
    pair.establish("FA");
    pair.paths(5, 1..201, true);
    assert_eq!(pair.counts(), (128, 72));
    pair.paths(5, 1..201, true);
    assert_eq!(pair.counts(), (128, 144), "those that are kept may be told again");
    pair.paths(5, 1..200, false);
    assert_eq!(pair.counts(), (0, 144));
    assert!(!pair.knows(5));
    pair.paths(5, 0..1, true);
    assert!(pair.knows(5), "0 is an identifier as good as others");
}

#[test]
fn rfc7911_5_a_withdrawal_takes_the_path_that_it_names_and_no_other() {
    let mut pair = Pair::new(Start::Fresh);
    pair.establish("FA");
    pair.paths(5, 1..3, true);
    pair.paths(5, 3..4, false);
    assert_eq!(pair.counts(), (2, 0));
    pair.paths(5, 1..2, false);
    assert_eq!(pair.counts(), (1, 0));
    assert!(pair.knows(5));
    pair.paths(5, 2..3, false);
    assert!(!pair.knows(5));
}
