//! `pod list`.

use model::api::show::PodView;

use crate::output::{Detail, column, columns, joined, wide};

/// The list.
pub fn list(pods: &[PodView], detail: Detail) -> String {
    if pods.is_empty() {
        return "No pods on this node.\n".to_string();
    }
    columns(
        pods,
        detail,
        &[
            column("NAMESPACE", |p: &PodView| p.namespace.clone()),
            column("NAME", |p: &PodView| p.name.clone()),
            column("ADDRESSES", |p: &PodView| joined(&p.addresses)),
            column("LINK", |p: &PodView| p.interface.clone()),
            column("STATE", |p: &PodView| p.state.word().to_string()),
            wide("MTU", |p: &PodView| p.mtu.to_string()),
            wide("IFNAME", |p: &PodView| p.ifname.clone()),
            wide("CONTAINER", |p: &PodView| p.container_id.clone()),
            wide("NETWORK", |p: &PodView| p.network.clone()),
            wide("NETNS", |p: &PodView| p.netns.clone()),
            column("REASON", |p: &PodView| p.reason.clone()),
        ],
    )
}
