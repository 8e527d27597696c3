//! `projectcalico.org/v3` BGPConfiguration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use super::bgp_peer::long_lived;
use super::bmp::{self, BmpStation};
use super::parse::{Envelope, Invalid, Warnings};
use super::secret::PasswordSource;
use super::service_blocks::{Aggregation, ServiceBlock, ServiceBlocks};
use super::{GoDuration, Meta, SecretKeyRef};
use crate::{Asn, Prefix};

/// BGP settings of the cluster (`default`) or of one node (`node.<name>`).
/// Calico `api/pkg/apis/projectcalico/v3/bgpconfig.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpConfiguration {
    /// `metadata`.
    pub meta: Meta,
    /// `nodeToNodeMeshEnabled`; on where no object says otherwise.
    pub node_to_node_mesh_enabled: Option<bool>,
    /// `asNumber`; 64512 where no object says otherwise.
    pub as_number: Option<Asn>,
    /// `listenPort`; 179 where no object says otherwise.
    pub listen_port: Option<u16>,
    /// `nodeMeshPassword`.
    pub node_mesh_password: Option<SecretKeyRef>,
    /// `nodeMeshMaxRestartTime`; 120 s where no object says otherwise.
    pub node_mesh_max_restart_time: Option<GoDuration>,
    /// `longLivedRestartTime`: for the mesh, and for BGPPeers that do not say; 0s where no object says otherwise. Margay's
    /// own.
    #[serde(default)]
    pub long_lived_restart_time: Option<GoDuration>,
    /// `gracefulShutdownTime`: how long the peers of a node that is drained have to turn to others; 10 s where no object
    /// says otherwise. Margay's own.
    #[serde(default)]
    pub graceful_shutdown_time: Option<GoDuration>,
    /// `bmp`: stations that are told of sessions and routes. Margay's own.
    #[serde(default)]
    pub bmp: Vec<BmpStation>,
    /// `bindMode`.
    pub bind_mode: BindMode,
    /// `communities`: names for values.
    pub communities: Vec<NamedCommunity>,
    /// `aggregates`: announced while something inside is in the table. Margay's own.
    #[serde(default)]
    pub aggregates: Vec<Aggregate>,
    /// `prefixAdvertisements`: communities that go with what is advertised inside a prefix.
    pub prefix_advertisements: Vec<PrefixAdvertisement>,
    /// `serviceClusterIPs` and the like: which service addresses are announced. Only `default` says.
    #[serde(default)]
    pub services: ServiceBlocks,
}

/// Where the speaker listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum BindMode {
    /// On all addresses.
    #[default]
    #[serde(alias = "")]
    None,
    /// On the node's own addresses only.
    NodeIP,
}

/// A name for a community.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedCommunity {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Community,
}

/// Communities for what is advertised inside a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixAdvertisement {
    /// The prefix.
    pub cidr: Prefix,
    /// The communities, names resolved.
    pub communities: Vec<Community>,
}

/// A prefix that is announced while something more specific is known (RFC 4271 §9.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The prefix.
    pub cidr: Prefix,
    /// `summaryOnly`: external peers are not told of what is inside.
    pub summary_only: bool,
    /// `communities`, names resolved.
    pub communities: Vec<Community>,
}

/// A standard (RFC 1997, `aa:nn`) or large (RFC 8092, `aa:nn:mm`) community.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Community {
    /// `aa:nn`, 16 bits each.
    Standard(u16, u16),
    /// `aa:nn:mm`, 32 bits each.
    Large(u32, u32, u32),
}

