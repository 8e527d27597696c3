//! Packets between pods of one bridge, which rules see only where the kernel is told to show them.

use dataplane::linux::sysctl;

/// Has packets that a bridge forwards meet the rules for those that are routed, where the kernel has `br_netfilter`.
pub fn see_bridged_packets() {
    for name in ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables"] {
        if let Err(error) = sysctl::set(name, "1") {
            tracing::warn!(%error, "pods of one bridge may reach each other past their policies: is br_netfilter loaded?");
        }
    }
}
