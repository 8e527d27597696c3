//! What the policies of a pod of this node say of a connection, by the program that runs.

use std::net::IpAddr;

use model::PodRef;
use model::api::show::{Connection, JudgedView, PolicyVerdict};

use crate::world::World;

/// Which of a pod's policies are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those about what comes in.
    Ingress,
    /// Those about what goes out.
    Egress,
}

/// Asks the policies of one side about the first packet of a connection.
pub fn judge(
    _world: &World,
    _pod: &PodRef,
    _side: Side,
    _addresses: (IpAddr, IpAddr),
    _connection: Connection,
) -> JudgedView {
    plain(PolicyVerdict::Allowed, "no policy is enforced yet")
}

/// A verdict that no rule gave.
pub fn plain(verdict: PolicyVerdict, reason: impl Into<String>) -> JudgedView {
    JudgedView {
        verdict,
        reason: reason.into(),
        tier: None,
        object: None,
        rule: None,
        unmatched: Vec::new(),
        staged: Vec::new(),
    }
}
