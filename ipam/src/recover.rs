//! Leases read back from the kernel, for an agent that has lost its journal: the links and routes of running pods say it all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::api::Attachment;
use model::pod_link;

use crate::lease::{Lease, Plumbed, Record, unclaimed};

/// The host side of a pod, as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodLink {
    /// `IFLA_IFNAME`, `cali…`.
    pub name: String,
    /// `ifi_index`.
    pub ifindex: u32,
    /// `IFLA_MTU`, in octets.
    pub mtu: u32,
    /// Whose it is and of which network, if its alias says so ([`pod_link::parse_mark`]).
    pub owner: Option<(Attachment, String)>,
    /// Destinations of its /32 and /128 routes of scope link (IPv6: without gateway), link-local ones left out.
    pub addresses: Vec<IpAddr>,
}

impl PodLink {
    /// The host side that the kernel shows: name, index, MTU, alias, destinations of its host routes.
    pub fn new(name: &str, ifindex: u32, mtu: u32, alias: Option<&str>, addresses: Vec<IpAddr>) -> PodLink {
        PodLink { name: name.into(), ifindex, mtu, owner: alias.and_then(pod_link::parse_mark), addresses }
    }

    /// Does it belong to this lease? By its mark if it has one, else by its name.
    pub fn is_of(&self, lease: &Lease) -> bool {
        self.name == lease.host_interface
            && self.owner.as_ref().is_none_or(|(attachment, _)| lease.is_unclaimed() || *attachment == lease.attachment)
    }
}

/// What was made of the kernel's links.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Leases, none of which shares an address with another.
    pub records: Vec<Record>,
    /// What could not be taken over, and why.
    pub left_out: Vec<String>,
}

/// One lease per link that has addresses. No address is given to two: the first link by name keeps it.
pub fn recover(links: &[PodLink]) -> Recovery {
    let mut links: Vec<&PodLink> = links.iter().filter(|link| pod_link::is_pod_link(&link.name)).collect();
    links.sort_by(|a, b| a.name.cmp(&b.name));
    let mut recovery = Recovery::default();
    let mut seen = BTreeSet::new();
    let mut owners = BTreeSet::new();
    for link in links {
        let (fresh, doubled): (Vec<IpAddr>, Vec<IpAddr>) = link.addresses.iter().partition(|&&a| seen.insert(a));
        for address in doubled {
            recovery.left_out.push(format!("{address} of {}: another link has it too", link.name));
        }
        if fresh.is_empty() {
            recovery.left_out.push(format!("{}: no route to a pod's address leads there", link.name));
            continue;
        }
        let owner = link.owner.clone().filter(|(attachment, _)| owners.insert(attachment.clone()));
        let (attachment, network) = owner.unwrap_or_else(|| (unclaimed(&link.name), String::new()));
        recovery.records.push(Record::Lease(Lease {
            attachment,
            network,
            pod: None,
            uid: None,
            netns: String::new(),
            host_interface: link.name.clone(),
            addresses: fresh,
            mtu: link.mtu,
            since: 0,
            plumbed: Some(Plumbed { host_ifindex: link.ifindex, mac: String::new() }),
        }));
    }
    recovery
}
