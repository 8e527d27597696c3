//! The host side of a pod's link: its settings and the routes to the pod.

use std::net::IpAddr;
use std::path::Path;

use model::{Prefix, kernel};
use netlink_packet_route::AddressFamily;

use super::message::Requests;
use super::seen;
use super::{Pair, PodError, PodWant};
use crate::actual::ActualRoute;
use crate::linux::netlink::{NLM_F_EXCL, NLM_F_REPLACE, Netlink};
use crate::linux::sysctl::SysctlError;

/// Settings of the host side, as Calico has them, and why.
pub(super) fn settings(want: &PodWant) -> Vec<(String, &'static str)> {
    let link = &want.plan.host_interface;
    let mut settings = vec![
        // The node answers for every address the pod asks for: it is the pod's only neighbour.
        (format!("ipv4/conf/{link}/proxy_arp"), "1"),
        // At once: the kernel's default is a random wait of up to 0.8 s.
        (format!("ipv4/neigh/{link}/proxy_delay"), "0"),
        (format!("ipv4/conf/{link}/forwarding"), "1"),
        (format!("ipv4/conf/{link}/route_localnet"), "1"),
    ];
    if Path::new("/proc/sys/net/ipv6").exists() {
        settings.push((format!("ipv6/conf/{link}/accept_ra"), "0"));
        if want.has_ipv6() {
            settings.push((format!("ipv6/conf/{link}/disable_ipv6"), "0"));
            settings.push((format!("ipv6/conf/{link}/accept_dad"), "0"));
            settings.push((format!("ipv6/conf/{link}/proxy_ndp"), "1"));
            settings.push((format!("ipv6/conf/{link}/forwarding"), "1"));
        }
    }
    settings
}

/// Written without a look first: the link is new, its settings are the kernel's defaults.
pub(super) fn settle(want: &PodWant) -> Result<(), PodError> {
    for (key, value) in settings(want) {
        let path = Path::new("/proc/sys/net").join(key);
        std::fs::write(&path, value).map_err(|error| SysctlError { path, doing: format!("write {value:?}"), error })?;
    }
    Ok(())
}

pub(super) fn raise(netlink: &mut Netlink, want: &PodWant, index: u32) -> Result<(), PodError> {
    let mut requests = Requests::new();
    requests.up(index, want.mark.as_deref(), &want.plan.host_interface);
    if want.has_ipv6() {
        requests.gateway_address(index);
    }
    let mut positions = Vec::new();
    for &address in &want.plan.addresses {
        positions.push((requests.host_route(address, index, NLM_F_EXCL), address));
    }
    let replies = requests.run(netlink, &[libc::EEXIST])?;
    let taken = positions.into_iter().filter(|(position, _)| replies.refusal(*position).is_some());
    let taken: Vec<IpAddr> = taken.map(|(_, address)| address).collect();
    if taken.is_empty() { Ok(()) } else { replace(netlink, &taken, index) }
}

pub(super) fn introduce(netlink: &mut Netlink, want: &PodWant, pair: &Pair) -> Result<(), PodError> {
    let mut requests = Requests::new();
    requests.settle_carrier(pair.host_ifindex, &want.plan.host_interface);
    // A pod's kernel takes an IPv6 address into use a moment after it was added: what came until then would be lost, where a
    // node that asks keeps it.
    for &address in want.plan.addresses.iter().filter(|address| address.is_ipv4()) {
        requests.pod_neighbour(address, pair.mac, pair.host_ifindex);
    }
    requests.run(netlink, &[]).map(|_| ())
}

/// Routes that exist already: ours (of this link, or of one about to go) are replaced, another's are not.
fn replace(netlink: &mut Netlink, taken: &[IpAddr], index: u32) -> Result<(), PodError> {
    let mut requests = Requests::new();
    for &address in taken {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let routes = seen::routes(netlink, family, None)
            .map_err(|error| PodError::Netlink { doing: format!("look at the routes to {address}"), error })?;
        let rival = |route: &&ActualRoute| {
            route.prefix == Prefix::host(address)
                && route.metric == kernel::ROUTE_METRIC
                && route.protocol != kernel::ROUTE_PROTOCOL
        };
        if let Some(rival) = routes.iter().find(rival) {
            let device = seen::next_hops(rival).first().and_then(|hop| hop.device);
            let by = device.map_or("nowhere".to_string(), |device| format!("link {device}"));
            let protocol = rival.protocol;
            return Err(PodError::Foreign(format!(
                "a route to {address} by {by} exists, of protocol {protocol}, not ours; it is left alone"
            )));
        }
        requests.host_route(address, index, NLM_F_REPLACE);
    }
    requests.run(netlink, &[]).map(|_| ())
}
