//! Being in another AS towards one peer (RFC 7705), and paths with our own AS in them.
#![allow(clippy::unwrap_used)]

mod sim_support;

use bgp::config::{ExportPolicy, ImportPolicy};
use bgp::sim::Net;
use model::Prefix;
use model::api::show::SessionState::Established;
use model::api::show::{AsPathItem, BgpRoutes, BgpTable, PeerView, RouteView};
use sim_support::{address, asn, block, config, key, peer_with, seconds};

fn received(net: &Net, node: usize, from: usize, of: Prefix) -> RouteView {
    let question = BgpRoutes { table: BgpTable::Received, peer: Some(address(from)), within: Some(of), after: None };
    net.node(node).speaker.as_ref().unwrap().routes(&question).routes.pop().unwrap()
}

fn path(row: &RouteView) -> Vec<u32> {
    let number = |item: &AsPathItem| match item {
        AsPathItem::As(asn) => asn.value(),
        AsPathItem::Set(_) => 0,
    };
    row.as_path.iter().map(number).collect()
}

fn view(net: &Net, node: usize, of: usize) -> PeerView {
    let peers = net.node(node).speaker.as_ref().unwrap().peers();
    peers.into_iter().find(|peer| peer.key == key(of)).unwrap().view
}

/// Node 0 in AS 64512, which is in `local_as` towards router 1; the router expects that.
fn migrating(local_as: u32, router_as: u32) -> Net {
    let mut net = Net::new(1);
    let mut node = config(0, 64512);
    peer_with(&mut node, 1, router_as);
    node.peers.get_mut(&key(1)).unwrap().local_as = Some(asn(local_as));
    net.add(vec![address(0)], node);
    let mut router = config(1, router_as);
    peer_with(&mut router, 0, local_as);
    net.add(vec![address(1)], router);
    net.run(seconds(10));
    net
}

#[test]
fn rfc7705_the_open_and_the_path_carry_the_local_as_of_the_peer_and_nothing_of_the_nodes_own() {
    for local_as in [65100, 4_200_000_000] {
        let net = migrating(local_as, 65001);
        assert_eq!(net.node(1).state(key(0)), Some(Established), "the router was told {local_as}");
        assert_eq!(path(&received(&net, 1, 0, block(0))), [local_as]);
        assert_eq!(view(&net, 0, 1).local_as, asn(local_as), "as margayctl shows it");
    }
}

#[test]
fn rfc7705_a_peer_in_the_same_as_as_the_local_one_is_internal() {
    let net = migrating(65001, 65001);
    let row = received(&net, 1, 0, block(0));
    assert_eq!((path(&row), row.local_pref), (vec![], Some(100)));
}

#[test]
fn a_change_of_the_local_as_resets_this_session_and_no_other() {
    let mut net = migrating(65100, 65001);
    net.configure(0, |config| peer_with(config, 2, 65002));
    let mut other = config(2, 65002);
    peer_with(&mut other, 0, 64512);
    net.add(vec![address(2)], other);
    net.run(seconds(10));
    net.configure(0, |config| config.peers.get_mut(&key(1)).unwrap().local_as = None);
    net.configure(1, |config| config.peers.get_mut(&key(0)).unwrap().remote_as = asn(64512).into());
    net.run(seconds(60));
    assert_eq!(path(&received(&net, 1, 0, block(0))), [64512]);
    assert_eq!((view(&net, 0, 1).established_count, view(&net, 0, 2).established_count), (2, 1));
}

/// Nodes 0 and 2, both in AS 64512, on two sides of router 1 in AS 65001, which passes everything on.
fn two_racks() -> Net {
    let mut net = Net::new(1);
    for node in [0, 2] {
        let mut config = config(node, 64512);
        peer_with(&mut config, 1, 65001);
        net.add(vec![address(node)], config);
        if node == 0 {
            let mut router = sim_support::config(1, 65001);
            for node in [0, 2] {
                peer_with(&mut router, node, 64512);
                let peer = router.peers.get_mut(&key(node)).unwrap();
                (peer.export, peer.import) = (ExportPolicy::All, ImportPolicy::All);
            }
            net.add(vec![address(1)], router);
        }
    }
    net.run(seconds(10));
    net
}

fn allow(net: &mut Net, times: u8) {
    net.configure(0, |config| config.peers.get_mut(&key(1)).unwrap().allowed_own_as = times);
    net.run(seconds(1));
}

#[test]
fn rfc4271_9_1_2_our_own_as_in_a_path_is_a_loop_unless_so_many_are_allowed() {
    let mut net = two_racks();
    let refused = received(&net, 0, 1, block(2));
    assert_eq!(path(&refused), [65001, 64512]);
    assert_eq!(refused.reason, "refused: own AS in AS path (loop)");
    assert!(!net.node(0).kernel.contains_key(&block(2)));

    allow(&mut net, 1);
    assert!(net.node(0).kernel.contains_key(&block(2)), "the other rack is reached through the router");
    assert_eq!(received(&net, 0, 1, block(2)).reason, "best: only path");

    allow(&mut net, 0);
    assert!(!net.node(0).kernel.contains_key(&block(2)));
    assert_eq!(view(&net, 0, 1).established_count, 1, "what is stored is judged anew: no session ends for it");
}

#[test]
fn as_many_as_are_allowed_pass_and_one_more_does_not() {
    let mut net = two_racks();
    let twice = "apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata: {name: f}\nspec: {exportV4: [{action: \
                 Accept, operations: [{prependASPath: {prefix: [64512]}}]}]}";
    let filter = match model::object::parse("f.yaml", twice).documents.pop() {
        Some(model::object::Document::Object(found)) => match found.object {
            model::object::Object::BgpFilter(filter) => filter,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    net.configure(1, |config| {
        let filters = model::filter::Filters::new([("f", Some(&filter))].into_iter());
        config.peers.get_mut(&key(0)).unwrap().filters = filters;
    });
    net.run(seconds(1));
    assert_eq!(path(&received(&net, 0, 1, block(2))), [65001, 64512, 64512]);
    for (allowed, there) in [(1, false), (2, true), (1, false), (255, true)] {
        allow(&mut net, allowed);
        assert_eq!(net.node(0).kernel.contains_key(&block(2)), there, "{allowed} allowed");
    }
}

#[test]
fn both_the_nodes_as_and_the_local_one_are_loops() {
    for (local_as, of_others) in [(65100, 65100), (65100, 64512)] {
        let mut net = Net::new(1);
        let mut node = config(0, 64512);
        peer_with(&mut node, 1, 65001);
        node.peers.get_mut(&key(1)).unwrap().local_as = Some(asn(local_as));
        net.add(vec![address(0)], node);
        let mut router = config(1, 65001);
        peer_with(&mut router, 0, local_as);
        peer_with(&mut router, 2, of_others);
        for peer in router.peers.values_mut() {
            (peer.export, peer.import) = (ExportPolicy::All, ImportPolicy::All);
        }
        net.add(vec![address(1)], router);
        let mut other = config(2, of_others);
        peer_with(&mut other, 1, 65001);
        net.add(vec![address(2)], other);
        net.run(seconds(10));
        assert_eq!(received(&net, 0, 1, block(2)).reason, "refused: own AS in AS path (loop)", "{of_others}");
    }
}
