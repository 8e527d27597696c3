//! What nodes tell each other and believe: reflection, policy, multipath, slow readers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::collections::BTreeMap;

use bgp::config::{ExportPolicy, ImportPolicy, NextHopMode, Origination, Reflection};
use bgp::sim::Net;
use bgp::{PeerConfig, SpeakerConfig};
use model::api::show::SessionState::Established;
use model::api::show::{BgpRoutes, BgpTable, RouteView};
use model::{ClusterId, Prefix};
use sim_support::{address, asn, block, config, key, mesh, peer_with, seconds};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn rows(net: &Net, node: usize, table: BgpTable) -> Vec<RouteView> {
    let question = BgpRoutes { table, peer: None, within: None, after: None };
    net.node(node).speaker.as_ref().unwrap().routes(&question).routes
}

fn hops(net: &Net, node: usize, prefix: Prefix) -> Vec<String> {
    net.node(node).beliefs().get(&prefix.to_string()).cloned().unwrap_or_default()
}

/// A node in AS 64512 whose only peer is node 0.
fn client(node: usize) -> SpeakerConfig {
    let mut config = config(node, 64512);
    peer_with(&mut config, 0, 64512);
    config
}

fn add_clients(net: &mut Net, clients: usize) {
    for node in 1..=clients {
        net.add(vec![address(node)], client(node));
    }
}

/// Node 0, a reflector of the others.
fn reflector(clients: usize) -> SpeakerConfig {
    let mut config = config(0, 64512);
    config.cluster_id = Some(ClusterId(1));
    for node in 1..=clients {
        let mut peer = PeerConfig::new(format!("client {node}"), asn(64512));
        peer.reflection = Reflection::Client;
        config.peers.insert(key(node), peer);
    }
    config
}

fn with_reflector(clients: usize, seed: u64) -> Net {
    let mut net = Net::new(seed);
    net.add(vec![address(0)], reflector(clients));
    for node in 1..=clients {
        net.add(vec![address(node)], client(node));
    }
    net.run(seconds(10));
    net
}

#[test]
fn rfc4456_6_clients_of_a_reflector_know_each_other_with_unchanged_next_hops() {
    let net = with_reflector(4, 1);
    for node in 1..=4 {
        for other in (0..=4).filter(|other| *other != node) {
            assert_eq!(hops(&net, node, block(other)), [address(other).to_string()], "node {node}");
        }
    }
    let row = rows(&net, 1, BgpTable::Received).into_iter().find(|row| row.prefix == block(2)).unwrap();
    assert_eq!(row.originator_id.map(|id| id.to_string()), Some("10.0.0.3".into()));
    assert_eq!(row.cluster_list, [ClusterId(1)]);
}

#[test]
fn a_client_is_not_told_its_own_route() {
    let net = with_reflector(3, 2);
    let told: Vec<_> = rows(&net, 0, BgpTable::Advertised)
        .into_iter()
        .filter(|row| row.prefix == block(1))
        .map(|row| row.peer.unwrap())
        .collect();
    assert_eq!(told, [address(2), address(3)]);
    assert!(rows(&net, 1, BgpTable::Received).iter().all(|row| row.prefix != block(1)));
}

#[test]
fn rfc4456_6_routes_of_a_non_client_go_to_clients_only() {
    let mut net = Net::new(3);
    let mut hub = reflector(1);
    for node in [2, 3] {
        peer_with(&mut hub, node, 64512);
    }
    net.add(vec![address(0)], hub);
    for node in 1..=3 {
        net.add(vec![address(node)], client(node));
    }
    net.run(seconds(10));
    assert_eq!(hops(&net, 1, block(2)), [address(2).to_string()]);
    assert_eq!(hops(&net, 2, block(1)), [address(1).to_string()]);
    assert_eq!(hops(&net, 2, block(3)), Vec::<String>::new(), "non-client to non-client");
}

