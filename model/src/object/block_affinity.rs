//! BlockAffinity: a node's claim on a block, made before the block and confirmed after it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Meta;
use super::ipam_block::cidr_name;
use super::parse::{Envelope, Invalid};
use crate::Prefix;

/// The longest name of an object, in octets.
const NAME_LIMIT: usize = 253;

/// A claim. Calico `api/pkg/apis/projectcalico/v3/blockaffinity.go`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockAffinity {
    /// `metadata`.
    pub meta: Meta,
    /// `spec`.
    pub spec: BlockAffinitySpec,
}

/// `spec` of a claim. What is not understood is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockAffinitySpec {
    /// `state`.
    pub state: AffinityState,
    /// `node`.
    pub node: String,
    /// `type`: `host`, which is also what is meant where it is not said, or `virtual`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `cidr` of the block.
    pub cidr: Prefix,
    /// `deleted`: about to be deleted. The older storage has a text here, the newer a boolean.
    #[serde(default)]
    pub deleted: Deleted,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How far a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AffinityState {
    /// Made, while the block is not: nothing is routed by it. What says nothing counts as this.
    #[serde(alias = "")]
    Pending,
    /// The block is this node's.
    Confirmed,
    /// The block is being given up.
    PendingDeletion,
}

/// `deleted`, as each storage writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Deleted {
    /// `projectcalico.org/v3`.
    Flag(bool),
    /// `crd.projectcalico.org/v1`: "true", "false" or "".
    Text(String),
}

impl Default for Deleted {
    fn default() -> Deleted {
        Deleted::Flag(false)
    }
}

impl BlockAffinity {
    /// The name of a node's claim on a block; none where it would be longer than a name may be.
    pub fn name(node: &str, cidr: &Prefix) -> Option<String> {
        let name = format!("{node}-{}", cidr_name(cidr));
        (name.len() < NAME_LIMIT).then_some(name)
    }
}

impl BlockAffinitySpec {
    /// Whether it counts: a node's, and not about to go.
    pub fn is_of_host(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        let deleted = match &self.deleted {
            Deleted::Flag(deleted) => *deleted,
            Deleted::Text(text) => text == "true",
        };
        matches!(kind, "" | "host") && !deleted
    }
}

impl Envelope<BlockAffinitySpec> {
    pub(super) fn check(self) -> Result<BlockAffinity, Invalid> {
        if let Deleted::Text(text) = &self.spec.deleted
            && !matches!(text.as_str(), "" | "true" | "false")
        {
            return Err(Invalid::field("spec.deleted", format!("must be true or false, not {text:?}")));
        }
        Ok(BlockAffinity { meta: self.metadata, spec: self.spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Document, Object, parse};

    #[test]
    fn both_storages_write_deleted_in_their_own_way_and_have_it_back_so() {
        for (version, deleted, counts) in [
            ("crd.projectcalico.org/v1", "\"false\"", true),
            ("crd.projectcalico.org/v1", "\"true\"", false),
            ("projectcalico.org/v3", "false", true),
            ("projectcalico.org/v3", "true", false),
        ] {
            let spec = format!(
                r#"{{"cidr":"10.0.0.0/26","deleted":{deleted},"node":"n1","state":"confirmed","type":"host"}}"#
            );
            let text =
                format!("apiVersion: {version}\nkind: BlockAffinity\nmetadata: {{name: n1-10-0-0-0-26}}\nspec: {spec}");
            let documents = parse("f", &text).documents;
            let [Document::Object(found)] = documents.as_slice() else { panic!("{documents:?}") };
            let Object::BlockAffinity(affinity) = &found.object else { panic!("{found:?}") };
            assert_eq!(affinity.spec.is_of_host(), counts, "{version} {deleted}");
            let back = serde_json::to_value(&affinity.spec).ok();
            assert_eq!(back, serde_json::from_str(&spec).ok());
        }
    }

    #[test]
    fn a_claim_is_named_by_node_and_block() {
        let cidr = "10.244.1.0/26".parse().unwrap();
        assert_eq!(BlockAffinity::name("n1", &cidr).as_deref(), Some("n1-10-244-1-0-26"));
        assert_eq!(BlockAffinity::name(&"n".repeat(250), &cidr), None);
    }
}
