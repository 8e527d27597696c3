//! What Calico's CNI plugin writes on pods, for tools that read it there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipam::Lease;
use model::PodRef;
use model::object::Pod;

use crate::world::World;

/// Annotation: the pod's first address with its prefix length. Calico `cni.projectcalico.org/podIP`.
const POD_IP: &str = "cni.projectcalico.org/podIP";
/// Annotation: all its addresses, separated by commas.
const POD_IPS: &str = "cni.projectcalico.org/podIPs";
/// Annotation: the sandbox that has them.
const CONTAINER_ID: &str = "cni.projectcalico.org/containerID";

/// What is to be written on a pod: only what its object does not say yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodReport {
    /// `metadata.uid`: a pod of the same name that comes later is another.
    pub uid: Option<String>,
    /// Annotations that differ, as they should be.
    pub annotations: BTreeMap<&'static str, String>,
}

/// The pods of this node whose annotations are not as their leases say. A pod that has lost its lease keeps empty ones,
/// as Calico leaves them: an address that another may have by now is no longer named.
pub(super) fn reports(world: &World) -> impl Iterator<Item = (PodRef, PodReport)> {
    world.objects.pods().filter(|pod| !pod.host_network).filter_map(|pod| {
        let reference = pod.reference();
        let lease = world.leases.iter().find(|lease| is_main(lease, &reference));
        let annotations = differing(pod, lease);
        (!annotations.is_empty()).then(|| (reference, PodReport { uid: pod.meta.uid.clone(), annotations }))
    })
}

/// The lease of a pod's own network, plumbed already.
fn is_main(lease: &Lease, pod: &PodRef) -> bool {
    lease.pod.as_ref() == Some(pod) && lease.plumbed.is_some() && lease.attachment.ifname == "eth0"
}

fn differing(pod: &Pod, lease: Option<&Lease>) -> BTreeMap<&'static str, String> {
    let wanted = match lease {
        Some(lease) => {
            let addresses: Vec<String> = lease.addresses.iter().map(with_length).collect();
            let first = addresses.first().cloned().unwrap_or_default();
            [(POD_IP, first), (POD_IPS, addresses.join(",")), (CONTAINER_ID, lease.attachment.container_id.clone())]
        }
        None => [(POD_IP, String::new()), (POD_IPS, String::new()), (CONTAINER_ID, String::new())],
    };
    let written = |key: &str| pod.meta.annotations.get(key).map(String::as_str).unwrap_or_default();
    wanted.into_iter().filter(|(key, value)| written(key) != value).collect()
}

fn with_length(address: &IpAddr) -> String {
    model::Prefix::host(*address).to_string()
}