#[test]
fn rfc4456_8_two_reflectors_of_one_cluster_make_no_loop() {
    let mut net = Net::new(4);
    for hub in 0..2 {
        let mut config = config(hub, 64512);
        config.cluster_id = Some(ClusterId(9));
        peer_with(&mut config, 1 - hub, 64512);
        for node in 2..4 {
            peer_with(&mut config, node, 64512);
            config.peers.get_mut(&key(node)).unwrap().reflection = Reflection::Client;
        }
        net.add(vec![address(hub)], config);
    }
    for node in 2..4 {
        let mut config = client(node);
        peer_with(&mut config, 1, 64512);
        net.add(vec![address(node)], config);
    }
    net.run(seconds(10));
    assert_eq!(hops(&net, 2, block(3)), [address(3).to_string()]);
    let refused: Vec<_> = rows(&net, 0, BgpTable::Received)
        .into_iter()
        .filter(|row| row.reason.contains("own cluster id"))
        .map(|row| row.prefix)
        .collect();
    assert_eq!(refused, [block(2), block(3)], "what the other reflector reflects comes back marked");
    net.kill(3);
    net.run(seconds(300));
    assert_eq!(hops(&net, 2, block(3)), Vec::<String>::new(), "no reflector keeps the other's memory alive");
}

#[test]
fn without_reflection_internal_routes_are_told_to_nobody() {
    let mut net = Net::new(5);
    let mut hub = config(0, 64512);
    (1..=2).for_each(|node| peer_with(&mut hub, node, 64512));
    net.add(vec![address(0)], hub);
    add_clients(&mut net, 2);
    net.run(seconds(10));
    assert_eq!(hops(&net, 1, block(2)), Vec::<String>::new());
    assert_eq!(hops(&net, 1, block(0)), [address(0).to_string()]);
}

/// Nodes 0 and 1 in AS 64512, each with the router, node 2 in AS 65000, which tells everything to everybody.
fn two_nodes_behind_a_router(seed: u64) -> Net {
    let mut net = Net::new(seed);
    for node in 0..2 {
        let mut config = config(node, 64513 + node as u32);
        peer_with(&mut config, 2, 65000);
        net.add(vec![address(node)], config);
    }
    let mut router = config(2, 65000);
    router.originate =
        [(prefix("0.0.0.0/0"), Origination::default()), (prefix("192.0.2.0/24"), Origination::default())].into();
    for node in 0..2 {
        peer_with(&mut router, node, 64513 + node as u32);
        let peer = router.peers.get_mut(&key(node)).unwrap();
        (peer.export, peer.import) = (ExportPolicy::All, ImportPolicy::All);
    }
    net.add(vec![address(2)], router);
    net.run(seconds(10));
    net
}

#[test]
fn through_a_router_nodes_learn_each_others_blocks_but_no_default_route() {
    let net = two_nodes_behind_a_router(1);
    let expected: BTreeMap<String, Vec<String>> = [
        (block(1).to_string(), vec![address(2).to_string()]),
        ("192.0.2.0/24".to_string(), vec![address(2).to_string()]),
    ]
    .into();
    assert_eq!(net.node(0).beliefs(), expected);
    let default = rows(&net, 0, BgpTable::Received).into_iter().find(|row| row.prefix == prefix("0.0.0.0/0")).unwrap();
    assert_eq!(default.reason, "refused: a default route");
    assert!(rows(&net, 0, BgpTable::Accepted).iter().all(|row| row.prefix != prefix("0.0.0.0/0")));
}

#[test]
fn rfc8212_a_node_tells_an_external_peer_nothing_but_its_own() {
    let net = two_nodes_behind_a_router(2);
    let told: Vec<Prefix> = rows(&net, 0, BgpTable::Advertised).into_iter().map(|row| row.prefix).collect();
    assert_eq!(told, [block(0)]);
}

#[test]
fn rfc4271_9_1_2_a_path_with_our_own_as_is_refused_and_says_so() {
    let mut net = two_nodes_behind_a_router(3);
    net.configure(1, |config| config.local_as = asn(64513));
    net.configure(2, |config| {
        let mut peer = config.peers.remove(&key(1)).unwrap();
        peer.remote_as = asn(64513).into();
        config.peers.insert(key(1), peer);
    });
    net.run(seconds(60));
    let row = rows(&net, 0, BgpTable::Received).into_iter().find(|row| row.prefix == block(1)).unwrap();
    assert_eq!(row.reason, "refused: own AS in AS path (loop)");
    assert_eq!(hops(&net, 0, block(1)), Vec::<String>::new());
}

