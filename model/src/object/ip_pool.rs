//! `projectcalico.org/v3` IPPool.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;
use super::parse::{Envelope, Invalid, Warnings};
use crate::selector::Selector;
use crate::{Family, Prefix};

/// A range that pods get addresses from, and how their traffic travels. Calico `api/pkg/apis/projectcalico/v3/ippool.go`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpPool {
    /// `metadata`.
    pub meta: Meta,
    /// `cidr`.
    pub cidr: Prefix,
    /// `ipipMode`, Never by default.
    pub ipip_mode: EncapMode,
    /// `natOutgoing`: masquerade what leaves all pools.
    pub nat_outgoing: bool,
    /// `disabled`: no new addresses from here; routes and NAT stay.
    pub disabled: bool,
    /// `disableBGPExport`: its blocks are not advertised.
    pub disable_bgp_export: bool,
    /// `blockSize`, in prefix bits: 26 or 122 by default.
    pub block_size: u8,
    /// `nodeSelector`: whose pods may use it.
    pub node_selector: Selector,
    /// `namespaceSelector`: which namespaces may use it.
    pub namespace_selector: Selector,
    /// `allowedUses`.
    pub allowed_uses: Vec<AllowedUse>,
    /// `assignmentMode`: Manual pools serve only pods that name them.
    pub assignment_mode: AssignmentMode,
}

/// When packets between nodes are encapsulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum EncapMode {
    /// Not at all.
    #[default]
    #[serde(alias = "")]
    Never,
    /// Between all nodes.
    Always,
    /// When the next hop is not on the node's own subnet.
    CrossSubnet,
}

/// What the addresses of an IPPool are given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AllowedUse {
    /// Pods.
    Workload,
    /// Tunnel addresses.
    Tunnel,
    /// Service addresses.
    LoadBalancer,
}

/// `assignmentMode` of an IPPool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AssignmentMode {
    /// Any pod that the selectors admit.
    #[default]
    Automatic,
    /// Only pods that name the pool.
    Manual,
}

impl IpPool {
    /// Whether pods may get addresses from it at all.
    pub fn serves_workloads(&self) -> bool {
        !self.disabled && self.allowed_uses.contains(&AllowedUse::Workload)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IpPoolSpec {
    /// The range, in CIDR notation. It cannot be changed.
    cidr: Prefix,
    /// When packets between nodes travel in IPIP: Never by default, and always so for an IPv6 pool.
    #[serde(default)]
    ipip_mode: EncapMode,
    /// Calico's VXLAN, which margay does not have: a pool that says other than Never is not used, and an error says
    /// so.
    #[serde(default)]
    vxlan_mode: EncapMode,
    /// What pods send beyond all pools carries the node's address. Default: false.
    #[serde(default)]
    nat_outgoing: bool,
    /// No new addresses are given from here; routes and NAT stay. Default: false.
    #[serde(default)]
    disabled: bool,
    /// The pool's addresses are not advertised to BGP peers. Default: false.
    #[serde(default, rename = "disableBGPExport")]
    disable_bgp_export: bool,
    /// The size of the blocks that nodes take from the pool, as a prefix length: 26 by default (20 to 32) for IPv4,
    /// 122 (116 to 128) for IPv6. It cannot be changed.
    #[schemars(range(max = 128))]
    #[serde(default)]
    block_size: Option<u8>,
    /// Nodes whose pods may use the pool. Default: all().
    #[serde(default)]
    node_selector: Selector,
    /// Namespaces whose pods may use the pool. Default: all().
    #[serde(default)]
    namespace_selector: Selector,
    /// What the addresses are given for: by default Workload and Tunnel; LoadBalancer must stand alone.
    #[serde(default)]
    allowed_uses: Vec<AllowedUse>,
    /// Who gets addresses from it.
    #[serde(default)]
    assignment_mode: AssignmentMode,
}

impl Envelope<IpPoolSpec> {
    pub(super) fn check(self, _warnings: &mut Warnings) -> Result<IpPool, Invalid> {
        let IpPoolSpec { cidr, ipip_mode, vxlan_mode, block_size, allowed_uses, .. } = &self.spec;
        let family = cidr.family();
        if *vxlan_mode != EncapMode::Never {
            return Err(Invalid::field("spec.vxlanMode", "must be Never: margay encapsulates with IPIP only"));
        }
        if family == Family::Ipv6 && *ipip_mode != EncapMode::Never {
            return Err(Invalid::field("spec.ipipMode", "must be Never for an IPv6 pool"));
        }
        let reserved = match family {
            Family::Ipv4 => "169.254.0.0/16",
            Family::Ipv6 => "fe80::/10",
        };
        if reserved.parse::<Prefix>().is_ok_and(|r| r.overlaps(cidr)) {
            return Err(Invalid::field("spec.cidr", format!("{cidr} overlaps link-local {reserved}")));
        }
        let (default, least, most) = match family {
            Family::Ipv4 => (26, 20, 32),
            Family::Ipv6 => (122, 116, 128),
        };
        let size = block_size.filter(|size| *size != 0).unwrap_or(default);
        if !(least..=most).contains(&size) {
            return Err(Invalid::field("spec.blockSize", format!("must be {least} to {most} for {family}")));
        }
        if size < cidr.length() {
            return Err(Invalid::field("spec.blockSize", format!("a /{size} block does not fit into {cidr}")));
        }
        if allowed_uses.contains(&AllowedUse::LoadBalancer) && allowed_uses.len() > 1 {
            return Err(Invalid::field("spec.allowedUses", "LoadBalancer must stand alone"));
        }
        let spec = self.spec;
        let allowed_uses = if spec.allowed_uses.is_empty() {
            vec![AllowedUse::Workload, AllowedUse::Tunnel]
        } else {
            spec.allowed_uses
        };
        Ok(IpPool {
            meta: self.metadata,
            cidr: spec.cidr,
            ipip_mode: spec.ipip_mode,
            nat_outgoing: spec.nat_outgoing,
            disabled: spec.disabled,
            disable_bgp_export: spec.disable_bgp_export,
            block_size: size,
            node_selector: spec.node_selector,
            namespace_selector: spec.namespace_selector,
            allowed_uses,
            assignment_mode: spec.assignment_mode,
        })
    }
}
