//! Views of the objects that are the configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kinds that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    /// `v1`
    Node,
    /// `projectcalico.org/v3`
    BGPConfiguration,
    /// `projectcalico.org/v3`
    BGPPeer,
    /// `projectcalico.org/v3`
    IPPool,
    /// `projectcalico.org/v3`
    BGPFilter,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObjectKind::Node => "Node",
            ObjectKind::BGPConfiguration => "BGPConfiguration",
            ObjectKind::BGPPeer => "BGPPeer",
            ObjectKind::IPPool => "IPPool",
            ObjectKind::BGPFilter => "BGPFilter",
        })
    }
}

/// One object in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectView {
    /// `metadata.name`.
    pub name: String,
    /// Where it comes from: a file's path.
    pub origin: String,
    /// All of it as it is in force, `apiVersion` and `kind` too; never a secret.
    pub object: serde_json::Value,
    /// Why a newer version of it is not in force.
    pub error: Option<String>,
}

/// Something in the objects that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectErrorView {
    /// Which file.
    pub file: String,
    /// Which object, `BGPPeer tor`; empty if the file does not parse that far.
    pub object: String,
    /// Which field, `spec.peerIP`; empty if it is none alone.
    pub field: String,
    /// What is wrong, and what was expected.
    pub message: String,
}