#[test]
fn an_external_peer_cannot_take_over_our_own_block() {
    let mut net = two_nodes_behind_a_router(4);
    net.configure(2, |config| {
        config.originate.insert(prefix("10.244.0.128/25"), Origination::default());
        config.originate.insert(prefix("10.244.0.0/16"), Origination::default());
    });
    net.run(seconds(1));
    let reason = |wanted: &str| {
        let rows = rows(&net, 0, BgpTable::Received);
        rows.into_iter().find(|row| row.prefix == prefix(wanted)).map(|row| row.reason).unwrap_or_default()
    };
    assert!(reason("10.244.0.128/25").starts_with("refused: inside what this node originates"));
    assert!(reason("10.244.0.0/16").starts_with("refused: a prefix of a pool"));
    assert_eq!(hops(&net, 1, prefix("10.244.0.128/25")), [address(2).to_string()], "node 1 may believe it");
}

#[test]
fn an_external_peer_cannot_take_over_a_block_that_we_keep_to_ourselves() {
    let mut net = two_nodes_behind_a_router(4);
    net.configure(0, |config| config.own = vec![prefix("10.9.0.0/24")]);
    net.configure(2, |config| drop(config.originate.insert(prefix("10.9.0.0/25"), Origination::default())));
    net.run(seconds(1));
    assert!(hops(&net, 0, prefix("10.9.0.0/25")).is_empty());
    assert_eq!(hops(&net, 1, prefix("10.9.0.0/25")), [address(2).to_string()]);
    net.configure(0, |config| config.own.clear());
    net.run(seconds(1));
    assert_eq!(hops(&net, 0, prefix("10.9.0.0/25")), [address(2).to_string()], "judged anew without a new session");
}

#[test]
fn equal_paths_of_two_routers_become_one_multipath_route() {
    let mut net = Net::new(6);
    let mut node = config(0, 64512);
    for router in 1..=2 {
        peer_with(&mut node, router, 65000 + router as u32);
    }
    net.add(vec![address(0)], node);
    for router in 1..=2 {
        let mut config = config(router, 65000 + router as u32);
        config.originate = [(prefix("192.0.2.0/24"), Origination::default())].into();
        peer_with(&mut config, 0, 64512);
        net.add(vec![address(router)], config);
    }
    net.run(seconds(10));
    let both = [address(1).to_string(), address(2).to_string()];
    assert_eq!(hops(&net, 0, prefix("192.0.2.0/24")), both);
    net.input(1, bgp::Input::Shutdown { message: String::new() });
    net.run(seconds(1));
    assert_eq!(hops(&net, 0, prefix("192.0.2.0/24")), [address(2).to_string()]);
}

#[test]
fn a_prefix_that_is_originated_or_no_longer_reaches_or_leaves_everybody_within_a_second() {
    let mut net = mesh(4, 7);
    net.configure(0, |config| drop(config.originate.insert(block(50), Origination::default())));
    net.run(seconds(1));
    (1..4).for_each(|node| assert_eq!(hops(&net, node, block(50)), [address(0).to_string()]));
    net.configure(0, |config| drop(config.originate.remove(&block(50))));
    net.run(seconds(1));
    (1..4).for_each(|node| assert_eq!(hops(&net, node, block(50)), Vec::<String>::new()));
    assert!(net.nodes().all(|(_, node)| node.established() == 3));
}

#[test]
fn communities_of_an_originated_prefix_arrive() {
    let mut net = mesh(2, 8);
    let how = Origination { communities: vec![64512 << 16 | 7], large_communities: vec![[64512, 1, 2]] };
    net.configure(0, |config| drop(config.originate.insert(block(50), how)));
    net.run(seconds(1));
    let row = rows(&net, 1, BgpTable::Best).into_iter().find(|row| row.prefix == block(50)).unwrap();
    assert_eq!((row.communities, row.large_communities), (vec!["64512:7".to_string()], vec!["64512:1:2".to_string()]));
}

