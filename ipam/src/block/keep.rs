//! Addresses that stay with a pod's name: kept while the pod is away, taken over by the node where it comes back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::object::{AllocationAttribute, IpamBlockSpec};
use model::{Family, PodRef, Prefix};

use super::edit::{self, Holding};
use super::picture::{Picture, is_stock};
use super::plan::{Drafts, Op, Wants};

/// The handle of what is kept for a pod, before `<namespace>.<pod>`.
pub const KEEP_HANDLE: &str = "margay-keep.";
/// The pod that has it now: `metadata.uid`.
pub const KEPT_UID: &str = "podUID";
/// How long it is kept once the pod is gone, in seconds.
const KEPT_FOR: &str = "keepSeconds";
/// Since when the pod is gone, in seconds since the Unix epoch.
const GONE_SINCE: &str = "goneSince";

/// A pod on this node that is to have the address it had elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which pod.
    pub pod: PodRef,
    /// `metadata.uid`: this very pod, not its namesake before it.
    pub uid: String,
    /// How long the address stays when the pod is gone, in seconds.
    pub keep_seconds: u64,
    /// Pools it may have an address from, in order.
    pub pools: Vec<Prefix>,
}

impl Kept {
    /// Its handle.
    pub fn handle(pod: &PodRef) -> String {
        format!("{KEEP_HANDLE}{}.{}", pod.namespace, pod.name)
    }

    fn holding(&self, node: &str) -> Holding {
        let entry = |key: &str, value: &str| (key.to_string(), value.to_string());
        Holding {
            handle: Kept::handle(&self.pod),
            secondary: BTreeMap::from([
                entry("node", node),
                entry("namespace", &self.pod.namespace),
                entry("pod", &self.pod.name),
                entry(KEPT_UID, &self.uid),
                entry(KEPT_FOR, &self.keep_seconds.to_string()),
            ]),
        }
    }
}

/// Brings kept addresses here, or begins to keep one. What has to be read first is added to `ops`.
pub(super) fn bring(picture: &Picture, wants: &Wants, drafts: &mut Drafts, ops: &mut Vec<Op>) {
    for kept in &wants.keeps {
        let handle = Kept::handle(&kept.pod);
        let Some(blocks) = picture.handles.get(&handle) else {
            ops.push(Op::ReadHandle(handle));
            continue;
        };
        // Also one that the last survey did not see: it may be younger. One that is not there leaves the handle when that is
        // told.
        let unread: Vec<Prefix> = blocks.keys().filter(|cidr| !picture.blocks.contains_key(*cidr)).copied().collect();
        if !unread.is_empty() {
            ops.extend(unread.into_iter().map(Op::ReadBlock));
            continue;
        }
        let holding = kept.holding(&wants.node);
        for family in Family::ALL {
            if !kept.pools.iter().any(|pool| pool.family() == family) {
                continue;
            }
            match find(drafts, &handle, family) {
                Some((cidr, ordinal)) => hand_over(drafts, &cidr, ordinal, &holding),
                None => begin(wants, kept, family, drafts, &holding),
            }
        }
    }
}

fn find(drafts: &Drafts, handle: &str, family: Family) -> Option<(Prefix, usize)> {
    let of_family = drafts.iter().filter(|(cidr, _)| cidr.family() == family);
    let of_handle = |spec: &IpamBlockSpec| {
        let found = spec.held().find(|(_, attribute)| attribute.handle_id.as_deref() == Some(handle));
        found.map(|(ordinal, _)| ordinal)
    };
    of_family.filter_map(|(cidr, spec)| Some((*cidr, of_handle(spec)?))).next()
}

fn hand_over(drafts: &mut Drafts, cidr: &Prefix, ordinal: usize, holding: &Holding) {
    if let Some(spec) = drafts.get_mut(cidr)
        && spec.holder(ordinal).is_some_and(|attribute| !holding.is(attribute))
    {
        edit::give(spec, ordinal, holding);
    }
}

/// The first address of this pod's: one from the stock, which from now on is no stock.
fn begin(wants: &Wants, kept: &Kept, family: Family, drafts: &mut Drafts, holding: &Holding) {
    for pool in kept.pools.iter().filter(|pool| pool.family() == family) {
        for (_, spec) in drafts.iter_mut().filter(|(cidr, _)| pool.covers(cidr)) {
            let free = |(ordinal, attribute): &(usize, &AllocationAttribute)| {
                let ours = is_stock(attribute) && attribute.node() == Some(wants.node.as_str());
                ours && spec.address(*ordinal).is_some_and(|address| !wants.holds.contains_key(&address))
            };
            let ordinal = spec.held().find(free).map(|(ordinal, _)| ordinal);
            if let Some(ordinal) = ordinal {
                return edit::give(spec, ordinal, holding);
            }
        }
    }
}

/// Lets go what was kept long enough for pods that are gone, and writes down since when one is.
pub(super) fn expire(wants: &Wants, spec: &mut IpamBlockSpec) {
    let here = |attribute: &AllocationAttribute| {
        let handle = attribute.handle_id.as_deref().unwrap_or_default();
        handle.starts_with(KEEP_HANDLE) && attribute.node().is_some_and(|node| wants.cares_for(node))
    };
    let kept: Vec<(usize, IpAddr, Holding)> = spec
        .held()
        .filter(|(_, attribute)| here(attribute))
        .filter_map(|(ordinal, attribute)| {
            let handle = attribute.handle_id.clone()?;
            Some((ordinal, spec.address(ordinal)?, Holding { handle, secondary: attribute.secondary.clone() }))
        })
        .collect();
    for (ordinal, address, mut holding) in kept {
        let wanted = wants.keeps.iter().any(|kept| Kept::handle(&kept.pod) == holding.handle);
        if wanted || wants.holds.contains_key(&address) {
            continue;
        }
        let number = |key: &str| holding.secondary.get(key).and_then(|text| text.parse::<u64>().ok());
        let kept_for = number(KEPT_FOR).unwrap_or(0);
        match number(GONE_SINCE) {
            None => {
                holding.secondary.insert(GONE_SINCE.into(), wants.unix_seconds.to_string());
                edit::give(spec, ordinal, &holding);
            }
            Some(since) if wants.unix_seconds.saturating_sub(since) >= kept_for => edit::release(spec, ordinal),
            Some(_) => {}
        }
    }
}
