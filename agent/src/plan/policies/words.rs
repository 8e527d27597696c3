//! A step in words.

use std::ops::RangeInclusive;

use policy::program::{Members, Program, Sense, SetKey, Step, Test};

/// All that has to hold: `TCP, to port 80, from namespace "shop" pods app == "web" (3 addresses)`.
pub fn matches(program: &Program, step: &Step) -> String {
    if step.tests.is_empty() {
        return "everything".into();
    }
    let words: Vec<String> = step.tests.iter().map(|test| word(program, test)).collect();
    words.join(", ")
}

fn word(program: &Program, test: &Test) -> String {
    match test {
        Test::Family(family) => family.to_string(),
        Test::Protocol(protocol, sense) => format!("{}{protocol}", not(*sense)),
        Test::Source(set, sense) => format!("{}from {}", not(*sense), about(program, set)),
        Test::Destination(set, sense) => format!("{}to {}", not(*sense), about(program, set)),
        Test::SourcePorts(ports, sense) => format!("{}from port {}", not(*sense), numbers(ports)),
        Test::DestinationPorts(ports, sense) => format!("{}to port {}", not(*sense), numbers(ports)),
        Test::SourceSocket(set, sense) => format!("{}from {}", not(*sense), about(program, set)),
        Test::DestinationSocket(set, sense) => format!("{}to {}", not(*sense), about(program, set)),
        Test::Icmp { kind, code: Some(code), sense } => format!("{}type {kind} code {code}", not(*sense)),
        Test::Icmp { kind, code: None, sense } => format!("{}type {kind}", not(*sense)),
    }
}

fn not(sense: Sense) -> &'static str {
    match sense {
        Sense::Is => "",
        Sense::Not => "not ",
    }
}

/// What a set is made of, and how much is in it.
fn about(program: &Program, key: &SetKey) -> String {
    let Some(set) = program.sets.get(key) else { return key.to_string() };
    let (count, noun) = match &set.members {
        Members::Addresses(addresses) => (addresses.len(), "address"),
        Members::Sockets(sockets) => (sockets.len(), "socket"),
        // Nets say themselves what they are.
        Members::Nets(_) => return set.about.to_string(),
    };
    let plural = match (count, noun) {
        (1, _) => "",
        (_, "address") => "es",
        _ => "s",
    };
    format!("{} ({count} {noun}{plural})", set.about)
}

fn numbers(ports: &[RangeInclusive<u16>]) -> String {
    let one = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    ports.iter().map(one).collect::<Vec<_>>().join(" or ")
}
