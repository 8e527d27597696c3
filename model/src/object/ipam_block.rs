//! IPAMBlock: a small range of a pool, and who holds which of its addresses. Calico's own form, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::Meta;
use super::parse::{Envelope, Invalid};
use crate::{Family, Prefix};

/// A block. Its name is its CIDR with `-` for every `.`, `:` and `/`. Calico `libcalico-go/lib/apis/v3/ipam_block.go`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpamBlock {
    /// `metadata`.
    pub meta: Meta,
    /// `spec`.
    pub spec: IpamBlockSpec,
}

/// `spec` of a block. What is not understood is kept, so that it goes back as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpamBlockSpec {
    /// `cidr`.
    pub cidr: Prefix,
    /// `affinity`: `host:<node>`, `virtual:<name>`, or nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// `strictAffinity`: Calico writes it and reads it no more.
    #[serde(default)]
    pub strict_affinity: bool,
    /// `allocations`: for each address in order, the index of its attribute; null if it is free.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub allocations: Vec<Option<usize>>,
    /// `unallocated`: the free ordinals, the one that is free the longest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub unallocated: Vec<usize>,
    /// `attributes`: who holds addresses.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub attributes: Vec<AllocationAttribute>,
    /// `sequenceNumber`: counts the writes of the block, from a clock's nanoseconds at its making.
    #[serde(default)]
    pub sequence_number: u64,
    /// `sequenceNumberForAllocation`: the block's number when an ordinal was given.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub sequence_number_for_allocation: BTreeMap<String, u64>,
    /// `deleted`: about to be deleted; as good as gone.
    #[serde(default)]
    pub deleted: bool,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Who holds addresses of a block.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AllocationAttribute {
    /// `handle_id`: the name by which they are released together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle_id: Option<String>,
    /// `secondary`: `node`, `namespace`, `pod`, `type`, `timestamp`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub secondary: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Go writes an empty list as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// The name of the objects of a CIDR: `10-244-1-0-26`, `fd00-10-244---122`.
pub fn cidr_name(cidr: &Prefix) -> String {
    cidr.to_string().replace(['.', ':', '/'], "-")
}

impl IpamBlockSpec {
    /// A block of this CIDR that nobody holds an address of.
    pub fn empty(cidr: Prefix, affinity: String, sequence_number: u64) -> IpamBlockSpec {
        let size = size(&cidr);
        IpamBlockSpec {
            cidr,
            affinity: Some(affinity),
            strict_affinity: false,
            allocations: vec![None; size],
            unallocated: (0..size).collect(),
            attributes: Vec::new(),
            sequence_number,
            sequence_number_for_allocation: BTreeMap::new(),
            deleted: false,
            rest: Map::new(),
        }
    }

    /// The node whose block it is: `host:<node>` of `affinity`.
    pub fn host(&self) -> Option<&str> {
        self.affinity.as_deref()?.strip_prefix("host:")
    }

    /// The address so many steps above the first.
    pub fn address(&self, ordinal: usize) -> Option<IpAddr> {
        if ordinal >= self.allocations.len() {
            return None;
        }
        match self.cidr.address() {
            IpAddr::V4(first) => {
                Some(IpAddr::V4(Ipv4Addr::from_bits(first.to_bits().checked_add(u32::try_from(ordinal).ok()?)?)))
            }
            IpAddr::V6(first) => {
                Some(IpAddr::V6(Ipv6Addr::from_bits(first.to_bits().checked_add(u128::try_from(ordinal).ok()?)?)))
            }
        }
    }

    /// How far into the block an address lies.
    pub fn ordinal(&self, address: IpAddr) -> Option<usize> {
        let steps = match (self.cidr.address(), address) {
            (IpAddr::V4(first), IpAddr::V4(it)) => u128::from(it.to_bits().checked_sub(first.to_bits())?),
            (IpAddr::V6(first), IpAddr::V6(it)) => it.to_bits().checked_sub(first.to_bits())?,
            _ => return None,
        };
        usize::try_from(steps).ok().filter(|&ordinal| ordinal < self.allocations.len())
    }

    /// Who holds an ordinal.
    pub fn holder(&self, ordinal: usize) -> Option<&AllocationAttribute> {
        self.attributes.get((*self.allocations.get(ordinal)?)?)
    }

    /// The ordinals that are held, each with its holder.
    pub fn held(&self) -> impl Iterator<Item = (usize, &AllocationAttribute)> {
        self.allocations.iter().enumerate().filter_map(|(ordinal, at)| Some((ordinal, self.attributes.get((*at)?)?)))
    }

    /// The number of the write that gave an ordinal; 0 where none is known.
    pub fn given_at(&self, ordinal: usize) -> u64 {
        self.sequence_number_for_allocation.get(&ordinal.to_string()).copied().unwrap_or(0)
    }

    fn check(&self) -> Result<(), Invalid> {
        let bad = |field: &str, message: String| Err(Invalid::field(format!("spec.{field}"), message));
        let least = least_length(self.cidr.family());
        if self.cidr.length() < least {
            return bad("cidr", format!("{} is larger than a /{least}, the largest block", self.cidr));
        }
        let size = size(&self.cidr);
        if self.allocations.len() != size {
            return bad("allocations", format!("has {} entries, {} has {size}", self.allocations.len(), self.cidr));
        }
        let beyond = |at: &&Option<usize>| at.is_some_and(|at| at >= self.attributes.len());
        if let Some(Some(at)) = self.allocations.iter().find(beyond) {
            return bad("allocations", format!("names attribute {at} of {}", self.attributes.len()));
        }
        let mut seen = BTreeSet::new();
        for &ordinal in &self.unallocated {
            if self.allocations.get(ordinal) != Some(&None) || !seen.insert(ordinal) {
                return bad("unallocated", format!("{ordinal} is not free, or named twice"));
            }
        }
        Ok(())
    }
}

impl AllocationAttribute {
    /// The node it is held on, as far as it says.
    pub fn node(&self) -> Option<&str> {
        self.secondary.get("node").map(String::as_str)
    }
}

fn least_length(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 20,
        Family::Ipv6 => 116,
    }
}

