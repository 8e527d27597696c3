//! `networking.k8s.io/v1` NetworkPolicy in the common form.

use model::object::{HostTraffic, Namespaces, NetworkPolicy, ObjectKey, Order, PolicyPeer, PolicyRule, Tier};

use super::ports;
use crate::program::{Action, Sense};
use crate::rules::{Choice, Condition, Direction, Force, Group, Policy, Rule};

/// Where Calico puts policies of Kubernetes' own kind in tier `default`.
const ORDER: Order = Order::of(1000);

pub(super) fn policy(key: ObjectKey, policy: &NetworkPolicy, force: Force) -> Policy {
    let namespace = policy.namespace();
    let rules = |rules: &Option<Vec<PolicyRule>>, direction| {
        rules.as_ref().map(|rules| rules.iter().map(|each| rule(each, namespace, direction)).collect())
    };
    Policy {
        key,
        tier: Tier::DEFAULT.into(),
        order: ORDER,
        subject: Choice::pods(Namespaces::Named(namespace.to_string()), policy.pods.clone()),
        traffic: HostTraffic::Local,
        force,
        ingress: rules(&policy.ingress, Direction::Ingress),
        egress: rules(&policy.egress, Direction::Egress),
    }
}

fn rule(rule: &PolicyRule, namespace: &str, direction: Direction) -> Rule {
    let (mut pods, mut nets) = (Vec::new(), Vec::new());
    for peer in &rule.peers {
        match peer {
            PolicyPeer::Net { cidr, except } => nets.push((*cidr, except.clone())),
            PolicyPeer::Pods { namespaces, pods: labels } => {
                let own = || Namespaces::Named(namespace.to_string());
                pods.push(Choice::pods(namespaces.clone().map_or_else(own, Namespaces::Chosen), labels.clone()));
            }
        }
    }
    let mut parts = Vec::new();
    if !rule.peers.is_empty() {
        let side = direction.other_side();
        let mut any = Vec::new();
        if !pods.is_empty() {
            any.push(vec![Condition::In(side, Group::Chosen(pods), Sense::Is)]);
        }
        if !nets.is_empty() {
            any.push(vec![Condition::In(side, Group::Nets(nets), Sense::Is)]);
        }
        parts.push(any);
    }
    parts.extend(ports::any_of(&rule.ports));
    Rule { action: Action::Allow, parts }
}
