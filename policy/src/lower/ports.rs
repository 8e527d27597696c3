//! Ports of rules as few conditions.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use model::Protocol;
use model::object::{PolicyPort, PortMatch};

use crate::program::Sense;
use crate::rules::{Condition, Part, Side};

/// A range of ports: all of them.
const EVERY: RangeInclusive<u16> = 0..=u16::MAX;

/// Numbers and names apart. The numbers are sorted, and touch each other nowhere.
pub(super) fn split<'a>(ports: impl IntoIterator<Item = &'a PortMatch>) -> (Vec<RangeInclusive<u16>>, Vec<String>) {
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for port in ports {
        match port {
            PortMatch::Numbers(range) => numbers.push(range.clone()),
            PortMatch::Name(name) => names.push(name.clone()),
        }
    }
    names.sort();
    names.dedup();
    numbers.sort_by_key(|range| *range.start());
    let mut joined: Vec<RangeInclusive<u16>> = Vec::new();
    for range in numbers {
        match joined.last_mut() {
            Some(last) if u32::from(*range.start()) <= u32::from(*last.end()) + 1 => {
                *last = *last.start()..=*range.end().max(last.end());
            }
            _ => joined.push(range),
        }
    }
    (joined, names)
}

/// Any of the ports that a rule of Kubernetes' kinds names, on the side that is connected to; nothing where it names none.
pub(super) fn any_of(ports: &[PolicyPort]) -> Option<Part> {
    let mut by_protocol: BTreeMap<Protocol, Vec<&PolicyPort>> = BTreeMap::new();
    for port in ports {
        by_protocol.entry(port.protocol).or_default().push(port);
    }
    let alternatives = |(protocol, ports): (Protocol, Vec<&PolicyPort>)| {
        let is = Condition::Protocol(protocol, Sense::Is);
        let (numbers, names) = split(ports.iter().filter_map(|port| port.port.as_ref()));
        if ports.iter().any(|port| port.port.is_none()) || numbers == [EVERY] {
            return vec![vec![is]];
        }
        let mut any = Vec::new();
        if !numbers.is_empty() {
            any.push(vec![is.clone(), Condition::Ports(Side::Destination, numbers, Sense::Is)]);
        }
        if !names.is_empty() {
            any.push(vec![is, Condition::NamedPorts(Side::Destination, names, protocol, Sense::Is)]);
        }
        any
    };
    (!ports.is_empty()).then(|| by_protocol.into_iter().flat_map(alternatives).collect())
}
