//! Views of what changed on this node.

use serde::{Deserialize, Serialize};

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// When.
    pub time: String,
    /// What kind of thing.
    pub kind: ChangeKind,
    /// Which: a prefix, a peer's address, an object's key, a pod.
    pub subject: String,
    /// What it is now.
    pub change: String,
    /// Why.
    pub reason: String,
}

/// Kinds of things that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// A session with a peer.
    Session,
    /// The best paths of a prefix.
    BestPath,
    /// A route in the kernel.
    KernelRoute,
    /// An object of the configuration.
    Object,
    /// A pod's addresses.
    Pod,
}

impl ChangeKind {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            ChangeKind::Session => "session",
            ChangeKind::BestPath => "best path",
            ChangeKind::KernelRoute => "kernel route",
            ChangeKind::Object => "object",
            ChangeKind::Pod => "pod",
        }
    }
}