#[test]
fn rfc1997_no_advertise_stays_and_no_export_stays_within_the_as() {
    let mut net = Net::new(9);
    let mut hub = reflector(1);
    peer_with(&mut hub, 2, 65000);
    peer_with(&mut hub, 3, 64512);
    hub.peers.get_mut(&key(3)).unwrap().reflection = Reflection::Client;
    net.add(vec![address(0)], hub);
    net.add(vec![address(1)], client(1));
    let mut router = config(2, 65000);
    peer_with(&mut router, 0, 64512);
    net.add(vec![address(2)], router);
    let mut marking = client(3);
    marking.originate.insert(block(50), Origination { communities: vec![0xffff_ff01], ..Origination::default() });
    marking.originate.insert(block(51), Origination { communities: vec![0xffff_ff02], ..Origination::default() });
    net.add(vec![address(3)], marking);
    net.run(seconds(10));
    assert_eq!(hops(&net, 0, block(51)), [address(3).to_string()], "its own neighbour is told, with the mark");
    assert_eq!(hops(&net, 1, block(50)), [address(3).to_string()]);
    assert!(hops(&net, 1, block(51)).is_empty() && hops(&net, 2, block(50)).is_empty());
    assert_eq!(hops(&net, 2, block(1)), [address(0).to_string()], "a client's block in a pool crosses the border");
    let told = rows(&net, 0, BgpTable::Advertised);
    let told = told.into_iter().find(|row| row.prefix == block(1) && row.peer == Some(address(2))).unwrap();
    assert_eq!((told.local_pref, told.originator_id), (None, None), "what is of the AS stays in the AS");
}

#[test]
fn a_changed_policy_is_told_without_a_session_reset() {
    let mut net = mesh(2, 10);
    let ups = |net: &Net| net.node(1).speaker.as_ref().unwrap().peers()[0].view.established_count;
    net.configure(0, |config| config.peers.get_mut(&key(1)).unwrap().export = ExportPolicy::Nothing);
    net.run(seconds(1));
    assert_eq!(hops(&net, 1, block(0)), Vec::<String>::new());
    net.configure(0, |config| config.peers.get_mut(&key(1)).unwrap().export = ExportPolicy::Originated);
    net.run(seconds(1));
    assert_eq!(hops(&net, 1, block(0)), [address(0).to_string()]);
    assert_eq!(ups(&net), 1);
}

#[test]
fn a_node_that_becomes_a_reflector_resets_no_session() {
    let mut net = Net::new(11);
    let mut hub = reflector(2);
    hub.cluster_id = None;
    net.add(vec![address(0)], hub);
    add_clients(&mut net, 2);
    net.run(seconds(5));
    assert_eq!(hops(&net, 1, block(2)), Vec::<String>::new());
    net.configure(0, |config| config.cluster_id = Some(ClusterId(1)));
    net.run(seconds(1));
    assert_eq!(hops(&net, 1, block(2)), [address(2).to_string()]);
    net.configure(0, |config| config.cluster_id = Some(ClusterId(2)));
    net.run(seconds(1));
    let row = rows(&net, 1, BgpTable::Received).into_iter().find(|row| row.prefix == block(2)).unwrap();
    assert_eq!(row.cluster_list, [ClusterId(2)], "told again in other words");
    assert!(net.nodes().all(|(_, node)| node.history.iter().filter(|c| c.state == Some(Established)).count() <= 2));
}

#[test]
fn next_hop_self_on_a_reflector_leads_traffic_through_it() {
    let mut net = Net::new(12);
    let mut hub = reflector(2);
    hub.peers.values_mut().for_each(|peer| peer.next_hop = NextHopMode::SelfAddress);
    net.add(vec![address(0)], hub);
    add_clients(&mut net, 2);
    net.run(seconds(5));
    assert_eq!(hops(&net, 1, block(2)), [address(0).to_string()]);
}

#[test]
fn rfc2918_a_route_refresh_tells_everything_again() {
    let mut net = mesh(2, 13);
    let updates = |net: &Net| net.node(0).speaker.as_ref().unwrap().peers()[0].counters.updates_in;
    let before = updates(&net);
    net.input(0, bgp::Input::Refresh { peer: key(1) });
    net.run(seconds(1));
    assert_eq!(updates(&net), before + 1);
    assert_eq!(hops(&net, 0, block(1)), [address(1).to_string()]);
}

