//! The kinds that share addresses out: IPReservation, IPAMConfiguration, IPAMBlock, BlockAffinity, IPAMHandle.
//!
//! As Calico's `api/pkg/apis/projectcalico/v3/{ipreservation,ipamconfig,ipamblocks,blockaffinity,ipamhandle}.go` have
//! them. The last three are written by agents; the types here are what an API server keeps of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::Shown::Always;
use super::{Column, Definition, Keyword, Rule, column, keyword, rule};

pub(super) fn definitions() -> Vec<Definition> {
    vec![reservation(), configuration(), block(), affinity(), handle()]
}

fn reservation() -> Definition {
    Definition {
        rules: vec![rule(
            "spec.reservedCIDRs[]",
            "isIP(self) || (isCIDR(self) && cidr(self).masked() == cidr(self))",
            "must be a prefix without host bits, such as 10.244.0.0/28, or an address",
        )],
        keywords: vec![
            keyword("spec.reservedCIDRs", "maxItems", 1000),
            keyword("spec.reservedCIDRs[]", "maxLength", 49),
        ],
        ..Definition::new::<Reservation>(
            "IPReservation",
            "ipreservations",
            &["ipr"],
            "Addresses that are not given to pods; those that are given already stay.",
            &[column("CIDRs", "string", ".spec.reservedCIDRs", Always)],
        )
    }
}

fn configuration() -> Definition {
    Definition {
        rules: vec![DEFAULT],
        // Calico's v3 has these as defaults of the schema.
        keywords: vec![
            keyword("spec.strictAffinity", "default", false),
            keyword("spec.autoAllocateBlocks", "default", true),
            keyword("spec.maxBlocksPerHost", "default", 0),
        ],
        ..Definition::new::<Configuration>(
            "IPAMConfiguration",
            "ipamconfigurations",
            &["ipamconfig", "ipamconfigs"],
            "How blocks of pools are shared out among nodes; the object is named default.",
            CONFIGURATION,
        )
    }
}

fn block() -> Definition {
    Definition {
        rules: vec![CIDR, UNCHANGED],
        keywords: BTreeMap::from([("allocations", 4096), ("unallocated", 4096), ("attributes", 4096)])
            .into_iter()
            .map(|(list, most)| keyword(format!("spec.{list}"), "maxItems", most))
            .chain([keyword("spec.sequenceNumber", "default", 0)])
            .collect::<Vec<Keyword>>(),
        ..Definition::new::<Block>(
            "IPAMBlock",
            "ipamblocks",
            &[],
            "A block of a pool, and who holds which of its addresses. Written by agents.",
            &[column("CIDR", "string", ".spec.cidr", Always), column("Affinity", "string", ".spec.affinity", Always)],
        )
    }
}

fn affinity() -> Definition {
    Definition {
        rules: vec![CIDR, UNCHANGED],
        keywords: vec![keyword("spec.deleted", "default", false)],
        ..Definition::new::<Affinity>(
            "BlockAffinity",
            "blockaffinities",
            &["affinity", "affinities"],
            "The claim of a node to a block. Written by agents.",
            AFFINITY,
        )
    }
}

fn handle() -> Definition {
    Definition::new::<Handle>(
        "IPAMHandle",
        "ipamhandles",
        &[],
        "In which blocks one holder has addresses. Written by agents.",
        &[column("ID", "string", ".spec.handleID", Always)],
    )
}

const CONFIGURATION: &[Column] = &[
    column("StrictAffinity", "boolean", ".spec.strictAffinity", Always),
    column("MaxBlocksPerHost", "integer", ".spec.maxBlocksPerHost", Always),
    column("AutoAllocateBlocks", "boolean", ".spec.autoAllocateBlocks", Always),
];
const AFFINITY: &[Column] = &[
    column("CIDR", "string", ".spec.cidr", Always),
    column("Node", "string", ".spec.node", Always),
    column("State", "string", ".spec.state", Always),
    column("Type", "string", ".spec.type", Always),
];

const DEFAULT: Rule = rule("", "self.metadata.name == 'default'", "metadata.name must be default");
const CIDR: Rule = rule("spec.cidr", "isCIDR(self)", "must be a prefix in CIDR notation");
const UNCHANGED: Rule = rule("spec.cidr", "self == oldSelf", "cannot be changed");

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Reservation {
    /// Prefixes or single addresses.
    #[serde(rename = "reservedCIDRs")]
    reserved_cidrs: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Configuration {
    /// A node gives addresses from its own blocks only, and borrows none from blocks of other nodes.
    strict_affinity: Option<bool>,
    /// Whether nodes claim blocks by themselves.
    auto_allocate_blocks: Option<bool>,
    /// The most blocks of a node: 0 is 20.
    #[schemars(range(max = 1_000_000))]
    max_blocks_per_host: Option<u32>,
    /// Whether virtual machines of KubeVirt keep their addresses. No effect.
    #[serde(rename = "kubeVirtVMAddressPersistence")]
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    kube_virt_vm_address_persistence: Option<String>,
    /// For how many seconds an address that was released is not given again.
    #[schemars(range(max = 1200))]
    ip_cooldown_seconds: Option<u32>,
    /// The same, as Calico once called it.
    #[serde(rename = "minIPReclaimAgeSeconds")]
    #[schemars(range(max = 1200))]
    min_ip_reclaim_age_seconds: Option<u32>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Block {
    /// The block.
    #[schemars(length(max = 49))]
    cidr: String,
    /// Whose it is: host:NODE or virtual:NAME.
    #[schemars(length(max = 512), regex(pattern = r"^(host|virtual):[a-zA-Z0-9\.\-_]+$"))]
    affinity: Option<String>,
    /// Since when.
    #[schemars(extend("format" = "date-time"))]
    affinity_claim_time: Option<String>,
    /// No longer of use.
    strict_affinity: bool,
    /// By ordinal of the address the index of who holds it, null for a free one.
    allocations: Vec<Option<i32>>,
    /// Ordinals of free addresses, the one that is free the longest first.
    unallocated: Vec<i32>,
    /// Who holds addresses.
    attributes: Vec<Attribute>,
    /// Counts the writes.
    sequence_number: Option<i64>,
    /// By ordinal the number of the write that gave it.
    sequence_number_for_allocation: Option<BTreeMap<String, i64>>,
    /// The block is being deleted.
    deleted: Option<bool>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Attribute {
    /// The handle by which it is released.
    handle_id: Option<String>,
    /// Node, namespace, pod, type, timestamp.
    secondary: Option<BTreeMap<String, String>>,
    /// When it was released, while it may not be given again.
    #[serde(rename = "releasedAt")]
    #[schemars(extend("format" = "date-time"))]
    released_at: Option<String>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Affinity {
    /// The block.
    #[schemars(length(max = 49))]
    cidr: String,
    /// Whose it is.
    node: String,
    /// How far the claim is.
    #[schemars(extend("enum" = ["", "confirmed", "pending", "pendingDeletion"]))]
    state: String,
    /// What claims it: host or virtual.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The claim is being deleted.
    deleted: bool,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
struct Handle {
    /// The handle.
    #[serde(rename = "handleID")]
    handle_id: String,
    /// By block the number of addresses.
    block: BTreeMap<String, i32>,
    /// The handle is being deleted.
    deleted: Option<bool>,
}
