//! Peers from listen ranges: born with a connection, bounded in number, gone when nothing is left of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bgp::config::{Excess, ListenRange, MaxPrefixes, Reflection, RemoteAs};
use bgp::sim::{Net, NodeId};
use bgp::speaker::{ConnId, Refused};
use bgp::wire::{Capability, Message, Open};
use bgp::{Input, PeerConfig, Speaker, SpeakerConfig};
use model::api::show::SessionState::Established;
use model::{ClusterId, Prefix, RouterId, Time};
use sim_support::{address, asn, block, config, key, peer_with, seconds};

fn range() -> Prefix {
    "10.0.0.0/16".parse().unwrap()
}

/// Node 0: a route reflector in AS 64512 that knows none of its clients by address.
fn reflector(most: usize) -> SpeakerConfig {
    let mut config = config(0, 64512);
    config.cluster_id = Some(ClusterId(1));
    let mut client = PeerConfig::new("clients", asn(64512));
    client.reflection = Reflection::Client;
    config.ranges.insert(range(), ListenRange::new(client, most));
    config
}

/// A client of node 0 alone.
fn client(node: usize, local_as: u32) -> SpeakerConfig {
    let mut config = config(node, local_as);
    peer_with(&mut config, 0, 64512);
    config
}

fn fabric(reflector: SpeakerConfig, clients: usize) -> Net {
    let mut net = Net::new(1);
    net.add(vec![address(0)], reflector);
    for node in 1..=clients {
        net.add(vec![address(node)], client(node, 64512));
    }
    net.run(seconds(10));
    net
}

fn peers(net: &Net, node: NodeId) -> Vec<(String, Option<Prefix>)> {
    let speaker = net.node(node).speaker.as_ref().unwrap();
    speaker.peers().into_iter().map(|peer| (peer.key.to_string(), peer.view.range)).collect()
}

fn admits(net: &Net, from: &str) -> Result<(), Refused> {
    let remote = SocketAddr::new(from.parse::<IpAddr>().unwrap(), 40000);
    let speaker = net.node(0).speaker.as_ref().unwrap();
    speaker.admits(SocketAddr::new(address(0), 179), remote).map(|_| ())
}