impl FromStr for Community {
    type Err = String;
    fn from_str(text: &str) -> Result<Community, String> {
        let bad = || format!("{text:?} is not a community (aa:nn or aa:nn:mm)");
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [a, b] => Ok(Community::Standard(a.parse().map_err(|_| bad())?, b.parse().map_err(|_| bad())?)),
            [a, b, c] => {
                let number = |t: &str| t.parse().map_err(|_| bad());
                Ok(Community::Large(number(a)?, number(b)?, number(c)?))
            }
            _ => Err(bad()),
        }
    }
}
impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Community::Standard(a, b) => write!(f, "{a}:{b}"),
            Community::Large(a, b, c) => write!(f, "{a}:{b}:{c}"),
        }
    }
}
impl Serialize for Community {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Community {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Community, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BgpConfigurationSpec {
    /// How much Calico's BIRD says. No effect: see MARGAY_LOG.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$"))]
    log_severity_screen: Option<String>,
    /// Whether all nodes peer with each other. Default: true.
    node_to_node_mesh_enabled: Option<bool>,
    /// The AS of nodes that have none of their own, plain or dotted. Default: 64512.
    as_number: Option<Asn>,
    /// The port on which the speaker listens. Default: 179.
    listen_port: Option<u16>,
    /// The password of the mesh's sessions (TCP-MD5, RFC 2385).
    node_mesh_password: Option<PasswordSource>,
    /// How long routes are kept for a node that restarts (RFC 4724): 120s by default.
    node_mesh_max_restart_time: Option<GoDuration>,
    /// How long the peers of a node that is drained have to turn to others: 10s by default (margay's own).
    graceful_shutdown_time: Option<GoDuration>,
    /// For how long after the restart time routes are kept as the last resort (RFC 9494), in the mesh and with
    /// BGPPeers that do not say: 0s by default (margay's own).
    long_lived_restart_time: Option<GoDuration>,
    /// Stations that are told of sessions and routes by BMP (RFC 7854; margay's own).
    #[serde(default)]
    bmp: Vec<BmpStation>,
    /// Where the speaker listens.
    #[serde(default)]
    bind_mode: BindMode,
    /// Names for communities.
    #[serde(default)]
    communities: Vec<NamedCommunity>,
    /// Communities that go with what is advertised inside a prefix.
    #[serde(default)]
    prefix_advertisements: Vec<PrefixAdvertisementWire>,
    /// Prefixes that are announced while something more specific inside is known (margay's own).
    #[serde(default)]
    aggregates: Vec<AggregateWire>,
    /// Interfaces whose routes Calico does not export. No effect: margay exports no interface routes.
    #[schemars(with = "Option<Vec<String>>")]
    ignored_interfaces: Option<serde::de::IgnoredAny>,
    /// Which of Calico's programs writes routes. No effect: one agent writes all.
    program_cluster_routes: Option<String>,
    /// Prefixes of cluster IPs of services, which are advertised.
    #[serde(rename = "serviceClusterIPs")]
    service_cluster_ips: Option<Vec<ServiceBlock>>,
    /// Prefixes inside which external IPs of services are advertised.
    #[serde(rename = "serviceExternalIPs")]
    service_external_ips: Option<Vec<ServiceBlock>>,
    /// Prefixes inside which load balancer IPs of services are advertised.
    #[serde(rename = "serviceLoadBalancerIPs")]
    service_load_balancer_ips: Option<Vec<ServiceBlock>>,
    /// Whether blocks of load balancers' addresses are advertised as they are (Enabled, the default), or each address by itself (Disabled).
    service_load_balancer_aggregation: Option<Aggregation>,
    /// The address at which pods peer with their node (Calico's). No effect yet.
    #[serde(rename = "localWorkloadPeeringIPV4")]
    local_workload_peering_ipv4: Option<String>,
    /// The same for IPv6. No effect yet.
    #[serde(rename = "localWorkloadPeeringIPV6")]
    local_workload_peering_ipv6: Option<String>,
    /// The metric of routes to IPv4 pods. No effect: it is 1024.
    #[serde(rename = "ipv4NormalRoutePriority")]
    ipv4_normal_route_priority: Option<u32>,
    /// The metric of routes to IPv6 pods. No effect: it is 1024.
    #[serde(rename = "ipv6NormalRoutePriority")]
    ipv6_normal_route_priority: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PrefixAdvertisementWire {
    /// The prefix.
    cidr: Prefix,
    /// Communities, by value or by a name under spec.communities.
    #[serde(default)]
    communities: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AggregateWire {
    /// The prefix.
    cidr: Prefix,
    /// External peers are not told of what is inside.
    #[serde(default)]
    summary_only: bool,
    /// Communities, by value or by a name under spec.communities.
    #[serde(default)]
    communities: Vec<String>,
}

/// Communities by value or by one of these names.
fn resolved(texts: &[String], names: &[NamedCommunity], field: &str) -> Result<Vec<Community>, Invalid> {
    let value = |text: &String| match names.iter().find(|named| named.name == *text) {
        Some(named) => Ok(named.value),
        None => text
            .parse()
            .map_err(|problem: String| Invalid::field(field, format!("{problem}, nor a name under spec.communities"))),
    };
    texts.iter().map(value).collect()
}

impl Envelope<BgpConfigurationSpec> {
    pub(super) fn check(self, warnings: &mut Warnings) -> Result<BgpConfiguration, Invalid> {
        let spec = self.spec;
        let name = &self.metadata.name;
        if name != "default" && name.strip_prefix("node.").is_none_or(str::is_empty) {
            return Err(Invalid::field("metadata.name", format!("must be default or node.<name>, not {name:?}")));
        }
        if spec.listen_port == Some(0) {
            return Err(Invalid::field("spec.listenPort", "must be 1 to 65535"));
        }
        if let Some(time) = spec.node_mesh_max_restart_time
            && time.0.as_secs() > 4095
        {
            return Err(Invalid::field("spec.nodeMeshMaxRestartTime", "must be at most 4095s (RFC 4724 §3)"));
        }
        if spec.graceful_shutdown_time.is_some_and(|time| time.0.as_secs() > 3600) {
            return Err(Invalid::field("spec.gracefulShutdownTime", "must be at most 1h"));
        }
        bmp::check(&spec.bmp)?;
        let services = ServiceBlocks::check(
            [
                ("spec.serviceClusterIPs", spec.service_cluster_ips),
                ("spec.serviceExternalIPs", spec.service_external_ips),
                ("spec.serviceLoadBalancerIPs", spec.service_load_balancer_ips),
            ],
            spec.service_load_balancer_aggregation.unwrap_or_default(),
        )?;
        if name != "default" && services != ServiceBlocks::default() {
            warnings
                .add("spec", "service addresses have no effect here: BGPConfiguration default has them for all nodes");
        }
        let not_yet = [
            ("localWorkloadPeeringIPV4", spec.local_workload_peering_ipv4.is_some(), "has no effect yet"),
            ("localWorkloadPeeringIPV6", spec.local_workload_peering_ipv6.is_some(), "has no effect yet"),
            ("ipv4NormalRoutePriority", spec.ipv4_normal_route_priority.is_some(), "has no effect: the metric is 1024"),
            ("ipv6NormalRoutePriority", spec.ipv6_normal_route_priority.is_some(), "has no effect: the metric is 1024"),
            (
                "ignoredInterfaces",
                spec.ignored_interfaces.is_some(),
                "has no effect: margay exports no interface routes",
            ),
            (
                "programClusterRoutes",
                spec.program_cluster_routes.is_some(),
                "has no effect: one agent programs all routes",
            ),
            (
                "logSeverityScreen",
                // What Calico's schema writes into every object is what the agent logs without being asked.
                spec.log_severity_screen.is_some_and(|level| !level.eq_ignore_ascii_case("info")),
                "has no effect: see MARGAY_LOG",
            ),
        ];
        for (field, _, effect) in not_yet.iter().filter(|(_, given, _)| *given) {
            warnings.add(format!("spec.{field}"), *effect);
        }
        let mut prefix_advertisements = Vec::new();
        for (i, wire) in spec.prefix_advertisements.into_iter().enumerate() {
            let field = format!("spec.prefixAdvertisements[{i}].communities");
            let communities = resolved(&wire.communities, &spec.communities, &field)?;
            prefix_advertisements.push(PrefixAdvertisement { cidr: wire.cidr, communities });
        }
        let mut aggregates: Vec<Aggregate> = Vec::new();
        for (i, wire) in spec.aggregates.into_iter().enumerate() {
            let field = format!("spec.aggregates[{i}]");
            if wire.cidr.length() == 0 || wire.cidr.is_host() {
                return Err(Invalid::field(format!("{field}.cidr"), "must be neither a default route nor one address"));
            }
            if aggregates.iter().any(|other| other.cidr == wire.cidr) {
                return Err(Invalid::field(format!("{field}.cidr"), "is there twice"));
            }
            let communities = resolved(&wire.communities, &spec.communities, &format!("{field}.communities"))?;
            aggregates.push(Aggregate { cidr: wire.cidr, summary_only: wire.summary_only, communities });
        }
        Ok(BgpConfiguration {
            meta: self.metadata,
            node_to_node_mesh_enabled: spec.node_to_node_mesh_enabled,
            as_number: spec.as_number,
            listen_port: spec.listen_port,
            node_mesh_password: spec.node_mesh_password.map(|p| p.secret_key_ref),
            node_mesh_max_restart_time: spec.node_mesh_max_restart_time,
            graceful_shutdown_time: spec.graceful_shutdown_time,
            bmp: spec.bmp,
            long_lived_restart_time: long_lived(spec.long_lived_restart_time)?,
            bind_mode: spec.bind_mode,
            communities: spec.communities,
            prefix_advertisements,
            aggregates,
            services,
        })
    }
}
