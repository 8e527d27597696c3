//! From rules to steps: every rule becomes as many steps as it has alternatives.

use std::sync::Arc;

use model::Protocol;

use super::class::ClassKey;
use super::sets::Source;
use crate::program::{RuleRef, Sense, SetKey, Step, Test};
use crate::rules::{Condition, Direction, Group, Policy, Rule, Side};

/// A step of a policy, as it is for every endpoint, or as it becomes one with the endpoint's own ports.
#[derive(Debug, Clone)]
pub struct Template {
    step: Arc<Step>,
    own_ports: Vec<OwnPorts>,
}

/// The endpoint's own ports by name: their numbers are known.
#[derive(Debug, Clone)]
struct OwnPorts {
    side: Side,
    names: Vec<String>,
    protocol: Protocol,
    sense: Sense,
}

/// What must hold together: an alternative of a rule.
#[derive(Debug, Clone, Default)]
struct Alternative {
    tests: Vec<Test>,
    own_ports: Vec<OwnPorts>,
}

/// Names a set by what it is made of; None of one that is left out while it has no members.
pub type Resolve<'a> = dyn FnMut(Source) -> Option<SetKey> + 'a;

/// The steps of a policy in a direction.
pub fn templates(policy: &Policy, direction: Direction, resolve: &mut Resolve<'_>) -> Vec<Template> {
    let mut templates = Vec::new();
    let rules = policy.rules(direction).unwrap_or_default().iter().enumerate();
    // A rule that nothing matches needs no sets.
    for (index, rule) in rules.filter(|(_, rule)| rule.parts.iter().all(|part| !part.is_empty())) {
        let reference = RuleRef { policy: policy.key.clone(), direction, index };
        for Alternative { mut tests, own_ports } in alternatives(rule, direction, resolve) {
            tests.sort_by_key(cost);
            let step = Arc::new(Step { tests, action: rule.action, rule: reference.clone() });
            templates.push(Template { step, own_ports });
        }
    }
    templates
}

impl Template {
    /// The step for an endpoint of a class; None if it could never hold.
    pub fn step(&self, class: &ClassKey) -> Option<Arc<Step>> {
        if self.own_ports.is_empty() {
            return Some(self.step.clone());
        }
        let mut step = Step::clone(&self.step);
        for OwnPorts { side, names, protocol, sense } in &self.own_ports {
            let mut numbers: Vec<_> = class.ports_named(names, *protocol).map(|number| number..=number).collect();
            numbers.sort_by_key(|range| *range.start());
            numbers.dedup();
            match (numbers.is_empty(), sense) {
                (true, Sense::Is) => return None,
                (true, Sense::Not) => {}
                (false, _) => step.tests.push(match side {
                    Side::Source => Test::SourcePorts(numbers, *sense),
                    Side::Destination => Test::DestinationPorts(numbers, *sense),
                }),
            }
        }
        step.tests.sort_by_key(cost);
        Some(Arc::new(step))
    }
}

/// Tests of the packet alone come first; one of the protocol before all that read behind the IP header.
fn cost(test: &Test) -> u8 {
    match test {
        Test::Family(_) => 0,
        Test::Protocol(..) => 1,
        Test::Icmp { .. } | Test::SourcePorts(..) | Test::DestinationPorts(..) => 2,
        Test::Source(..) | Test::Destination(..) | Test::SourceSocket(..) | Test::DestinationSocket(..) => 3,
    }
}

fn alternatives(rule: &Rule, direction: Direction, resolve: &mut Resolve<'_>) -> Vec<Alternative> {
    let mut all = vec![Alternative::default()];
    for part in &rule.parts {
        let mut any = Vec::new();
        for conditions in part {
            let mut these = vec![Alternative::default()];
            for condition in conditions {
                these = both(&these, &of_condition(condition, direction, resolve));
            }
            any.extend(these);
        }
        all = both(&all, &any);
    }
    all
}

/// Every one of these with every one of those.
fn both(these: &[Alternative], those: &[Alternative]) -> Vec<Alternative> {
    let with = |one: &Alternative, other: &Alternative| Alternative {
        tests: one.tests.iter().chain(&other.tests).cloned().collect(),
        own_ports: one.own_ports.iter().chain(&other.own_ports).cloned().collect(),
    };
    these.iter().flat_map(|one| those.iter().map(move |other| with(one, other))).collect()
}

fn of_condition(condition: &Condition, direction: Direction, resolve: &mut Resolve<'_>) -> Vec<Alternative> {
    let alone = |test| vec![Alternative { tests: vec![test], own_ports: Vec::new() }];
    match condition {
        Condition::Family(family) => alone(Test::Family(*family)),
        Condition::Protocol(protocol, sense) => alone(Test::Protocol(*protocol, *sense)),
        Condition::Icmp { kind, code, sense } => alone(Test::Icmp { kind: *kind, code: *code, sense: *sense }),
        Condition::Ports(Side::Source, ports, sense) => alone(Test::SourcePorts(ports.clone(), *sense)),
        Condition::Ports(Side::Destination, ports, sense) => alone(Test::DestinationPorts(ports.clone(), *sense)),
        Condition::NamedPorts(side, names, protocol, sense) if *side == direction.own_side() => {
            let own = OwnPorts { side: *side, names: names.clone(), protocol: *protocol, sense: *sense };
            vec![Alternative { tests: Vec::new(), own_ports: vec![own] }]
        }
        Condition::NamedPorts(side, names, protocol, sense) => {
            in_sockets(*side, *sense, resolve(Source::Ports(names.clone(), *protocol)))
        }
        Condition::ServicePorts(side, service) => {
            in_sockets(*side, Sense::Is, resolve(Source::ServicePorts(service.clone())))
        }
        Condition::In(side, group, sense) => {
            let keys: Vec<SetKey> = match group {
                Group::Nets(nets) => resolve(Source::Nets(nets.clone())).into_iter().collect(),
                Group::Service(service) => resolve(Source::ServiceAddresses(service.clone())).into_iter().collect(),
                Group::Chosen(choices) => {
                    let addresses = resolve(Source::Addresses(choices.clone()));
                    let mut keys: Vec<SetKey> = addresses.into_iter().collect();
                    // Kubernetes' selectors choose no network sets.
                    let of_calico = choices.iter().any(|choice| choice.among == crate::rules::Among::Endpoints);
                    keys.extend(of_calico.then(|| resolve(Source::NetsOf(choices.clone()))).flatten());
                    keys
                }
            };
            let tests = keys.into_iter().map(|key| match side {
                Side::Source => Test::Source(key, *sense),
                Side::Destination => Test::Destination(key, *sense),
            });
            match sense {
                Sense::Is => tests.flat_map(alone).collect(),
                Sense::Not => vec![Alternative { tests: tests.collect(), own_ports: Vec::new() }],
            }
        }
    }
}

fn in_sockets(side: Side, sense: Sense, key: Option<SetKey>) -> Vec<Alternative> {
    let test = |key| match side {
        Side::Source => Test::SourceSocket(key, sense),
        Side::Destination => Test::DestinationSocket(key, sense),
    };
    vec![Alternative { tests: key.map(test).into_iter().collect(), own_ports: Vec::new() }]
}
