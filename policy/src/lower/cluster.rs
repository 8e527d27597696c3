//! `policy.networking.k8s.io/v1alpha2` ClusterNetworkPolicy in the common form.

use model::object::{
    ClusterNetworkPolicy, ClusterPeer, ClusterPods, ClusterRule, ClusterTier, Endpoints, HostTraffic, Namespaces,
    ObjectKey, Order, Tier,
};

use super::{calico, ports};
use crate::program::Sense;
use crate::rules::{Among, Choice, Condition, Direction, Force, Group, Policy, Rule};

pub(super) fn policy(key: ObjectKey, policy: &ClusterNetworkPolicy) -> Policy {
    let rules = |rules: &[ClusterRule], direction| {
        (!rules.is_empty()).then(|| rules.iter().map(|each| rule(each, direction)).collect())
    };
    let tier = match policy.tier {
        ClusterTier::Admin => Tier::KUBE_ADMIN,
        ClusterTier::Baseline => Tier::KUBE_BASELINE,
    };
    Policy {
        key,
        tier: tier.into(),
        order: Order::of(policy.priority.into()),
        subject: pods(&policy.subject),
        traffic: HostTraffic::Local,
        force: Force::Enforced,
        ingress: rules(&policy.ingress, Direction::Ingress),
        egress: rules(&policy.egress, Direction::Egress),
    }
}

fn pods(pods: &ClusterPods) -> Choice {
    Choice::pods(Namespaces::Chosen(pods.namespaces.clone()), pods.pods.clone())
}

fn rule(rule: &ClusterRule, direction: Direction) -> Rule {
    let (mut chosen, mut nets) = (Vec::new(), Vec::new());
    for peer in &rule.peers {
        match peer {
            ClusterPeer::Pods(of) => chosen.push(pods(of)),
            ClusterPeer::Nets(prefixes) => nets.extend(prefixes.iter().map(|prefix| (*prefix, Vec::new()))),
            ClusterPeer::Nodes(labels) => {
                let (namespaces, labels) = (Namespaces::Any, labels.clone());
                let endpoints = Endpoints { namespaces, labels, service_accounts: None };
                chosen.push(Choice { among: Among::Nodes, endpoints });
            }
        }
    }
    // No peers that margay knows are nobody.
    let mut any = Vec::new();
    if !chosen.is_empty() {
        any.push(vec![Condition::In(direction.other_side(), Group::Chosen(chosen), Sense::Is)]);
    }
    if !nets.is_empty() {
        any.push(vec![Condition::In(direction.other_side(), Group::Nets(nets), Sense::Is)]);
    }
    let mut parts = vec![any];
    parts.extend(ports::any_of(&rule.ports));
    Rule { action: calico::action(rule.action), parts }
}
