//! Leaks: where leases, links and pools disagree.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::api::Attachment;
use serde::Serialize;

use crate::leases::{Leases, describe};
use crate::release::Living;
use crate::space::{Openness, Space};

/// One disagreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// About which address, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// About which lease, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// About which link, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// For a person: what is wrong, and what becomes of it.
    pub reason: String,
}

/// Kinds of disagreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingKind {
    /// An address is held, but the pod's link is not there.
    LeaseWithoutLink,
    /// An address is held, but the pod's namespace is not there.
    LeaseWithoutNamespace,
    /// A pod's link stands, but nobody holds an address for it.
    LinkWithoutLease,
    /// The kernel sends an address to another link than the lease says, or to several.
    DoubledAddress,
    /// The address lies in no pod CIDR of this node within a pool.
    OutsidePools,
    /// The address lies in a pool that gives none now.
    ClosedPool,
}

impl Leases {
    /// Everything that does not fit together. Pure: looks, changes nothing.
    pub fn check(&self, space: &Space, living: &Living) -> Vec<Finding> {
        let mut findings = Vec::new();
        for lease in self.iter() {
            let finding = |kind, address, reason| Finding {
                kind,
                address,
                attachment: Some(lease.attachment.clone()),
                link: Some(lease.host_interface.clone()),
                reason,
            };
            let who = describe(lease);
            if !living.links.iter().any(|link| link.is_of(lease)) {
                let reason =
                    format!("{who} has no link {}; the lease ends with the next reconcile", lease.host_interface);
                findings.push(finding(FindingKind::LeaseWithoutLink, None, reason));
            }
            if living.missing_netns.contains(&lease.netns) {
                let reason = format!("{who}: there is no namespace {}", lease.netns);
                findings.push(finding(FindingKind::LeaseWithoutNamespace, None, reason));
            }
            for &address in &lease.addresses {
                match space.block_of(address).map(|block| (&block.openness, &block.pool)) {
                    None => {
                        let reason = format!("{who}: {address} is in no pod CIDR of this node within a pool");
                        findings.push(finding(FindingKind::OutsidePools, Some(address), reason));
                    }
                    Some((Openness::Closed(why), pool)) => {
                        let reason = format!("{who}: {address} is of pool {pool}: {why}");
                        findings.push(finding(FindingKind::ClosedPool, Some(address), reason));
                    }
                    Some(_) => {}
                }
            }
        }
        findings.extend(self.check_links(living));
        findings.sort_by(|a, b| {
            (a.kind, &a.attachment, &a.link, a.address).cmp(&(b.kind, &b.attachment, &b.link, b.address))
        });
        findings
    }

    fn check_links(&self, living: &Living) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut routed: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
        for link in &living.links {
            if !self.iter().any(|lease| link.is_of(lease)) {
                let reason = format!("{} stands, but no lease is for it", link.name);
                findings.push(Finding {
                    kind: FindingKind::LinkWithoutLease,
                    address: None,
                    attachment: link.owner.as_ref().map(|(attachment, _)| attachment.clone()),
                    link: Some(link.name.clone()),
                    reason,
                });
            }
            for &address in &link.addresses {
                routed.entry(address).or_default().push(&link.name);
            }
        }
        for (address, links) in routed {
            let held_by = self.holder(address);
            let strays = links.iter().any(|&link| held_by.is_some_and(|lease| lease.host_interface != link));
            if links.len() > 1 || strays {
                let lease = held_by.map(describe).unwrap_or_else(|| "nobody".into());
                findings.push(Finding {
                    kind: FindingKind::DoubledAddress,
                    address: Some(address),
                    attachment: held_by.map(|lease| lease.attachment.clone()),
                    link: links.first().map(|link| link.to_string()),
                    reason: format!("{address} is held by {lease}, but is routed to {}", links.join(", ")),
                });
            }
        }
        findings
    }
}
