//! `projectcalico.org/v3` HostEndpoint.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parse::{Envelope, Invalid, Warnings};
use super::{ContainerPort, Meta};
use crate::{NodeName, Protocol};

/// A node's own link, or all of them, that GlobalNetworkPolicies can be about.
/// Calico `api/pkg/apis/projectcalico/v3/hostendpoint.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEndpoint {
    /// `metadata`, whose labels selectors see.
    pub meta: Meta,
    /// `node`.
    pub node: NodeName,
    /// `interfaceName`.
    pub interface: HostInterface,
    /// `expectedIPs`: its addresses, where rules choose it as a peer.
    pub addresses: Vec<IpAddr>,
    /// `profiles`: what becomes of packets that no policy is about.
    pub profiles: Vec<String>,
    /// `ports` that have names.
    pub ports: Vec<ContainerPort>,
}

/// Which links of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostInterface {
    /// The one with this name.
    Named(String),
    /// The one that has one of the addresses.
    WithAddress,
    /// All (`*`), those of pods too.
    All,
}

impl HostEndpoint {
    /// The profile that allows what no policy is about.
    pub const DEFAULT_ALLOW: &str = "projectcalico-default-allow";

    /// Whether packets that no policy is about may pass; without that profile they may not, as Calico has it.
    pub fn allows_by_default(&self) -> bool {
        self.profiles.iter().any(|profile| profile == HostEndpoint::DEFAULT_ALLOW)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HostEndpointSpec {
    /// The node.
    #[serde(default)]
    node: Option<NodeName>,
    /// Name of the link, or * for all. Default: the link that has one of expectedIPs.
    #[serde(default)]
    interface_name: Option<String>,
    /// Its addresses.
    #[serde(default, rename = "expectedIPs")]
    expected_ips: Option<Vec<String>>,
    /// projectcalico-default-allow: what no policy is about may pass; without it, it may not. Others have no effect.
    #[serde(default)]
    profiles: Option<Vec<String>>,
    /// Ports that rules may call by name.
    #[serde(default)]
    ports: Option<Vec<PortWire>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PortWire {
    /// Its name.
    name: String,
    /// TCP, UDP or SCTP.
    protocol: Protocol,
    /// Its number.
    #[schemars(range(min = 1))]
    port: u16,
}

impl Envelope<HostEndpointSpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<HostEndpoint, Invalid> {
        let HostEndpointSpec { node, interface_name, expected_ips, profiles, ports } = self.spec;
        let mut addresses = Vec::new();
        for (n, text) in expected_ips.unwrap_or_default().iter().enumerate() {
            let address = text.parse();
            let wrong = |_| Invalid::field(format!("spec.expectedIPs[{n}]"), format!("{text:?} is not an address"));
            addresses.push(address.map_err(wrong)?);
        }
        let interface = match interface_name.filter(|name| !name.is_empty()) {
            Some(name) if name == "*" => HostInterface::All,
            Some(name) if is_interface(&name) => HostInterface::Named(name),
            Some(name) => return Err(Invalid::field("spec.interfaceName", format!("{name:?} is not a link's name"))),
            None if addresses.is_empty() => {
                return Err(Invalid::field("spec.interfaceName", "is missing, and expectedIPs too"));
            }
            None => HostInterface::WithAddress,
        };
        let mut named = Vec::new();
        for (n, PortWire { name, protocol, port }) in ports.unwrap_or_default().into_iter().enumerate() {
            if !protocol.has_ports() {
                return Err(Invalid::field(format!("spec.ports[{n}].protocol"), "must be TCP, UDP or SCTP"));
            }
            if port == 0 {
                return Err(Invalid::field(format!("spec.ports[{n}].port"), "must be 1 to 65535"));
            }
            named.push(ContainerPort { name, protocol, port });
        }
        let profiles = profiles.unwrap_or_default();
        for (n, profile) in profiles.iter().enumerate().filter(|(_, p)| *p != HostEndpoint::DEFAULT_ALLOW) {
            let allow = HostEndpoint::DEFAULT_ALLOW;
            warnings.add(format!("spec.profiles[{n}]"), format!("{profile} has no effect: only {allow} is known"));
        }
        let node = node.ok_or_else(|| Invalid::field("spec.node", "is missing"))?;
        Ok(HostEndpoint { meta: self.metadata, node, interface, addresses, profiles, ports: named })
    }
}

fn is_interface(name: &str) -> bool {
    name.len() <= 15 && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_.-".contains(&octet))
}
