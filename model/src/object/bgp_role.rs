//! What a node is to a peer (RFC 9234).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `role`: what the node is to the peer, as the local role of RFC 9234 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BgpRole {
    /// It sells transit to the peer.
    Provider,
    /// It buys transit from the peer.
    Customer,
    /// Neither: a lateral peering.
    Peer,
    /// It is a route server of an exchange.
    RouteServer,
    /// The peer is a route server of an exchange.
    RouteServerClient,
}

impl BgpRole {
    /// What the peer is to the node (RFC 9234 §4.2).
    pub const fn of_the_peer(self) -> BgpRole {
        match self {
            BgpRole::Provider => BgpRole::Customer,
            BgpRole::Customer => BgpRole::Provider,
            BgpRole::Peer => BgpRole::Peer,
            BgpRole::RouteServer => BgpRole::RouteServerClient,
            BgpRole::RouteServerClient => BgpRole::RouteServer,
        }
    }
}