#[test]
fn a_peer_that_never_reads_holds_nobody_up_and_is_let_go_after_the_send_hold_time() {
    let mut net = Net::new(14);
    let mut hub = reflector(3);
    hub.timers.outstanding = 2000;
    hub.timers.send_hold = seconds(100);
    net.add(vec![address(0)], hub);
    for node in 1..=3 {
        let mut config = client(node);
        config.peers.values_mut().for_each(|peer| peer.hold_time = seconds(0));
        net.add(vec![address(node)], config);
    }
    net.run(seconds(5));
    net.stop_reading(3);
    let mut most = 0;
    for round in 0..200u32 {
        net.configure(1, |config| {
            let new = Prefix::new(std::net::Ipv4Addr::from_bits(0xac10_0000 + (round << 8)).into(), 24).unwrap();
            config.originate.insert(
                new,
                Origination { communities: (0..50).map(|n| n + round).collect(), ..Origination::default() },
            );
        });
        net.run(std::time::Duration::from_millis(10));
        let speaker = net.node(0).speaker.as_ref().unwrap();
        most = most.max(speaker.peers().iter().map(|p| p.counters.outstanding).max().unwrap());
    }
    assert_eq!(net.node(2).kernel.len(), 203, "the others hear everything at once");
    assert!(most < 4000, "what waits for the one that does not read is bounded: {most}");
    net.run(seconds(110));
    let reason = net.node(0).reason(key(3));
    assert_ne!(net.node(0).state(key(3)), Some(Established), "{reason}");
    assert_eq!(net.faults, Vec::<String>::new());
}

#[test]
fn a_slow_reader_hears_in_the_end_exactly_what_is_true() {
    let mut net = Net::new(15);
    let mut hub = reflector(3);
    hub.timers.outstanding = 500;
    net.add(vec![address(0)], hub);
    add_clients(&mut net, 3);
    net.run(seconds(5));
    net.stop_reading(3);
    let new = |n: u32| Prefix::new(std::net::Ipv4Addr::from_bits(0xac10_0000 + (n << 8)).into(), 24).unwrap();
    for n in 0..100 {
        let communities = (0..20).map(|c| c + n).collect();
        net.configure(1, |config| {
            config.originate.insert(new(n), Origination { communities, ..Origination::default() });
            if n % 2 == 1 {
                config.originate.remove(&new(n - 1));
            }
        });
        net.run(std::time::Duration::from_millis(5));
    }
    net.configure(1, |config| config.originate.retain(|prefix, _| *prefix != new(99)));
    net.run(seconds(1));
    net.read_again(3);
    net.run(seconds(5));
    let mut expected = net.node(2).beliefs();
    expected.remove(&block(3).to_string());
    let mut heard = net.node(3).beliefs();
    heard.remove(&block(2).to_string());
    assert_eq!(heard, expected);
    assert!(heard.contains_key(&new(97).to_string()) && !heard.contains_key(&new(98).to_string()));
    assert_eq!(net.node(3).established(), 1);
}

#[test]
fn pages_of_routes_are_whole_ordered_and_complete() {
    let mut net = mesh(2, 16);
    net.configure(0, |config| {
        for n in 0..2500u32 {
            let new = Prefix::new(std::net::Ipv4Addr::from_bits(0xac10_0000 + (n << 8)).into(), 24).unwrap();
            config.originate.insert(new, Origination::default());
        }
    });
    net.run(seconds(2));
    let speaker = net.node(1).speaker.as_ref().unwrap();
    let mut question = BgpRoutes { table: BgpTable::Received, peer: Some(address(0)), within: None, after: None };
    let mut all = Vec::new();
    loop {
        let page = speaker.routes(&question);
        assert!(page.routes.len() <= 1000);
        all.extend(page.routes.into_iter().map(|row| row.prefix));
        question.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 2501);
    assert!(all.is_sorted());
    question.within = Some(prefix("172.16.1.0/24"));
    assert_eq!(speaker.routes(&question).routes.len(), 1);
}

#[test]
fn why_names_the_step_that_decided() {
    let mut net = Net::new(17);
    let mut node = config(0, 64512);
    peer_with(&mut node, 1, 65001);
    peer_with(&mut node, 2, 64512);
    net.add(vec![address(0)], node);
    for (other, own) in [(1, 65001), (2, 64512)] {
        let mut config = config(other, own);
        config.originate = [(prefix("192.0.2.0/24"), Origination::default())].into();
        peer_with(&mut config, 0, 64512);
        net.add(vec![address(other)], config);
    }
    net.run(seconds(5));
    let why = net.node(0).speaker.as_ref().unwrap().why(prefix("192.0.2.0/24")).unwrap();
    let reasons: Vec<_> = why.paths.iter().map(|path| (path.peer, path.reason.clone())).collect();
    assert_eq!(
        reasons,
        [
            (Some(address(2)), "best: shorter AS path".to_string()),
            (Some(address(1)), "not best: another path has the shorter AS path".to_string())
        ]
    );
    assert_eq!(why.verdict, "of 2 paths the one from 10.0.0.3 is best: shorter AS path");
}