#[test]
fn clients_of_a_reflector_that_knows_none_of_them_learn_of_each_other() {
    let net = fabric(reflector(1000), 20);
    assert_eq!(net.node(0).established(), 20);
    for (id, node) in net.nodes().skip(1) {
        assert_eq!(node.kernel.len(), 20, "node {id}");
    }
    assert!(peers(&net, 0).iter().all(|(_, from)| *from == Some(range())), "{:?}", peers(&net, 0));
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn a_stranger_from_outside_of_all_ranges_is_refused() {
    let net = fabric(reflector(1000), 0);
    assert_eq!(admits(&net, "10.0.255.254"), Ok(()));
    assert_eq!(admits(&net, "10.1.0.1"), Err(Refused::Stranger));
    assert_eq!(admits(&net, "fe80::1"), Err(Refused::Stranger));
    assert_eq!(peers(&net, 0), [], "asking bears nobody");
}

#[test]
fn a_peer_from_a_range_is_forgotten_when_its_restart_has_taken_too_long() {
    let mut net = fabric(reflector(1000), 2);
    net.kill(1);
    net.run(seconds(5));
    assert_eq!(peers(&net, 0).len(), 2, "its routes are kept for its restart (RFC 4724 §4.2)");
    assert!(net.node(0).kernel.contains_key(&block(1)));
    net.run(seconds(130));
    assert_eq!(peers(&net, 0), [(key(2).to_string(), Some(range()))]);
    assert!(!net.node(0).kernel.contains_key(&block(1)));
    assert_eq!(net.node(0).state(key(1)), None, "the owner was told that there is no such peer any more");
}

#[test]
fn a_peer_from_a_range_that_is_back_in_time_loses_no_route() {
    let mut net = fabric(reflector(1000), 2);
    let writes = net.node(2).kernel_writes;
    net.kill(1);
    net.run(seconds(20));
    let mut again = client(1, 64512);
    again.graceful_restart.start = bgp::config::Start::Restarted;
    net.start(1, again);
    net.run(seconds(30));
    assert_eq!((net.node(0).established(), net.node(2).kernel_writes), (2, writes));
}

#[test]
fn a_full_range_refuses_who_comes_too_late() {
    let net = fabric(reflector(3), 5);
    assert_eq!((net.node(0).established(), peers(&net, 0).len()), (3, 3));
    assert_eq!(admits(&net, "10.0.9.9"), Err(Refused::RangeFull));
}

/// A speaker to which hosts of 10.0.66.0/24 and others connect without ever saying a word.
struct Besieged {
    speaker: Speaker,
    now: Time,
}

impl Besieged {
    fn new(most: usize) -> Besieged {
        Besieged { speaker: Speaker::new(reflector(most), Time::START, 1), now: Time::START }
    }

    fn connect(&mut self, from: [u8; 4]) -> ConnId {
        let conn = self.speaker.new_conn();
        let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(from.into(), 40000));
        self.speaker.handle(self.now, Input::Accepted { conn, local, remote });
        conn
    }

    fn besiege(&mut self) {
        for host in 0..100 {
            self.connect([10, 0, 66, host]);
        }
    }

    fn establish(&mut self, from: [u8; 4]) {
        let conn = self.connect(from);
        let capabilities = vec![Capability::FourOctetAs(Some(asn(64512)))];
        let router_id = RouterId::new(u32::from_be_bytes(from)).unwrap();
        let open = Open { asn: asn(64512), hold_seconds: 90, router_id, capabilities };
        for message in [Message::Open(open), Message::Keepalive] {
            self.speaker.handle(self.now, Input::Message { conn, message });
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.speaker.deadline().filter(|due| *due <= end) {
            self.now = due;
            self.speaker.tick(due);
            while self.speaker.poll(due).is_some() {}
        }
        self.now = end;
    }

    fn up(&self) -> usize {
        self.speaker.peers().iter().filter(|peer| peer.view.state == Established).count()
    }
}

#[test]
fn who_only_opens_connections_keeps_no_client_out() {
    let mut hub = Besieged::new(3);
    hub.establish([10, 0, 0, 2]);
    hub.establish([10, 0, 0, 3]);
    hub.besiege();
    assert_eq!((hub.speaker.peers().len(), hub.up()), (3, 2), "no more than the range may have");
    hub.establish([10, 0, 0, 4]);
    assert_eq!((hub.speaker.peers().len(), hub.up()), (3, 3), "and nobody with a session goes for it");
    hub.besiege();
    assert_eq!((hub.speaker.peers().len(), hub.up()), (3, 3));
}

#[test]
fn five_thousand_clients_are_peers_of_a_range_for_so_many() {
    let mut hub = Besieged::new(5000);
    for client in 0..5001_u16 {
        let [high, low] = client.to_be_bytes();
        hub.establish([10, 0, high + 1, low]);
    }
    assert_eq!((hub.speaker.peers().len(), hub.up()), (5000, 5000));
}

#[test]
fn silent_connections_leave_nothing_behind() {
    let mut hub = Besieged::new(1000);
    hub.besiege();
    assert_eq!(hub.speaker.peers().len(), 100);
    hub.pass(seconds(60));
    assert_eq!(hub.speaker.peers(), []);
    assert_eq!(hub.speaker.deadline(), None, "not even a timer");
}

#[test]
fn a_range_for_any_other_as_takes_every_as_but_ours() {
    let mut hub = config(0, 64512);
    hub.ranges.insert(range(), ListenRange::new(PeerConfig::new("tors", RemoteAs::External), 10));
    let mut net = Net::new(1);
    net.add(vec![address(0)], hub);
    for (node, local_as) in [(1, 65001), (2, 65002), (3, 64512)] {
        net.add(vec![address(node)], client(node, local_as));
    }
    net.run(seconds(10));
    let views = net.node(0).speaker.as_ref().unwrap().peers();
    let up: Vec<_> = views.iter().filter(|p| p.view.state == Established).map(|p| p.view.peer_as).collect();
    assert_eq!(up, [Some(asn(65001)), Some(asn(65002))]);
    assert!(net.node(3).reason(key(0)).contains("bad peer AS"), "{}", net.node(3).reason(key(0)));
}

#[test]
fn a_peer_that_is_configured_by_its_address_goes_before_a_range() {
    let mut hub = reflector(1000);
    hub.peers.insert(key(1), PeerConfig::new("by address", asn(65001)));
    let mut net = Net::new(1);
    net.add(vec![address(0)], hub);
    net.add(vec![address(1)], client(1, 65001));
    net.add(vec![address(2)], client(2, 64512));
    net.run(seconds(10));
    assert_eq!(peers(&net, 0), [(key(1).to_string(), None), (key(2).to_string(), Some(range()))]);
    assert_eq!(net.node(0).established(), 2);
}

#[test]
fn a_peer_from_a_range_that_becomes_configured_keeps_its_session_and_the_other_way_round() {
    let mut net = fabric(reflector(1000), 2);
    let template = || (*reflector(1000).ranges[&range()].peer()).clone();
    let mut hub = reflector(1000);
    hub.peers.insert(key(1), PeerConfig::clone(&template()));
    net.configure(0, |now| *now = hub);
    net.run(seconds(5));
    assert_eq!(peers(&net, 0)[0], (key(1).to_string(), None));
    let ups = |net: &Net| -> Vec<u64> {
        net.node(0).speaker.as_ref().unwrap().peers().iter().map(|p| p.view.established_count).collect()
    };
    assert_eq!((net.node(0).established(), ups(&net)), (2, vec![1, 1]));
    // Once configured a peer is not of a range any more: without its object it goes, and comes back by itself.
    net.configure(0, |now| *now = reflector(1000));
    net.run(seconds(40));
    assert_eq!(peers(&net, 0)[0], (key(1).to_string(), Some(range())));
    assert_eq!(net.node(0).established(), 2);
}

#[test]
fn a_change_of_a_range_changes_its_peers_and_its_end_ends_them() {
    let mut net = fabric(reflector(1000), 3);
    let mut wider = reflector(1000);
    let (prefix, was) = wider.ranges.pop_first().unwrap();
    let mut peer = PeerConfig::clone(was.peer());
    (peer.name, peer.max_restart_time) = ("renamed".into(), Some(Duration::from_secs(7)));
    wider.ranges.insert(prefix, ListenRange::new(peer, 2));
    net.configure(0, |now| *now = wider);
    net.run(seconds(5));
    let views = net.node(0).speaker.as_ref().unwrap().peers();
    assert!(views.iter().all(|p| p.view.name == "renamed" && p.view.established_count == 1));
    assert_eq!(net.node(0).established(), 3, "a lower bound ends no session");
    let mut none = reflector(1000);
    none.ranges.clear();
    net.configure(0, |now| *now = none);
    net.run(seconds(5));
    assert_eq!(peers(&net, 0), []);
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn a_reflector_that_has_restarted_waits_for_clients_that_it_does_not_know_yet() {
    let mut net = fabric(reflector(1000), 5);
    let writes = net.node(0).kernel_writes;
    net.kill(0);
    let mut again = reflector(1000);
    again.graceful_restart.start = bgp::config::Start::Restarted;
    net.start(0, again);
    net.run(seconds(60));
    assert_eq!((net.node(0).established(), net.node(0).kernel.len()), (5, 5));
    assert_eq!(net.node(0).kernel_writes, writes, "no route was removed and written again");
}

#[test]
fn a_peer_from_a_range_that_was_dropped_for_too_many_prefixes_stays_out() {
    let mut config = reflector(1000);
    let mut bounded = PeerConfig::new("clients", asn(64512));
    bounded.max_prefixes = Some(MaxPrefixes { limit: 1, warn_at: None, action: Excess::Drop });
    config.ranges.insert(range(), ListenRange::new(bounded, 1000));
    let mut net = fabric(config, 0);
    let mut greedy = client(1, 64512);
    greedy.originate.insert(block(7), Default::default());
    net.add(vec![address(1)], greedy);
    net.run(seconds(600));
    assert_eq!((net.node(0).established(), net.node(0).kernel.len()), (0, 0));
    let peers = net.node(0).speaker.as_ref().unwrap().peers();
    let reasons: Vec<&str> = peers.iter().map(|peer| peer.view.reason.as_str()).collect();
    assert_eq!(reasons, ["more than 1 prefixes received: down until the bound is changed or the session is reset"]);
}
