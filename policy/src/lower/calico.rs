//! `projectcalico.org/v3` NetworkPolicy and GlobalNetworkPolicy in the common form.

use model::object::{
    CalicoPolicy, CalicoRule, Endpoints, Entity, IcmpMatch, Namespaces, ObjectKey, PortMatch, RuleAction,
};
use model::{Prefix, Protocol};

use super::ports;
use crate::program::{Action, Sense};
use crate::rules::{Among, Choice, Condition, Direction, Force, Group, Part, Policy, Rule, Side};

pub(super) fn policy(key: ObjectKey, policy: &CalicoPolicy, force: Force) -> Policy {
    let rules = |rules: &Option<Vec<CalicoRule>>, direction| {
        rules.as_ref().map(|rules| rules.iter().map(|each| rule(each, direction)).collect())
    };
    Policy {
        key,
        tier: policy.tier.clone(),
        order: policy.order,
        subject: choice(policy.subject.clone()),
        traffic: policy.host_traffic,
        force,
        ingress: rules(&policy.ingress, Direction::Ingress),
        egress: rules(&policy.egress, Direction::Egress),
    }
}

pub(super) fn action(action: RuleAction) -> Action {
    match action {
        RuleAction::Allow => Action::Allow,
        RuleAction::Deny => Action::Deny,
        RuleAction::Pass => Action::Pass,
        RuleAction::Log => Action::Log,
    }
}

fn choice(endpoints: Endpoints) -> Choice {
    Choice { among: Among::Endpoints, endpoints }
}

fn rule(rule: &CalicoRule, direction: Direction) -> Rule {
    let icmp =
        |icmp: &Option<IcmpMatch>, sense| icmp.map(|IcmpMatch { kind, code }| Condition::Icmp { kind, code, sense });
    let mut all = Vec::new();
    all.extend(rule.family.map(Condition::Family));
    all.extend(rule.protocol.map(|protocol| Condition::Protocol(protocol, Sense::Is)));
    all.extend(rule.not_protocol.map(|protocol| Condition::Protocol(protocol, Sense::Not)));
    all.extend(icmp(&rule.icmp, Sense::Is));
    all.extend(icmp(&rule.not_icmp, Sense::Not));
    let mut parts = vec![];
    for (side, entity) in [(Side::Source, &rule.source), (Side::Destination, &rule.destination)] {
        conditions(entity, side, rule.protocol, direction, &mut all);
        parts.extend(port_part(entity, side, rule.protocol));
    }
    if !all.is_empty() {
        // What settles the protocol comes before what is about ports.
        parts.insert(0, vec![all]);
    }
    if rule.reads_http {
        parts.push(Vec::new());
    }
    Rule { action: action(rule.action), parts }
}

fn conditions(entity: &Entity, side: Side, protocol: Option<Protocol>, direction: Direction, all: &mut Vec<Condition>) {
    let nets = |nets: &[Prefix]| Group::Nets(nets.iter().map(|net| (*net, Vec::new())).collect());
    let mut is = |group, sense| all.push(Condition::In(side, group, sense));
    if !entity.nets.is_empty() {
        is(nets(&entity.nets), Sense::Is);
    }
    if !entity.not_nets.is_empty() {
        is(nets(&entity.not_nets), Sense::Not);
    }
    if let Some(endpoints) = &entity.endpoints {
        is(Group::Chosen(vec![choice(endpoints.clone())]), Sense::Is);
    }
    if let Some(labels) = &entity.not_endpoints {
        let (namespaces, labels) = (Namespaces::Any, labels.clone());
        is(Group::Chosen(vec![choice(Endpoints { namespaces, labels, service_accounts: None })]), Sense::Not);
    }
    if let Some(service) = &entity.service {
        // What comes from a Service comes from any port; what goes to one goes to its ports.
        match direction {
            Direction::Ingress => is(Group::Service(service.clone()), Sense::Is),
            Direction::Egress => all.push(Condition::ServicePorts(side, service.clone())),
        }
    }
    if let (false, Some(protocol)) = (entity.not_ports.is_empty(), protocol) {
        let (numbers, names) = ports::split(&entity.not_ports);
        if !numbers.is_empty() {
            all.push(Condition::Ports(side, numbers, Sense::Not));
        }
        if !names.is_empty() {
            all.push(Condition::NamedPorts(side, names, protocol, Sense::Not));
        }
    }
}

fn port_part(entity: &Entity, side: Side, protocol: Option<Protocol>) -> Option<Part> {
    let protocol = protocol.filter(|_| !entity.ports.is_empty())?;
    let (numbers, names): (Vec<_>, Vec<String>) = ports::split(&entity.ports as &[PortMatch]);
    let mut any = Vec::new();
    if !numbers.is_empty() {
        any.push(vec![Condition::Ports(side, numbers, Sense::Is)]);
    }
    if !names.is_empty() {
        any.push(vec![Condition::NamedPorts(side, names, protocol, Sense::Is)]);
    }
    Some(any)
}
