//! Long-lived graceful restart (RFC 9494) in a network: packets go on, anything fresher is preferred.
#![allow(clippy::unwrap_used)]

mod sim_support;

use std::net::IpAddr;

use bgp::SpeakerConfig;
use bgp::config::{Origination, Reflection, Start};
use bgp::sim::Net;
use model::api::show::{BgpRoutes, BgpTable};
use model::{ClusterId, Prefix};
use sim_support::{address, block, config, key, peer_with, seconds};

fn keep(config: &mut SpeakerConfig, time: u64) {
    config.graceful_restart.restart_time = seconds(20);
    config.peers.values_mut().for_each(|peer| peer.long_lived_restart_time = Some(seconds(time)));
}

fn shared() -> Prefix {
    "10.99.0.0/24".parse().unwrap()
}

fn hops(net: &Net, node: usize, prefix: Prefix) -> Vec<IpAddr> {
    net.node(node).kernel.get(&prefix).map(|hops| hops.iter().map(|hop| hop.address).collect()).unwrap_or_default()
}

/// Node 0 in AS 64512, between node 1 in its own AS and router 2 in AS 65002, which both have a prefix.
fn two_ways() -> Net {
    let mut net = Net::new(1);
    let mut watcher = config(0, 64512);
    peer_with(&mut watcher, 1, 64512);
    peer_with(&mut watcher, 2, 65002);
    keep(&mut watcher, 100);
    net.add(vec![address(0)], watcher);
    for (node, asn) in [(1, 64512), (2, 65002)] {
        let mut config = config(node, asn);
        peer_with(&mut config, 0, 64512);
        config.originate.insert(shared(), Origination::default());
        keep(&mut config, 100);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(10));
    net
}

#[test]
fn rfc9494_4_3_a_stale_route_gives_way_to_any_other_when_its_long_life_begins() {
    let mut net = two_ways();
    assert_eq!(hops(&net, 0, shared()), [address(1)], "the shorter path");
    net.kill(1);
    net.run(seconds(19));
    assert_eq!(hops(&net, 0, shared()), [address(1)], "it may come back any moment");
    net.run(seconds(5));
    assert_eq!(hops(&net, 0, shared()), [address(2)], "the longer path, but alive");
    assert_eq!(hops(&net, 0, block(1)), [address(1)], "where there is no other, it is kept");
}

#[test]
fn the_kernel_keeps_forwarding_over_a_long_absence_without_one_write() {
    let mut net = two_ways();
    net.configure(2, |config| drop(config.originate.remove(&shared())));
    net.run(seconds(1));
    let before = net.node(0).kernel_writes;
    net.kill(1);
    net.run(seconds(100));
    let mut again = config(1, 64512);
    peer_with(&mut again, 0, 64512);
    again.originate.insert(shared(), Origination::default());
    again.graceful_restart.start = Start::Restarted;
    keep(&mut again, 100);
    net.start(1, again);
    net.run(seconds(30));
    assert_eq!(hops(&net, 0, shared()), [address(1)]);
    assert_eq!(net.node(0).kernel_writes, before);
    let view = |net: &Net| net.node(0).speaker.as_ref().unwrap().peers()[0].view.clone();
    assert_eq!((view(&net).stale, view(&net).long_lived_stale), (0, 0));
    net.kill(1);
    net.run(seconds(119));
    assert_eq!(hops(&net, 0, shared()), [address(1)]);
    net.run(seconds(5));
    assert!(hops(&net, 0, shared()).is_empty());
}

#[test]
fn rfc9494_4_3_a_reflector_passes_the_mark_on_to_clients_that_know_it() {
    let mut net = Net::new(1);
    let mut reflector = config(0, 64512);
    reflector.cluster_id = Some(ClusterId(1));
    for client in [1, 2] {
        peer_with(&mut reflector, client, 64512);
        reflector.peers.get_mut(&key(client)).unwrap().reflection = Reflection::Client;
    }
    keep(&mut reflector, 1000);
    net.add(vec![address(0)], reflector);
    for client in [1, 2] {
        let mut config = config(client, 64512);
        peer_with(&mut config, 0, 64512);
        keep(&mut config, 1000);
        net.add(vec![address(client)], config);
    }
    net.run(seconds(10));
    let writes = net.node(2).kernel_writes;
    net.kill(1);
    net.run(seconds(60));
    let question = BgpRoutes { table: BgpTable::Received, peer: None, within: Some(block(1)), after: None };
    let row = net.node(2).speaker.as_ref().unwrap().routes(&question).routes.pop().unwrap();
    assert_eq!((row.communities, row.local_pref), (vec!["llgr-stale".to_string()], Some(100)));
    assert!(row.long_lived_stale && !row.stale, "it is the reflector that keeps it");
    assert_eq!(hops(&net, 2, block(1)), [address(1)]);
    assert_eq!(net.node(2).kernel_writes, writes);
}
