//! What ADD answers, in the shape of each version of the spec, and what CHECK reads back of it.

use std::net::IpAddr;

use model::Prefix;
use model::api::AttachPlan;
use serde_json::{Map, Value, json};

use crate::config::Version;

/// A plumbed pod, to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plumbed<'a> {
    /// As planned.
    pub plan: &'a AttachPlan,
    /// Name of the pod's side.
    pub ifname: &'a str,
    /// MAC address of the pod's side, as text.
    pub mac: &'a str,
    /// Path of the pod's namespace.
    pub netns: &'a str,
}

/// A MAC address as text.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

/// The result of an ADD. What plugins before us in the chain said is kept, ours follows.
pub fn add(version: Version, plumbed: &Plumbed<'_>, previous: Option<&Map<String, Value>>) -> Value {
    let list = |key: &str| previous.and_then(|p| p.get(key)).and_then(Value::as_array).cloned().unwrap_or_default();
    let (mut interfaces, mut ips, mut routes) = (list("interfaces"), list("ips"), list("routes"));
    let plan = plumbed.plan;
    let pod_index = interfaces.len() + 1;
    interfaces.push(interface(version, plan, &plan.host_interface, &mac_text(model::kernel::POD_LINK_MAC), None));
    interfaces.push(interface(version, plan, plumbed.ifname, plumbed.mac, Some(plumbed.netns)));
    for &address in &plan.addresses {
        let mut ip = json!({ "address": Prefix::host(address).to_string(), "interface": pod_index });
        if version < Version::V1_0_0 {
            // Removed with 1.0.0: the address tells.
            ip["version"] = json!(if address.is_ipv4() { "4" } else { "6" });
        }
        ips.push(ip);
    }
    for route in &plan.routes {
        routes.push(json!({ "dst": route.destination.to_string(), "gw": route.gateway.to_string() }));
    }
    let dns = previous.and_then(|p| p.get("dns")).filter(|dns| dns.is_object()).cloned();
    json!({
        "cniVersion": version.as_str(),
        "interfaces": interfaces,
        "ips": ips,
        "routes": routes,
        "dns": dns.unwrap_or_else(|| json!({})),
    })
}

fn interface(version: Version, plan: &AttachPlan, name: &str, mac: &str, sandbox: Option<&str>) -> Value {
    let mut interface = json!({ "name": name, "mac": mac });
    if version >= Version::V1_1_0 {
        interface["mtu"] = json!(plan.mtu);
    }
    if let Some(sandbox) = sandbox {
        interface["sandbox"] = json!(sandbox);
    }
    interface
}

/// Where an earlier result of ours and the plan as it stands disagree. Interfaces and addresses of other plugins are theirs to check.
pub fn differences(previous: &Map<String, Value>, plan: &AttachPlan, ifname: &str, netns: &str) -> Vec<String> {
    let mut differences = Vec::new();
    let list = |key: &str| previous.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |interface: &Value, key: &str| interface.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let interfaces = list("interfaces");
    let host = interfaces.iter().any(|i| of(i, "name") == plan.host_interface && of(i, "sandbox").is_empty());
    if !host {
        differences.push(format!("prevResult has no interface {} on the host", plan.host_interface));
    }
    let pod = interfaces.iter().position(|i| of(i, "name") == ifname && !of(i, "sandbox").is_empty());
    match pod.and_then(|at| interfaces.get(at)) {
        None => differences.push(format!("prevResult has no interface {ifname} in the pod")),
        Some(interface) if of(interface, "sandbox") != netns => {
            differences.push(format!("prevResult has {ifname} in {}, not in {netns}", of(interface, "sandbox")));
        }
        Some(_) => {}
    }
    let ours =
        |ip: &&Value| ip.get("interface").and_then(Value::as_u64).is_none_or(|at| pod == usize::try_from(at).ok());
    let told: Vec<String> = list("ips").iter().filter(ours).map(|ip| of(ip, "address")).collect();
    let planned: Vec<String> = plan.addresses.iter().map(|&address| Prefix::host(address).to_string()).collect();
    let same = |a: &String, b: &String| address(a).is_some() && address(a) == address(b);
    for text in planned.iter().filter(|p| !told.iter().any(|t| same(t, p))) {
        differences.push(format!("prevResult does not have the address {text}"));
    }
    for text in told.iter().filter(|t| !planned.iter().any(|p| same(t, p))) {
        differences.push(format!("prevResult has the address {text}, which is not leased"));
    }
    differences
}

/// A text as address and length; None if it is neither.
fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

/// The MAC address that an earlier result of ours told for the pod's side.
pub fn told_mac(previous: &Map<String, Value>, ifname: &str) -> Option<String> {
    let interfaces = previous.get("interfaces")?.as_array()?;
    let text = |interface: &Value, key: &str| interface.get(key).and_then(Value::as_str).map(str::to_string);
    let pod = interfaces.iter().find(|i| {
        text(i, "name").as_deref() == Some(ifname) && text(i, "sandbox").is_some_and(|sandbox| !sandbox.is_empty())
    });
    pod.and_then(|interface| text(interface, "mac"))
}
