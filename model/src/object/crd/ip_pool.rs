//! IPPool, as Calico's `api/pkg/apis/projectcalico/v3/ippool.go` has it.

use super::Shown::{Always, Wide};
use super::status::Status;
use super::{Column, Definition, Rule, column, keyword, rule, schema};
use crate::object::ip_pool::IpPoolSpec;

pub(super) fn definition() -> Definition {
    Definition {
        status: Some(schema::<Status>()),
        rules: RULES.to_vec(),
        keywords: vec![
            keyword("spec.assignmentMode", "default", "Automatic"),
            keyword("spec.allowedUses", "maxItems", 3),
        ],
        ..Definition::new::<IpPoolSpec>(
            "IPPool",
            "ippools",
            &["ipp"],
            "A range that pods get addresses from, and how their traffic travels.",
            COLUMNS,
        )
    }
}

const COLUMNS: &[Column] = &[
    column("CIDR", "string", ".spec.cidr", Always),
    column("NAT", "boolean", ".spec.natOutgoing", Always),
    column("IPIPMode", "string", ".spec.ipipMode", Always),
    column("VXLANMode", "string", ".spec.vxlanMode", Wide),
    column("Disabled", "boolean", ".spec.disabled", Always),
    column("DisableBGPExport", "boolean", ".spec.disableBGPExport", Wide),
    column("BlockSize", "integer", ".spec.blockSize", Wide),
    column("Selector", "string", ".spec.nodeSelector", Always),
    column("AssignmentMode", "string", ".spec.assignmentMode", Wide),
    column("Allocatable", "string", ".status.conditions[?(@.type==\"Allocatable\")].status", Always),
];

const RULES: &[Rule] = &[
    rule(
        "spec.cidr",
        "isCIDR(self) && cidr(self).masked() == cidr(self)",
        "must be a prefix in CIDR notation without host bits, such as 10.244.0.0/16",
    ),
    rule("spec.cidr", "self == oldSelf", "cannot be changed: make another pool, and set disabled on this one"),
    rule(
        "spec.cidr",
        "!isCIDR(self) || cidr(self).ip().family() != 4 || \
         !(cidr('169.254.0.0/16').containsCIDR(self) || cidr(self).containsCIDR('169.254.0.0/16'))",
        "must not overlap link-local 169.254.0.0/16",
    ),
    rule(
        "spec.cidr",
        "!isCIDR(self) || cidr(self).ip().family() != 6 || \
         !(cidr('fe80::/10').containsCIDR(self) || cidr(self).containsCIDR('fe80::/10'))",
        "must not overlap link-local fe80::/10",
    ),
    rule(
        "spec",
        "(has(self.blockSize) && self.blockSize != 0 ? self.blockSize : self.cidr.contains(':') ? 122 : 26) == \
         (has(oldSelf.blockSize) && oldSelf.blockSize != 0 ? oldSelf.blockSize : oldSelf.cidr.contains(':') ? 122 : 26)",
        "blockSize cannot be changed: make another pool, and set disabled on this one",
    ),
    rule(
        "spec",
        "!has(self.blockSize) || self.blockSize == 0 || self.cidr.contains(':') || \
         (self.blockSize >= 20 && self.blockSize <= 32)",
        "blockSize must be 20 to 32 for an IPv4 pool",
    ),
    rule(
        "spec",
        "!has(self.blockSize) || self.blockSize == 0 || !self.cidr.contains(':') || \
         (self.blockSize >= 116 && self.blockSize <= 128)",
        "blockSize must be 116 to 128 for an IPv6 pool",
    ),
    rule(
        "spec",
        "!isCIDR(self.cidr) || cidr(self.cidr).prefixLength() <= \
         (has(self.blockSize) && self.blockSize != 0 ? self.blockSize : self.cidr.contains(':') ? 122 : 26)",
        "cidr must be at least as large as one block: blockSize (26 for IPv4, 122 for IPv6 where not given) is a prefix length",
    ),
    rule(
        "spec",
        "!has(self.ipipMode) || !has(self.vxlanMode) || self.ipipMode == 'Never' || self.vxlanMode == 'Never'",
        "ipipMode and vxlanMode exclude each other: one of them must be Never",
    ),
    rule(
        "spec",
        "!self.cidr.contains(':') || !has(self.ipipMode) || self.ipipMode == 'Never'",
        "ipipMode must be Never for an IPv6 pool",
    ),
    rule(
        "spec",
        "!has(self.allowedUses) || !self.allowedUses.exists(use, use == 'LoadBalancer') || self.allowedUses.size() == 1",
        "allowedUses: LoadBalancer must stand alone",
    ),
];
