//! Several paths per prefix (RFC 7911): who tells whom, under which identifiers, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::collections::{BTreeMap, BTreeSet};

use bgp::config::{AddPath, NextHopMode, Origination, Reflection, Start};
use bgp::sim::Net;
use bgp::{PeerConfig, SpeakerConfig};
use model::api::show::{BgpRoutes, BgpTable, RouteView};
use model::{ClusterId, Prefix};
use proptest::prelude::*;
use sim_support::{address, asn, block, config, key, peer_with, seconds};

/// What several nodes announce.
const SERVICE: usize = 200;

/// A node whose only peer is the reflector, node 0.
fn client(node: usize) -> SpeakerConfig {
    let mut config = config(node, 64512);
    peer_with(&mut config, 0, 64512);
    config.peers.get_mut(&key(0)).unwrap().add_path = AddPath::Both;
    config
}

/// Node 0, which reflects to the others and tells them several paths.
fn reflector(clients: usize, limit: u8) -> SpeakerConfig {
    let mut config = config(0, 64512);
    config.cluster_id = Some(ClusterId(1));
    for node in 1..=clients {
        let mut peer = PeerConfig::new(format!("client {node}"), asn(64512));
        (peer.reflection, peer.add_path, peer.add_path_limit) = (Reflection::Client, AddPath::Both, limit);
        config.peers.insert(key(node), peer);
    }
    config
}

/// A reflector and its clients, of which these announce the same prefix.
fn service(clients: usize, limit: u8, origins: &[usize]) -> Net {
    let mut net = Net::new(7);
    net.add(vec![address(0)], reflector(clients, limit));
    for node in 1..=clients {
        let mut config = client(node);
        if origins.contains(&node) {
            config.originate.insert(block(SERVICE), Origination::default());
        }
        net.add(vec![address(node)], config);
    }
    net.run(seconds(10));
    net
}

fn hops(net: &Net, node: usize) -> Vec<String> {
    net.node(node).beliefs().get(&block(SERVICE).to_string()).cloned().unwrap_or_default()
}

fn addresses(nodes: &[usize]) -> Vec<String> {
    nodes.iter().map(|node| address(*node).to_string()).collect()
}

fn rows(net: &Net, node: usize, table: BgpTable, prefix: Prefix) -> Vec<RouteView> {
    let question = BgpRoutes { table, peer: None, within: Some(prefix), after: None };
    net.node(node).speaker.as_ref().unwrap().routes(&question).routes
}

/// Identifier and next hop of every path that a node has received.
fn received(net: &Net, node: usize) -> BTreeMap<u32, String> {
    let rows = rows(net, node, BgpTable::Received, block(SERVICE));
    rows.into_iter().map(|row| (row.path_id.unwrap(), row.next_hop.unwrap().to_string())).collect()
}

#[test]
fn rfc7911_4_a_direction_is_open_where_one_side_sends_and_the_other_receives() {
    use AddPath::{Both, Disabled, Receive, Send};
    for ours in [Disabled, Receive, Send, Both] {
        for theirs in [Disabled, Receive, Send, Both] {
            let mut net = Net::new(1);
            for (node, add_path) in [(0, ours), (1, theirs)] {
                let mut config = config(node, 64512);
                peer_with(&mut config, 1 - node, 64512);
                config.peers.get_mut(&key(1 - node)).unwrap().add_path = add_path;
                net.add(vec![address(node)], config);
            }
            net.run(seconds(10));
            let open = |name: &str| {
                let peers = net.node(0).speaker.as_ref().unwrap().peers();
                peers.first().unwrap().view.capabilities.contains(&format!("ADD-PATH {name}"))
            };
            assert_eq!(open("receive"), ours.receives() && theirs.sends(), "{ours:?} with {theirs:?}");
            assert_eq!(open("send"), ours.sends() && theirs.receives(), "{ours:?} with {theirs:?}");
            let row = rows(&net, 0, BgpTable::Received, block(1)).remove(0);
            assert_eq!(row.path_id.is_some(), open("receive"), "{ours:?} with {theirs:?}");
        }
    }
}