/// Number of addresses; what is larger than any block may be counts as the largest.
fn size(cidr: &Prefix) -> usize {
    1 << (cidr.family().bits() - cidr.length().max(least_length(cidr.family())))
}

impl Envelope<IpamBlockSpec> {
    pub(super) fn check(self) -> Result<IpamBlock, Invalid> {
        self.spec.check()?;
        Ok(IpamBlock { meta: self.metadata, spec: self.spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Document, Object, read_value};

    /// A block as Calico's own plugin leaves it, with a field that nobody here knows.
    fn written() -> Value {
        serde_json::json!({
            "apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMBlock",
            "metadata": {"name": "10-244-1-0-30", "resourceVersion": "812", "annotations": {"a": "b"}},
            "spec": {
                "affinity": "host:n1", "affinityClaimTime": "2026-01-02T03:04:05Z",
                "allocations": [0, null, 1, 1],
                "attributes": [
                    {"handle_id": "ipip-tunnel-addr-n1", "secondary": {"node": "n1", "type": "ipipTunnelAddress"}},
                    {"handle_id": "k8s-pod-network.c1", "secondary": {"node": "n1", "pod": "p"}, "releasedAt": null}
                ],
                "cidr": "10.244.1.0/30", "deleted": false, "sequenceNumber": 1_767_323_045_000_000_000_u64,
                "sequenceNumberForAllocation": {"0": 7, "2": 9, "3": 9}, "strictAffinity": false, "unallocated": [1]
            }
        })
    }
    fn read(value: Value) -> Result<IpamBlock, String> {
        match read_value("api", value) {
            Document::Object(found) => match found.object {
                Object::IpamBlock(block) => Ok(*block),
                other => panic!("{other:?}"),
            },
            Document::Bad(_, error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_calico_wrote_comes_back_unchanged() {
        let block = read(written()).unwrap();
        assert_eq!(serde_json::to_value(&block.spec).ok().as_ref(), written().get("spec"));
        assert_eq!((block.spec.host(), block.spec.given_at(2), block.spec.given_at(1)), (Some("n1"), 9, 0));
        assert_eq!(block.spec.address(3).and_then(|a| block.spec.ordinal(a)), Some(3));
        assert_eq!(block.spec.ordinal("10.244.1.4".parse().unwrap()), None);
    }

    #[test]
    fn a_block_that_contradicts_itself_names_its_field() {
        for (field, value, expected) in [
            ("allocations", serde_json::json!([null]), "has 1 entries, 10.244.1.0/30 has 4"),
            ("allocations", serde_json::json!([0, null, 2, 1]), "names attribute 2 of 2"),
            ("unallocated", serde_json::json!([1, 1]), "1 is not free, or named twice"),
            ("unallocated", serde_json::json!([9]), "9 is not free, or named twice"),
            ("cidr", serde_json::json!("10.0.0.0/8"), "10.0.0.0/8 is larger than a /20, the largest block"),
        ] {
            let mut bad = written();
            bad["spec"][field] = value;
            assert_eq!(read(bad), Err(format!("api: IPAMBlock/10-244-1-0-30: spec.{field}: {expected}")));
        }
    }

    #[test]
    fn the_null_lists_of_go_are_empty_lists() {
        let mut full = written();
        full["spec"]["allocations"] = serde_json::json!([0, 1, 1, 1]);
        full["spec"]["unallocated"] = Value::Null;
        assert!(read(full).unwrap().spec.unallocated.is_empty());
    }

    #[test]
    fn names_are_calicos() {
        for (cidr, name) in [("10.244.1.0/26", "10-244-1-0-26"), ("fd00:10:244::/122", "fd00-10-244---122")] {
            assert_eq!(cidr_name(&cidr.parse().unwrap()), name);
        }
    }
}
