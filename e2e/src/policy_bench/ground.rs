//! Where the bench takes place: a node with two pods, by hand, as the shim would plumb them.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::ip;
use crate::netns::Netns;

/// The pods' interfaces on the node and their addresses; the first sends.
pub const PODS: [(&str, Ipv4Addr); 2] =
    [("calireal-sender", Ipv4Addr::new(10, 60, 0, 1)), ("calireal-taker", Ipv4Addr::new(10, 60, 0, 2))];

/// The MAC address of the node's sides.
const NODE_SIDE: &str = "ee:ee:ee:ee:ee:ee";

/// The node and its pods; gone with the value.
#[derive(Debug)]
pub struct Ground {
    /// The node.
    pub node: Netns,
    /// Its pods.
    pub pods: [Netns; 2],
}

impl Ground {
    /// Builds it.
    pub fn new(prefix: &str) -> Result<Self> {
        let node = Netns::named(format!("{prefix}-n1"));
        let pods = [1, 2].map(|number| Netns::named(format!("{prefix}-p{number}")));
        let ground = Self { node, pods };
        ground.remove(); // what a run that was killed left behind
        let names = [&ground.node, &ground.pods[0], &ground.pods[1]].map(Netns::name);
        ip::batch(&names.map(|name| format!("netns add {name}")))?;
        ground.node.sysctl(&[("ipv4/ip_forward", "1")])?;
        // Without a single address the kernel takes every neighbour for the broadcast address.
        ip::batch_in(&ground.node, &["link set lo up".into()])?;
        for ((link, address), pod) in PODS.iter().zip(&ground.pods) {
            ip::batch(&[format!("link add {link} netns {} type veth peer name eth0 netns {}", names[0], pod.name())])?;
            let lines =
                [format!("link set {link} address {NODE_SIDE} up"), format!("route add {address}/32 dev {link}")];
            ip::batch_in(&ground.node, &lines)?;
            let lines = [
                "link set lo up".to_owned(),
                "link set eth0 up".into(),
                format!("addr add {address}/32 dev eth0"),
                "route add 169.254.1.1 dev eth0 scope link".into(),
                "route add default via 169.254.1.1".into(),
                format!("neigh add 169.254.1.1 lladdr {NODE_SIDE} dev eth0 nud permanent"),
            ];
            ip::batch_in(pod, &lines)?;
        }
        Ok(ground)
    }

    fn remove(&self) {
        let there = [&self.node, &self.pods[0], &self.pods[1]].into_iter().filter(|netns| netns.exists());
        let lines: Vec<String> = there.map(|netns| format!("netns del {}", netns.name())).collect();
        ip::batch(&lines).ok();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.remove();
    }
}
