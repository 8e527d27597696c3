//! Who gets which address, and why; when a lease ends; what does not fit together.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use common::{ask, attachment, detach, link, pod, space};
use ipam::{FindingKind, IpamError, Leases, Living, Openness, PodLink};
use model::Time;
use model::api::{Gc, RefusalCode};

/// Decides and applies, as the ledger does.
fn attach(leases: &mut Leases, ask: &ipam::Ask, space: &ipam::Space) -> Result<Vec<String>, IpamError> {
    let decision = leases.attach(ask, space)?;
    for record in decision.records {
        leases.apply(record);
    }
    Ok(decision.lease.addresses.iter().map(|a| a.to_string()).collect())
}

fn release(leases: &mut Leases, container: &str) -> ipam::Released {
    let released = leases.release(&detach(container));
    for record in released.records.clone() {
        leases.apply(record);
    }
    released
}

fn addresses(leases: &mut Leases, space: &ipam::Space, containers: &[&str]) -> Vec<String> {
    containers.iter().flat_map(|c| attach(leases, &ask(c), space).unwrap()).collect()
}

#[test]
fn a_pod_gets_one_address_of_each_family_and_the_same_again() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/29", "fd00::/120"]);
    assert_eq!(attach(&mut leases, &ask("a"), &space).unwrap(), ["10.1.0.0", "fd00::"]);
    let again = leases.attach(&ask("a"), &space).unwrap();
    assert!(again.reused && again.records.is_empty());
    assert_eq!(again.reason, "this container and interface already have a lease");
    assert_eq!(attach(&mut leases, &ask("b"), &space).unwrap(), ["10.1.0.1", "fd00::1"]);
}

#[test]
fn the_address_that_is_free_the_longest_is_given_next() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/30"]);
    assert_eq!(addresses(&mut leases, &space, &["a", "b", "c"]), ["10.1.0.0", "10.1.0.1", "10.1.0.2"]);
    release(&mut leases, "b");
    release(&mut leases, "a");
    assert_eq!(addresses(&mut leases, &space, &["d", "e", "f"]), ["10.1.0.3", "10.1.0.1", "10.1.0.0"]);
}

#[test]
fn a_pod_in_a_new_sandbox_gets_a_new_address_until_the_old_one_is_deleted() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/29"]);
    let old = pod("old", "nginx", None);
    let new = pod("new", "nginx", None);
    assert_ne!(attach(&mut leases, &old, &space).unwrap(), attach(&mut leases, &new, &space).unwrap());
    let released = release(&mut leases, "old");
    assert_eq!(released.leases.len(), 1);
    assert_eq!(released.links, Vec::<String>::new(), "the link is the new sandbox's");
    assert_eq!(release(&mut leases, "new").links.len(), 1);
}

#[test]
fn an_exhausted_pool_says_how_full_it_is() {
    let mut leases = Leases::default();
    let mut space = space(&["10.1.0.0/31", "fd00::/120"]);
    space.reserved.insert("10.1.0.0".parse().unwrap());
    assert_eq!(attach(&mut leases, &ask("a"), &space).unwrap()[0], "10.1.0.1", "the reserved one is passed over");
    let error = leases.attach(&ask("b"), &space).unwrap_err();
    assert_eq!(error.to_string(), "no ipv4 address is free: 10.1.0.0/31 of pool pool-0: 1 of 2 held");
    assert_eq!(error.refusal_code(), RefusalCode::TryAgain);
}

#[test]
fn a_pool_is_chosen_by_name_or_cidr_and_a_closed_one_gives_nothing() {
    let mut leases = Leases::default();
    let mut space = space(&["10.1.0.0/29", "10.2.0.0/29", "10.3.0.0/29"]);
    space.blocks[1].openness = Openness::Named("nodeSelector does not match".into());
    space.blocks[2].openness = Openness::Closed("pool is disabled".into());
    let wanting = |container: &str, pools: &str| {
        let mut ask = ask(container);
        ask.annotations.ipv4_pools = Some(pools.into());
        ask
    };
    assert_eq!(attach(&mut leases, &wanting("a", "[\"pool-1\"]"), &space).unwrap(), ["10.2.0.0"]);
    assert_eq!(attach(&mut leases, &wanting("b", "[\"10.2.0.0/29\"]"), &space).unwrap(), ["10.2.0.1"]);
    let error = leases.attach(&wanting("c", "[\"pool-2\"]"), &space).unwrap_err();
    assert_eq!(error.to_string(), "cni.projectcalico.org/ipv4pools: pool pool-2: pool is disabled");
    let error = leases.attach(&wanting("c", "[\"none\"]"), &space).unwrap_err();
    assert_eq!(error.to_string(), "cni.projectcalico.org/ipv4pools: no pod CIDR of this node lies in a pool none");
    assert_eq!(error.refusal_code(), RefusalCode::Invalid);
    space.blocks.truncate(0);
    let error = leases.attach(&ask("d"), &space).unwrap_err().to_string();
    assert_eq!(error, "no address to give: no pod CIDR of this node lies within an IP pool");
}

