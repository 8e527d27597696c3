//! Which further objects an object makes necessary: what is watched only where something refers to it.

use std::collections::BTreeSet;

use model::object::{Kind, NetworkPolicy, Object, PolicyPeer, PortMatch};

use super::services::announces_services;

/// Objects to be watched beside those that always are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Secrets, by name.
    pub secrets: BTreeSet<String>,
    /// All objects of these kinds.
    pub kinds: BTreeSet<Kind>,
}

impl Needs {
    /// Both together.
    pub fn and(mut self, other: Needs) -> Needs {
        self.secrets.extend(other.secrets);
        self.kinds.extend(other.kinds);
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.kinds.is_empty()
    }
}

/// What this object, being in force, makes necessary.
pub fn of(object: &Object) -> Needs {
    let password = match object {
        Object::BgpPeer(peer) => peer.password.as_ref(),
        Object::BgpConfiguration(configuration) => configuration.node_mesh_password.as_ref(),
        _ => None,
    };
    let kinds = match object {
        Object::BgpConfiguration(configuration) if announces_services(configuration) => {
            BTreeSet::from([Kind::Service, Kind::EndpointSlice])
        }
        // The pods of this node are watched anyway.
        Object::NetworkPolicy(policy) if names_pods(policy) => BTreeSet::from([Kind::Pod]),
        _ => BTreeSet::new(),
    };
    Needs { secrets: password.map(|reference| reference.name.clone()).into_iter().collect(), kinds }
}

/// Whether what a policy allows depends on pods of other nodes.
fn names_pods(policy: &NetworkPolicy) -> bool {
    let rules = policy.ingress.iter().chain(&policy.egress).flatten();
    let mut peers = rules.flat_map(|rule| &rule.peers);
    // A port's name is what the pod connected to calls it.
    let mut ports = policy.egress.iter().flatten().flat_map(|rule| &rule.ports);
    peers.any(|peer| matches!(peer, PolicyPeer::Pods { .. }))
        || ports.any(|port| matches!(port.port, Some(PortMatch::Name(_))))
}
