//! Pods, pools and links in few words.
#![allow(dead_code)]

use ipam::{Annotations, Ask, Block, Lease, Openness, PodLink, Space};
use model::PodRef;
use model::api::{Attach, Attachment, Detach};

pub fn attachment(container: &str) -> Attachment {
    Attachment { container_id: container.into(), ifname: "eth0".into() }
}

/// A container without a pod, in network `pods`.
pub fn ask(container: &str) -> Ask {
    Ask {
        attach: Attach {
            attachment: attachment(container),
            netns: format!("/run/netns/{container}"),
            pod: None,
            uid: None,
            mtu: None,
            network: "pods".into(),
            addresses: Vec::new(),
        },
        annotations: Annotations::default(),
        mtu: 1500,
        unix_seconds: 1_700_000_000,
    }
}

pub fn pod(container: &str, name: &str, ip_addrs: Option<&str>) -> Ask {
    let mut ask = ask(container);
    ask.attach.pod = Some(PodRef { namespace: "default".into(), name: name.into() });
    ask.annotations.ip_addrs = ip_addrs.map(str::to_string);
    ask
}

pub fn detach(container: &str) -> Detach {
    Detach { attachment: attachment(container), pod: None, network: "pods".into() }
}

/// Blocks `pool-0`, `pool-1`, …
pub fn space(blocks: &[&str]) -> Space {
    let block = |(n, text): (usize, &&str)| {
        let prefix = text.parse().unwrap();
        Block { prefix, pool: format!("pool-{n}"), pool_cidr: prefix, openness: Openness::Open, stock: None }
    };
    Space { blocks: blocks.iter().enumerate().map(block).collect(), ..Space::default() }
}

/// The link that a lease's shim would have made.
pub fn link(lease: &Lease) -> PodLink {
    let mark = model::pod_link::mark(&lease.attachment, &lease.network);
    PodLink::new(&lease.host_interface, 7, lease.mtu, mark.as_deref(), lease.addresses.clone())
}