#[test]
fn a_named_address_is_given_if_it_is_free_and_ours() {
    let mut leases = Leases::default();
    let mut space = space(&["10.1.0.0/29"]);
    space.reserved.insert("10.1.0.1".parse().unwrap());
    let naming = |container: &str, addresses: &str| pod(container, container, Some(addresses));
    assert_eq!(attach(&mut leases, &naming("a", "[\"10.1.0.5\"]"), &space).unwrap(), ["10.1.0.5"]);
    let error = leases.attach(&naming("b", "[\"10.1.0.5\"]"), &space).unwrap_err();
    assert_eq!(error.to_string(), "10.1.0.5 (cni.projectcalico.org/ipAddrs) is held by pod default/a (container a)");
    let error = leases.attach(&naming("b", "[\"10.9.0.5\"]"), &space).unwrap_err().to_string();
    assert!(error.contains("not in a pod CIDR of this node within a pool"), "{error}");
    let error = leases.attach(&naming("b", "[\"10.1.0.1\"]"), &space).unwrap_err().to_string();
    assert!(error.contains("reserved for the node itself"), "{error}");
    // The same pod in a new sandbox: its fixed address follows it.
    let mut again = naming("a2", "[\"10.1.0.5\"]");
    again.attach.pod = naming("a", "").attach.pod;
    assert_eq!(attach(&mut leases, &again, &space).unwrap(), ["10.1.0.5"]);
    assert_eq!(leases.len(), 1);
}

#[test]
fn a_second_interface_of_a_container_has_its_own_lease_and_link() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/29"]);
    let first = pod("a", "nginx", None);
    let mut second = first.clone();
    second.attach.attachment.ifname = "net1".into();
    attach(&mut leases, &first, &space).unwrap();
    attach(&mut leases, &second, &space).unwrap();
    let links: BTreeSet<&str> = leases.iter().map(|lease| lease.host_interface.as_str()).collect();
    assert_eq!(links.len(), 2);
    assert_eq!(release(&mut leases, "a").links.len(), 1);
    assert_eq!(leases.len(), 1);
}

#[test]
fn gc_ends_the_leases_of_its_network_that_are_not_listed() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/29"]);
    addresses(&mut leases, &space, &["a", "b"]);
    let mut other = ask("c");
    other.attach.network = "other".into();
    attach(&mut leases, &other, &space).unwrap();
    let released = leases.release_absent(&Gc { network: "pods".into(), valid: vec![attachment("a")] });
    let ended: Vec<&str> = released.leases.iter().map(|(l, _)| l.attachment.container_id.as_str()).collect();
    assert_eq!(ended, ["b"]);
}

#[test]
fn a_lease_whose_link_is_gone_ends_after_its_grace_and_at_once_if_its_namespace_is_gone() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/29"]);
    addresses(&mut leases, &space, &["alive", "deleted", "pending", "rebooted"]);
    for container in ["alive", "deleted", "rebooted"] {
        let plumbed = ipam::Plumbed { host_ifindex: 7, mac: String::new() };
        let record = leases.plumbed(&attachment(container), &plumbed).unwrap();
        leases.apply(record);
    }
    let links = vec![link(leases.of(&attachment("alive")).unwrap())];
    let missing_netns = BTreeSet::from(["/run/netns/rebooted".to_string()]);
    let living = Living { links, missing_netns };
    let ended = |leases: &mut Leases, seconds: u64| {
        let released = leases.reconcile(&living, Time::from_micros(seconds * 1_000_000));
        for record in released.records.clone() {
            leases.apply(record);
        }
        released.leases.into_iter().map(|(l, why)| format!("{}: {why}", l.attachment.container_id)).collect::<Vec<_>>()
    };
    let first = ended(&mut leases, 100);
    assert_eq!(first.len(), 1);
    assert!(first[0].starts_with("rebooted: neither its link cali"), "{first:?}");
    assert!(leases.awaits_reconcile());
    assert_eq!(ended(&mut leases, 104), Vec::<String>::new());
    assert!(ended(&mut leases, 105)[0].starts_with("deleted: its link cali"));
    assert_eq!(ended(&mut leases, 159), Vec::<String>::new());
    assert!(ended(&mut leases, 160)[0].starts_with("pending: its link cali"));
    assert_eq!(ended(&mut leases, 1000), Vec::<String>::new());
    assert!(!leases.awaits_reconcile());
    assert_eq!(leases.len(), 1);
}

