//! A change of the configuration in place comes to what a fresh speaker would have come to, and resets no session that
//! it need not.
#![allow(clippy::unwrap_used)]

mod sim_support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgp::change::{Class, PEER_FIELDS, SPEAKER_FIELDS, changes};
use bgp::config::{
    AsPathEquality, Dialling, ExportPolicy, ImportPolicy, Interface, Multipath, NextHopMode, Origination, Reflection,
    Secret,
};
use bgp::sim::Net;
use bgp::{PeerConfig, PeerKey, SpeakerConfig};
use model::api::show::{BgpRoutes, BgpTable, SessionState};
use model::filter::Filters;
use model::object::{BgpFilter, Document, Object, parse};
use model::{ClusterId, Family, Prefix};
use proptest::prelude::*;
use sim_support::{address, asn, block, config, key, peer_with, seconds};

/// Node 0 is the one that changes; the others, two of its own AS and two routers, stay as they are.
const NODES: usize = 5;
const ASES: [u32; NODES] = [64512, 64512, 64512, 65001, 65002];

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn filter(name: &str, spec: &str) -> BgpFilter {
    let text =
        format!("apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata: {{name: {name}}}\nspec: {{{spec}}}");
    match parse("f.yaml", &text).documents.pop() {
        Some(Document::Object(found)) => match found.object {
            Object::BgpFilter(filter) => filter,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

const FILTERS: [&str; 6] = [
    "importV4: [{action: Accept, cidr: 0.0.0.0/0, matchOperator: Equal}]",
    "importV4: [{action: Reject, cidr: 192.0.2.0/24, matchOperator: In}]",
    "importV4: [{action: Accept, cidr: 192.0.2.0/24, matchOperator: In, operations: [{addCommunity: {value: '1:2'}}]}]",
    "exportV4: [{action: Reject, source: RemotePeers}]",
    "exportV4: [{action: Accept, cidr: 192.0.2.0/24, matchOperator: In, operations: [{addCommunity: {value: '3:4'}}]}]",
    "exportV4: [{action: Accept, interface: eth1}], importV4: [{action: Reject, interface: eth0}]",
];

fn filters(picked: &[usize]) -> Filters {
    let all: Vec<BgpFilter> =
        FILTERS.iter().enumerate().map(|(number, spec)| filter(&format!("f{number}"), spec)).collect();
    let named: Vec<(&str, Option<&BgpFilter>)> =
        picked.iter().map(|&number| (["a", "b", "c", "d", "e", "f"][number], all.get(number))).collect();
    Filters::new(named.into_iter())
}

prop_compose! {
    fn a_peer(node: usize)(
        hold in prop_oneof![Just(90u64), Just(30)],
        name in prop_oneof![Just("one"), Just("other")],
        next_hop in prop_oneof![Just(NextHopMode::Auto), Just(NextHopMode::SelfAddress), Just(NextHopMode::Keep)],
        password in prop::option::weighted(0.1, Just("hunter2")),
        client in any::<bool>(),
        import in prop_oneof![Just(ImportPolicy::Safe), Just(ImportPolicy::All)],
        export in prop_oneof![Just(ExportPolicy::Originated), Just(ExportPolicy::All), Just(ExportPolicy::Nothing)],
        passive in prop::bool::weighted(0.1),
        both_families in prop::bool::weighted(0.8),
        picked in prop::collection::vec(0..FILTERS.len(), 0..3),
        remote_as in prop::bool::weighted(0.05),
    ) -> PeerConfig {
        let mut peer = PeerConfig::new(name, asn(if remote_as { 65099 } else { ASES[node] }));
        peer.hold_time = seconds(hold);
        (peer.next_hop, peer.import, peer.export) = (next_hop, import, export);
        peer.password = password.map(Secret::new);
        peer.reflection = if client { Reflection::Client } else { Reflection::None };
        peer.dial = if passive { Dialling::Passive } else { Dialling::Active };
        if !both_families {
            peer.families = vec![Family::Ipv4];
        }
        peer.filters = filters(&picked);
        peer
    }
}

prop_compose! {
    fn a_configuration()(
        peers in (1..NODES).map(|node| prop::option::weighted(0.9, a_peer(node))).collect::<Vec<_>>(),
        cluster in prop::option::of(1u32..3),
        originated in prop::collection::btree_map(0usize..3, any::<bool>(), 0..3),
        own in prop::sample::subsequence(prefixes(&["10.244.0.0/24", "10.250.1.0/24"]), 0..=2),
        pools in prop::sample::subsequence(prefixes(&["10.244.0.0/16", "10.250.0.0/16"]), 0..=2),
        links in prop::sample::subsequence(vec![("10.0.0.0/24", "eth0"), ("10.0.0.4/30", "eth1")], 0..=2),
        paths in prop_oneof![Just(1usize), Just(2), Just(16)],
        strict in any::<bool>(),
        local_as in prop::bool::weighted(0.05),
    ) -> SpeakerConfig {
        let mut config = SpeakerConfig::new(config(0, 1).router_id, asn(if local_as { 64999 } else { ASES[0] }));
        for (node, peer) in peers.into_iter().enumerate().filter_map(|(n, peer)| Some((n + 1, peer?))) {
            config.peers.insert(key(node), peer);
        }
        config.cluster_id = cluster.map(ClusterId);
        for (number, marked) in originated {
            let communities = if marked { vec![7] } else { Vec::new() };
            config.originate.insert(block(number * 10), Origination { communities, ..Origination::default() });
        }
        (config.own, config.pools) = (own, pools);
        let link = |(subnet, name): (&str, &str)| Interface { subnet: subnet.parse().unwrap(), name: name.into() };
        config.interfaces = links.into_iter().map(link).collect();
        let as_path = if strict { AsPathEquality::NeighborAs } else { AsPathEquality::Relaxed };
        config.multipath = Multipath { limit: paths, as_path };
        config
    }
}

/// Node 0 with this configuration among the others, and time to settle.
fn network(seed: u64, subject: &SpeakerConfig) -> Net {
    let mut net = Net::new(seed);
    net.add(vec![address(0)], subject.clone());
    for (node, local_as) in ASES.into_iter().enumerate().skip(1) {
        let mut other = config(node, local_as);
        peer_with(&mut other, 0, ASES[0]);
        let peer = other.peers.get_mut(&key(0)).unwrap();
        (peer.export, peer.import) = (ExportPolicy::All, ImportPolicy::All);
        let marked = Origination { communities: vec![node as u32], ..Origination::default() };
        for prefix in prefixes(&["0.0.0.0/0", "192.0.2.0/24", "10.250.1.0/26", "10.244.0.0/25", "10.250.9.0/24"]) {
            if !(usize::from(prefix.length()) + node).is_multiple_of(3) {
                other.originate.insert(prefix, marked.clone());
            }
        }
        net.add(vec![address(node)], other);
    }
    net.run(seconds(60));
    net
}

/// Everything that anybody believes, has heard and has told, with the reasons.
fn tables(net: &Net) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, node) in net.nodes() {
        let speaker = node.speaker.as_ref().unwrap();
        for table in [BgpTable::Received, BgpTable::Accepted, BgpTable::Best, BgpTable::Advertised] {
            let page = speaker.routes(&BgpRoutes { table, peer: None, within: None, after: None });
            assert!(page.next.is_none());
            lines.extend(page.routes.into_iter().map(|row| format!("node {id} {table:?} {row:?}")));
        }
        lines.extend(node.beliefs().into_iter().map(|belief| format!("node {id} kernel {belief:?}")));
    }
    lines
}

/// What node 0 tells each of its peers.
fn told(net: &Net) -> BTreeMap<IpAddr, BTreeMap<Prefix, String>> {
    let question = BgpRoutes { table: BgpTable::Advertised, peer: None, within: None, after: None };
    let mut told: BTreeMap<IpAddr, BTreeMap<Prefix, String>> = BTreeMap::new();
    for mut row in net.node(0).speaker.as_ref().unwrap().routes(&question).routes {
        row.reason.clear(); // which rule let it pass is nothing that the peer hears
        let line = format!("{row:?}");
        told.entry(row.peer.unwrap()).or_default().insert(row.prefix, line);
    }
    told
}

/// With whom, in which state, how often established, how many UPDATEs sent.
type Session = (IpAddr, SessionState, u64, u64);

/// The sessions of node 0.
fn sessions(net: &Net) -> Vec<Session> {
    let peers = net.node(0).speaker.as_ref().unwrap().peers();
    peers
        .iter()
        .map(|p| (p.view.peer_address, p.view.state, p.view.established_count, p.counters.updates_out))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_change_in_place_ends_where_a_fresh_speaker_ends_and_resets_only_what_it_must(
        seed in any::<u64>(),
        old in a_configuration(),
        new in a_configuration(),
        keep in prop::collection::vec(any::<bool>(), 16),
    ) {
        let new = partly(&old, &new, &keep);
        let mut net = network(seed, &old);
        let before = sessions(&net);
        let (told_before, kernel_before) = (told(&net), net.node(0).beliefs());
        let rehearsal = net.node(0).speaker.clone().unwrap().rehearse(net.now(), new.clone());
        net.configure(0, |config| *config = new.clone());
        net.run(seconds(300));
        let after = sessions(&net);
        let fresh = network(seed, &new);
        let (now, expected): (BTreeSet<String>, BTreeSet<String>) =
            (tables(&net).into_iter().collect(), tables(&fresh).into_iter().collect());
        let changes = changes(&old, &new);
        prop_assert_eq!(
            now.symmetric_difference(&expected).collect::<Vec<_>>(), Vec::<&String>::new(), "after {:#?}", changes
        );
        prop_assert_eq!(&net.faults, &Vec::<String>::new());
        let up = |sessions: &[Session]| -> BTreeSet<IpAddr> {
            sessions.iter().filter(|s| s.1 == SessionState::Established).map(|s| s.0).collect()
        };
        let stays = |peer: &IpAddr| !changes.removed.contains(&PeerKey::new(*peer));
        if changes.added.is_empty() && up(&after) == up(&before).into_iter().filter(stays).collect() {
            let told_after = told(&net);
            for (key, peer) in &rehearsal.peers {
                let of = |told: &BTreeMap<IpAddr, BTreeMap<Prefix, String>>| told.get(&key.address).cloned().unwrap_or_default();
                let (was, is) = (of(&told_before), of(&told_after));
                let (one, other): (Vec<Prefix>, Vec<Prefix>) = is.keys().partition(|prefix| !was.contains_key(prefix));
                prop_assert_eq!(peer.announced.first.iter().copied().collect::<Vec<_>>(), one, "{} {:#?}", key, changes);
                let altered: Vec<Prefix> = other.into_iter().filter(|prefix| was[prefix] != is[prefix]).collect();
                prop_assert_eq!(peer.altered.first.iter().copied().collect::<Vec<_>>(), altered, "{} {:#?}", key, changes);
                let gone: Vec<Prefix> = was.keys().filter(|prefix| !is.contains_key(prefix)).copied().collect();
                prop_assert_eq!(peer.withdrawn.first.iter().copied().collect::<Vec<_>>(), gone, "{} {:#?}", key, changes);
            }
            let mut kernel = kernel_before;
            for (prefix, best) in &rehearsal.best {
                match best {
                    Some(best) => {
                        let hops = best.next_hops.iter().map(|hop| hop.address.to_string()).collect();
                        kernel.insert(prefix.to_string(), hops);
                    }
                    None => {
                        kernel.remove(&prefix.to_string());
                    }
                }
            }
            prop_assert_eq!(kernel, net.node(0).beliefs(), "{:#?}", changes);
        }
        let hot = changes.added.is_empty() && changes.removed.is_empty()
            && changes.fields.iter().all(|change| change.class == Class::Hot);
        for (address, state, count, updates) in before {
            let Some(then) = after.iter().find(|session| session.0 == address) else { continue };
            let reset = changes.of_peer(PeerKey::new(address)).any(|change| change.class == Class::Reset);
            if state == SessionState::Established && !reset {
                prop_assert_eq!((then.1, then.2), (state, count), "{} after {:#?}", address, changes);
            }
            if state == SessionState::Established && reset {
                prop_assert!(then.1 != state || then.2 == count + 1, "{} after {:#?}", address, changes);
            }
            if hot {
                prop_assert_eq!(then.3, updates, "an UPDATE to {} after {:#?}", address, changes);
            }
        }
    }
}

/// The new configuration in some of its fields only, for most changes are small.
fn partly(old: &SpeakerConfig, new: &SpeakerConfig, keep: &[bool]) -> SpeakerConfig {
    let mut mixed = new.clone();
    let kept = |number: usize| keep[number];
    if kept(0) {
        mixed.cluster_id = old.cluster_id
    }
    if kept(1) {
        mixed.originate = old.originate.clone()
    }
    if kept(2) {
        mixed.own = old.own.clone()
    }
    if kept(3) {
        mixed.pools = old.pools.clone()
    }
    if kept(4) {
        mixed.interfaces = old.interfaces.clone()
    }
    if kept(5) {
        mixed.multipath = old.multipath
    }
    if kept(6) {
        mixed.peers = old.peers.clone()
    }
    for (key, peer) in &mut mixed.peers {
        let Some(before) = old.peers.get(key) else { continue };
        if kept(7) {
            peer.filters = before.filters.clone()
        }
        if kept(8) {
            peer.reflection = before.reflection
        }
        if kept(9) {
            peer.export = before.export
        }
        if kept(10) {
            peer.import = before.import
        }
        if kept(11) {
            peer.next_hop = before.next_hop
        }
        if kept(12) {
            (peer.password, peer.remote_as) = (before.password.clone(), before.remote_as)
        }
        if kept(13) {
            peer.families = before.families.clone()
        }
    }
    mixed
}

#[test]
fn what_identifies_enables_or_authenticates_a_session_resets_it_and_nothing_else_does() {
    let resets = |fields: &[bgp::change::Field]| -> Vec<&str> {
        fields.iter().filter(|field| field.class == Class::Reset).map(|field| field.name).collect()
    };
    // One a line, in order of the alphabet.
    let identity = "
        add_path
        extended_next_hop
        families
        local_address
        local_as
        password
        remote_as
        role
        ttl_security
    ";
    let mut found = resets(PEER_FIELDS);
    found.sort_unstable();
    assert_eq!(found, identity.split_whitespace().collect::<Vec<_>>());
    assert_eq!(resets(SPEAKER_FIELDS), ["router_id", "local_as"]);
}

/// Node 0 between two of its own AS and two routers, whom it tells everything.
fn transit() -> SpeakerConfig {
    let mut config = config(0, ASES[0]);
    for (node, remote_as) in ASES.into_iter().enumerate().skip(1) {
        peer_with(&mut config, node, remote_as);
        config.peers.get_mut(&key(node)).unwrap().export = ExportPolicy::All;
    }
    config
}

/// How many UPDATEs each peer of node 0 is sent because of a change.
fn updates_by(change: impl FnOnce(&mut SpeakerConfig)) -> Vec<u64> {
    let mut net = network(1, &transit());
    let before = sessions(&net);
    net.configure(0, change);
    net.run(seconds(10));
    sessions(&net).iter().zip(before).map(|(after, before)| after.3 - before.3).collect()
}

#[test]
fn a_peer_that_is_told_the_same_in_another_group_hears_nothing() {
    // The next hop towards an external peer is this node in either mode.
    let told = updates_by(|config| config.peers.get_mut(&key(3)).unwrap().next_hop = NextHopMode::SelfAddress);
    assert_eq!(told, [0, 0, 0, 0]);
}

#[test]
fn a_peer_with_another_export_filter_hears_the_difference_and_the_others_nothing() {
    let told = updates_by(|config| config.peers.get_mut(&key(3)).unwrap().filters = filters(&[4]));
    assert_eq!(told, [0, 0, 1, 0]);
}

#[test]
fn a_new_own_prefix_has_nothing_else_told_again() {
    let told = updates_by(|config| {
        config.originate.insert(block(77), Origination::default());
    });
    assert_eq!(told, [1, 1, 1, 1]);
}
