//! Which further objects an object makes necessary: what is watched only where something refers to it.

use std::collections::BTreeSet;

use model::object::{
    CalicoPolicy, ClusterNetworkPolicy, ClusterPeer, Endpoints, Kind, NetworkPolicy, Object, PolicyPeer, PortMatch,
};

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
        Object::StagedKubernetesNetworkPolicy(staged) if names_pods(staged) => BTreeSet::from([Kind::Pod]),
        Object::CalicoNetworkPolicy(policy) | Object::GlobalNetworkPolicy(policy) => of_policy(policy),
        Object::StagedNetworkPolicy(staged) | Object::StagedGlobalNetworkPolicy(staged) => of_policy(staged),
        Object::ClusterNetworkPolicy(policy) if names_pods_of_cluster(policy) => BTreeSet::from([Kind::Pod]),
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

/// The same of the cluster's own.
fn names_pods_of_cluster(policy: &ClusterNetworkPolicy) -> bool {
    let mut peers = policy.ingress.iter().chain(&policy.egress).flat_map(|rule| &rule.peers);
    let mut ports = policy.egress.iter().flat_map(|rule| &rule.ports);
    peers.any(|peer| matches!(peer, ClusterPeer::Pods(_)))
        || ports.any(|port| matches!(port.port, Some(PortMatch::Name(_))))
}

/// What a policy of Calico's depends on beside pods of this node.
fn of_policy(policy: &CalicoPolicy) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    let accounts = |endpoints: &Endpoints| {
        let of_labels = endpoints.labels.to_string().contains(Endpoints::OF_SERVICE_ACCOUNT);
        of_labels || endpoints.service_accounts.as_ref().is_some_and(|accounts| !accounts.labels.is_all())
    };
    if accounts(&policy.subject) {
        kinds.insert(Kind::ServiceAccount);
    }
    let rules = policy.ingress.iter().chain(&policy.egress).flatten();
    for entity in rules.flat_map(|rule| [&rule.source, &rule.destination]) {
        let is_name = |port: &PortMatch| matches!(port, PortMatch::Name(_));
        let named = entity.ports.iter().chain(&entity.not_ports).any(is_name);
        if named || entity.endpoints.is_some() || entity.not_endpoints.is_some() {
            kinds.insert(Kind::Pod);
        }
        if entity.service.is_some() {
            kinds.insert(Kind::EndpointSlice);
        }
        let not = entity.not_endpoints.as_ref().map(ToString::to_string).unwrap_or_default();
        if entity.endpoints.as_ref().is_some_and(accounts) || not.contains(Endpoints::OF_SERVICE_ACCOUNT) {
            kinds.insert(Kind::ServiceAccount);
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::object::{Document, parse};

    fn needed(kind: &str, spec: &str) -> Vec<Kind> {
        let text = format!(
            "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: p, namespace: n}}\nspec: {spec}"
        );
        match parse("f.yaml", &text).documents.pop() {
            Some(Document::Object(found)) => of(&found.object).kinds.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_policy_needs_what_its_rules_name_and_no_more() {
        for (spec, kinds) in [
            ("{}", vec![]),
            ("{selector: a == 'b', ingress: [{action: Allow, source: {nets: [10.0.0.0/8]}}]}", vec![]),
            ("{ingress: [{action: Allow, source: {selector: all()}}]}", vec![Kind::Pod]),
            ("{ingress: [{action: Deny, source: {notSelector: all()}}]}", vec![Kind::Pod]),
            ("{egress: [{action: Allow, protocol: TCP, destination: {ports: [web]}}]}", vec![Kind::Pod]),
            ("{serviceAccountSelector: has(x)}", vec![Kind::ServiceAccount]),
            ("{ingress: [{action: Allow, source: {serviceAccounts: {names: [a]}}}]}", vec![Kind::Pod]),
            (
                "{egress: [{action: Allow, destination: {services: {name: s, namespace: n}}}]}",
                vec![Kind::EndpointSlice],
            ),
        ] {
            assert_eq!(needed("GlobalNetworkPolicy", spec), kinds, "{spec}");
            assert_eq!(needed("StagedGlobalNetworkPolicy", spec), kinds, "staged {spec}");
        }
    }
}