#[test]
fn another_containers_link_of_the_same_name_does_not_keep_a_lease_alive() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/29"]);
    attach(&mut leases, &pod("old", "nginx", None), &space).unwrap();
    attach(&mut leases, &pod("new", "nginx", None), &space).unwrap();
    let links = vec![link(leases.of(&attachment("new")).unwrap())];
    let living = Living { links, ..Living::default() };
    leases.reconcile(&living, Time::START);
    let released = leases.reconcile(&living, Time::from_micros(60_000_000));
    let ended: Vec<&str> = released.leases.iter().map(|(l, _)| l.attachment.container_id.as_str()).collect();
    assert_eq!(ended, ["old"]);
    assert!(released.links.is_empty());
}

#[test]
fn check_finds_each_kind_of_disagreement() {
    let mut leases = Leases::default();
    let space = space(&["10.1.0.0/29"]);
    addresses(&mut leases, &space, &["a", "b"]);
    let a = link(leases.of(&attachment("a")).unwrap());
    let b = link(leases.of(&attachment("b")).unwrap());
    let kinds = |space: &ipam::Space, links: Vec<PodLink>, missing: &[&str]| {
        let missing_netns = missing.iter().map(|path| path.to_string()).collect();
        let findings = leases.check(space, &Living { links, missing_netns });
        findings.into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    let all = || vec![a.clone(), b.clone()];
    assert_eq!(kinds(&space, all(), &[]), []);
    assert_eq!(kinds(&space, vec![a.clone()], &[]), [FindingKind::LeaseWithoutLink]);
    assert_eq!(kinds(&space, all(), &["/run/netns/a"]), [FindingKind::LeaseWithoutNamespace]);
    let stray = PodLink::new("cali00000000000", 9, 1500, None, vec!["10.1.0.7".parse().unwrap()]);
    assert_eq!(kinds(&space, vec![a.clone(), b.clone(), stray], &[]), [FindingKind::LinkWithoutLease]);
    let mut doubled = b.clone();
    doubled.addresses.extend(a.addresses.clone());
    assert_eq!(kinds(&space, vec![a.clone(), doubled], &[]), [FindingKind::DoubledAddress]);
    assert_eq!(kinds(&common::space(&["10.7.0.0/29"]), all(), &[]), [FindingKind::OutsidePools; 2]);
    let mut closed = space.clone();
    closed.blocks[0].openness = Openness::Closed("pool is disabled".into());
    assert_eq!(kinds(&closed, all(), &[]), [FindingKind::ClosedPool; 2]);
}

#[test]
fn usage_counts_and_an_address_tells_whose_it_is() {
    let mut leases = Leases::default();
    let mut space = space(&["10.1.0.0/29", "fd00::/64"]);
    space.reserved.insert("10.1.0.7".parse().unwrap());
    attach(&mut leases, &pod("a", "nginx", None), &space).unwrap();
    let usage = leases.usage(&space);
    assert_eq!((usage[0].size, usage[0].used, usage[0].reserved, usage[0].free), (8, 1, 1, 6));
    assert_eq!((usage[1].size, usage[1].used), (u64::MAX, 1));
    let whose = |address: &str| leases.whose(address.parse().unwrap(), &space).reason;
    assert_eq!(whose("10.1.0.0"), "held by pod default/nginx (container a)");
    assert_eq!(whose("10.1.0.1"), "free");
    assert_eq!(whose("10.1.0.7"), "reserved for the node itself");
    assert_eq!(whose("192.0.2.1"), "in no pod CIDR of this node within a pool");
}