#[test]
fn a_client_of_a_reflector_hears_both_paths_and_shares_the_traffic_between_them() {
    let net = service(3, 16, &[1, 2]);
    assert_eq!(hops(&net, 3), addresses(&[1, 2]));
    let told: BTreeSet<_> = rows(&net, 0, BgpTable::Advertised, block(SERVICE))
        .into_iter()
        .filter(|row| row.peer == Some(address(3)))
        .map(|row| (row.next_hop.unwrap(), row.best))
        .collect();
    assert_eq!(told, BTreeSet::from([(address(1), true), (address(2), false)]));
    assert_eq!(received(&net, 3).keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn without_add_path_the_same_client_hears_one() {
    let mut net = service(3, 16, &[1, 2]);
    net.configure(3, |config| config.peers.values_mut().for_each(|peer| peer.add_path = AddPath::Disabled));
    net.run(seconds(10));
    assert_eq!(hops(&net, 3), addresses(&[1]));
    let rows = rows(&net, 3, BgpTable::Received, block(SERVICE));
    assert_eq!(rows.iter().map(|row| row.path_id).collect::<Vec<_>>(), [None]);
}

#[test]
fn rfc7911_3_one_path_goes_and_comes_and_the_others_keep_their_identifiers() {
    let mut net = service(4, 16, &[1, 2, 3]);
    let before = received(&net, 4);
    let id_of = |hop: usize| *before.iter().find(|(_, address)| **address == addresses(&[hop])[0]).unwrap().0;
    net.configure(2, |config| {
        config.originate.remove(&block(SERVICE));
    });
    net.run(seconds(1));
    let mut expected = before.clone();
    expected.remove(&id_of(2));
    assert_eq!(received(&net, 4), expected);
    assert_eq!(hops(&net, 4), addresses(&[1, 3]));
    net.configure(2, |config| {
        config.originate.insert(block(SERVICE), Origination::default());
    });
    net.run(seconds(1));
    assert_eq!(received(&net, 4), before);
}

#[test]
fn a_peer_is_told_the_best_paths_and_no_more_than_its_limit() {
    let mut net = service(6, 2, &[1, 2, 3, 4]);
    assert_eq!(hops(&net, 6), addresses(&[1, 2]));
    net.configure(1, |config| {
        config.originate.remove(&block(SERVICE));
    });
    net.run(seconds(1));
    assert_eq!(hops(&net, 6), addresses(&[2, 3]), "the next best takes the place, under its identifier");
    assert_eq!(received(&net, 6).keys().copied().collect::<Vec<_>>(), [1, 2]);
    net.configure(0, |config| config.peers.values_mut().for_each(|peer| peer.add_path_limit = 3));
    net.run(seconds(1));
    assert_eq!(hops(&net, 6), addresses(&[2, 3, 4]));
    net.configure(0, |config| config.peers.values_mut().for_each(|peer| peer.add_path_limit = 1));
    net.run(seconds(1));
    assert_eq!(hops(&net, 6), addresses(&[2]));
    assert_eq!(net.node(6).history.len(), net.node(5).history.len(), "no session was reset");
}

#[test]
fn rfc4724_4_2_of_a_peer_that_restarts_each_path_is_kept_and_swept_on_its_own() {
    let mut net = service(4, 16, &[1, 2, 3]);
    net.kill(0);
    net.run(seconds(1));
    let stale = rows(&net, 4, BgpTable::Received, block(SERVICE));
    assert_eq!(stale.iter().filter(|row| row.stale).count(), 3);
    assert_eq!(hops(&net, 4), addresses(&[1, 2, 3]));
    net.configure(2, |config| {
        config.originate.remove(&block(SERVICE));
    });
    let mut again = reflector(4, 16);
    again.graceful_restart.start = Start::Restarted;
    net.start(0, again);
    net.run(seconds(30));
    assert_eq!(hops(&net, 4), addresses(&[1, 3]));
    assert!(rows(&net, 4, BgpTable::Received, block(SERVICE)).iter().all(|row| !row.stale));
}

#[test]
fn a_client_that_did_not_read_catches_up_with_every_path() {
    let mut net = service(5, 16, &[1, 2, 3]);
    net.configure(0, |config| config.timers.outstanding = 64);
    net.stop_reading(5);
    for (node, announces) in [(2, false), (3, false), (4, true), (2, true), (1, false)] {
        net.configure(node, |config| {
            if announces {
                config.originate.insert(block(SERVICE), Origination::default());
            } else {
                config.originate.remove(&block(SERVICE));
            }
        });
        net.run(seconds(1));
    }
    assert_eq!(hops(&net, 5), addresses(&[1, 2, 3]), "it has read nothing");
    net.read_again(5);
    net.run(seconds(5));
    assert_eq!(hops(&net, 5), addresses(&[2, 4]));
}

#[test]
fn rfc2918_a_peer_that_asks_again_is_told_every_path_again() {
    let mut net = service(3, 16, &[1, 2]);
    let before = net.node(3).kernel_writes;
    net.input(3, bgp::Input::Refresh { peer: key(0) });
    net.run(seconds(1));
    assert_eq!((hops(&net, 3), net.node(3).kernel_writes), (addresses(&[1, 2]), before));
}

/// Feeders 1 to 4 behind reflector 0; reflector 5 behind that, in another cluster; node 6 its client. Reflector 5 hears
/// several paths from one peer and tells them on.
fn chain(limits: [u8; 2]) -> Net {
    let mut net = Net::new(3);
    let mut first = reflector(4, limits[0]);
    peer_with(&mut first, 5, 64512);
    let to_second = first.peers.get_mut(&key(5)).unwrap();
    (to_second.add_path, to_second.add_path_limit) = (AddPath::Both, limits[0]);
    net.add(vec![address(0)], first);
    (1..=4).for_each(|node| {
        net.add(vec![address(node)], client(node));
    });
    let mut second = client(5);
    second.cluster_id = Some(ClusterId(2));
    let mut peer = PeerConfig::new("client 6", asn(64512));
    (peer.reflection, peer.add_path, peer.add_path_limit) = (Reflection::Client, AddPath::Send, limits[1]);
    second.peers.insert(key(6), peer);
    net.add(vec![address(5)], second);
    let mut last = config(6, 64512);
    peer_with(&mut last, 5, 64512);
    net.add(vec![address(6)], last);
    net.run(seconds(10));
    net
}

/// What befalls the announcements of two prefixes.
#[derive(Debug, Clone)]
enum Change {
    Toggle(usize, usize),
    Regroup,
    Reset(usize, usize),
    Limit(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (1usize..=4, 200usize..202).prop_map(|(node, n)| Change::Toggle(node, n)),
        1 => Just(Change::Regroup),
        1 => prop_oneof![Just((0, 5)), Just((5, 6)), Just((0, 2))].prop_map(|(a, b)| Change::Reset(a, b)),
        1 => (1u8..=4).prop_map(Change::Limit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_changes_a_client_knows_the_best_paths_of_those_that_its_reflector_knows(
        limits in any::<[u8; 2]>().prop_map(|limits| limits.map(|n| n % 4 + 1)),
        changes in prop::collection::vec(change(), 1..30),
    ) {
        let mut net = chain(limits);
        let [first, mut second] = limits.map(usize::from);
        let mut origins: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Toggle(node, n) => {
                    let of = origins.entry(n).or_default();
                    let gone = of.remove(&node) || !of.insert(node);
                    net.configure(node, |config| {
                        if gone {
                            config.originate.remove(&block(n));
                        } else {
                            config.originate.insert(block(n), Origination::default());
                        }
                    });
                }
                // Another update group, which is told the same.
                Change::Regroup => net.configure(0, |config| {
                    config.peers.get_mut(&key(5)).unwrap().next_hop = NextHopMode::Keep;
                }),
                Change::Reset(a, b) => {
                    net.reset(a, b);
                    net.run(seconds(10));
                }
                Change::Limit(limit) => {
                    second = limit.into();
                    net.configure(5, |config| config.peers.get_mut(&key(6)).unwrap().add_path_limit = limit);
                }
            }
            net.run(seconds(1));
            for (n, origins) in &origins {
                let told: Vec<usize> = origins.iter().copied().take(first.min(second)).collect();
                let hops = net.node(6).beliefs().get(&block(*n).to_string()).cloned().unwrap_or_default();
                prop_assert_eq!(hops, addresses(&told), "{}", block(*n));
                let rows = rows(&net, 6, BgpTable::Received, block(*n));
                let ids: BTreeSet<u32> = rows.iter().filter_map(|row| row.path_id).collect();
                prop_assert_eq!(ids.len(), told.len(), "an identifier for each path: {:?}", ids);
                prop_assert!(ids.iter().all(|id| (1..=4).contains(id)), "{:?}", ids);
            }
        }
    }
}
