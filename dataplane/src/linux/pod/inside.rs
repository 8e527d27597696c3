//! The pod's side of its link: addresses, the gateway, routes. Runs inside the pod's namespace.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::message::{Requests, is_link_local};
use super::{PodError, PodWant};
use crate::linux::netlink::Netlink;
use crate::linux::sysctl::SysctlError;

/// `lo` is the first link of every namespace.
const LOOPBACK: u32 = 1;

pub(super) fn furnish(netlink: &mut Netlink, want: &PodWant, index: u32) -> Result<(), PodError> {
    if want.has_ipv6() {
        allow_ipv6(&want.ifname)?;
    }
    let mut requests = Requests::new();
    requests.up(LOOPBACK, None, "lo in the pod");
    requests.up(index, None, &want.ifname);
    for &address in &want.plan.addresses {
        requests.address(address, index);
    }
    let gateways: BTreeSet<IpAddr> = want.plan.routes.iter().map(|route| route.gateway).collect();
    for gateway in gateways {
        requests.gateway_neighbour(gateway, index);
        if gateway.is_ipv4() || !is_link_local(gateway) {
            requests.gateway_route(gateway, index);
        }
    }
    for route in &want.plan.routes {
        requests.pod_route(route.destination, route.gateway, index);
    }
    // What is there already was put there by an interrupted call, or, a default route, by an earlier interface of the pod's.
    requests.run(netlink, &[libc::EEXIST]).map(|_| ())
}

/// A runtime may start a pod with IPv6 switched off; a pod that gets an IPv6 address needs it. No duplicate address detection:
/// it would keep the pod silent for its first second.
fn allow_ipv6(ifname: &str) -> Result<(), PodError> {
    let conf = Path::new("/proc/sys/net/ipv6/conf");
    // A new link has what is set for all: if it is allowed there, it is allowed.
    if !is_zero(&conf.join(ifname).join("disable_ipv6"))? {
        for name in ["all", "lo", ifname] {
            let path = conf.join(name).join("disable_ipv6");
            fs::write(&path, "0").map_err(|error| sysctl(&path, "write \"0\"", error))?;
        }
    }
    let path = conf.join(ifname).join("accept_dad");
    fs::write(&path, "0").map_err(|error| sysctl(&path, "write \"0\"", error).into())
}

fn is_zero(path: &Path) -> Result<bool, SysctlError> {
    fs::read_to_string(path).map(|value| value.trim_end() == "0").map_err(|error| sysctl(path, "read", error))
}

fn sysctl(path: &Path, doing: &str, error: std::io::Error) -> SysctlError {
    SysctlError { path: PathBuf::from(path), doing: format!("{doing} (in the pod)"), error }
}
