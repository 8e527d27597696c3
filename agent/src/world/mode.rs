//! What an agent is on its node.

use serde::{Deserialize, Serialize};

/// How much of a node's network is the agent's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// All of it.
    #[default]
    Network,
    /// Policies alone: another plugin wires the pods, which are known by what the API says of them.
    PolicyOnly,
}
