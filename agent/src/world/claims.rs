//! Whose the leases are that were read back from the kernel: its links say no pod's name, but are named after their pods.

use std::collections::BTreeMap;

use ipam::Lease;
use model::object::Pod;
use model::{NodeName, PodRef, pod_link};

/// The pods of this node that have a link, by the name of their first.
#[derive(Debug, Default)]
pub struct Claims {
    pods: BTreeMap<String, PodRef>,
}

impl Claims {
    /// A pod is there, or is another than before. Whether it may have links here.
    pub fn learn(&mut self, pod: &Pod, node: &NodeName) -> bool {
        let reference = pod.reference();
        let is_here = pod.node.as_ref() == Some(node) && !pod.host_network;
        match is_here {
            true => _ = self.pods.insert(pod_link::name(Some(&reference), ""), reference),
            false => self.forget(&reference),
        }
        is_here
    }

    /// A pod is there no more: it claims nothing, and keeps what it has claimed until its lease ends.
    pub fn forget(&mut self, pod: &PodRef) {
        self.pods.remove(&pod_link::name(Some(pod), ""));
    }

    /// Whose a lease is that lacks its pod.
    pub fn owner(&self, lease: &Lease) -> Option<&PodRef> {
        if !lease.lacks_its_pod() {
            return None;
        }
        let further = || self.pods.values().find(|pod| lease.has_link_of(Some(pod)));
        self.pods.get(&lease.host_interface).or_else(further)
    }
}
