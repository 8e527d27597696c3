//! From a chain of policies to chains of rules: one for each tier, so that a tier that passes goes on in the next.

use std::ops::RangeInclusive;

use dataplane::ruleset::{Chain, End as Of, Part, Rule, Sense as Is, expr};
use model::object::ObjectKey;
use model::{Family, Protocol};
use policy::program::{self, Action, ChainKey, End, Item, Rest, RuleRef, Sense, SetKey, Step, Test, TierChain};

use super::bounds::bounded;

/// The group to which packets are copied that are denied, or that a rule logs.
pub const LOG_GROUP: u16 = 4;
/// The bit of a packet's mark that says that it was allowed before translation: of those that Calico uses the lowest.
pub(super) const ALLOWED: u32 = 0x1_0000;
/// Packets a second that a rule copies at most, and at once.
const LOGGED: (u64, u32) = (20, 50);
/// Ranges that one rule asks after: the kernel takes 128 expressions in a rule, each range is two.
const RANGES: usize = 16;

/// Which way a packet goes that a chain decides, and with that what it means to allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Out of a pod: others are asked after.
    Egress,
    /// Into a pod, or to a process of the node: nobody is asked after.
    Ingress,
    /// In by a link of the node, to go on: others are asked after.
    Through,
    /// In by a link of the node, before translation: what is allowed is not asked after as what comes in by it.
    First,
    /// In by a link of the node, before connections are known: the same, and it belongs to none.
    UntrackedIn,
    /// Out of the node's own processes, likewise.
    UntrackedOut,
}

/// What a rule of a rendered chain stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A rule of a policy, and what it does.
    Rule(RuleRef, Action),
    /// A rule of a staged policy, and what it would do.
    Staged(RuleRef, Action),
    /// The way to the rules of a staged policy.
    Jump(ObjectKey),
    /// The end of a tier by this name.
    End(String),
}

/// A chain as it is in the table, with what its rules stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its name.
    pub name: String,
    /// In order.
    pub rules: Vec<(Rule, Meaning)>,
}

impl Rendered {
    /// Without what it stands for.
    pub fn chain(self) -> (String, Chain) {
        (self.name, Chain::new(self.rules.into_iter().map(|(rule, _)| rule)))
    }
}

impl Way {
    /// The chain that ends what is denied.
    pub fn denied(self) -> &'static str {
        match self {
            Way::Egress | Way::UntrackedOut => "denied-egress",
            Way::Ingress | Way::Through | Way::First | Way::UntrackedIn => "denied-ingress",
        }
    }

    /// The name of the chain of the first tier.
    pub fn name(self, key: &ChainKey) -> String {
        match self {
            Way::Egress => format!("e-{key}"),
            Way::Ingress => format!("i-{key}"),
            Way::Through => format!("t-{key}"),
            Way::First => format!("f-{key}"),
            Way::UntrackedIn => format!("u-{key}"),
            Way::UntrackedOut => format!("v-{key}"),
        }
    }

    fn allow(self) -> Part {
        match self {
            Way::Egress | Way::Through => expr::ret(),
            Way::Ingress => expr::accept(),
            Way::First => [expr::mark(ALLOWED), expr::accept()].concat(),
            Way::UntrackedIn | Way::UntrackedOut => [expr::no_track(), expr::accept()].concat(),
        }
    }

    /// Where nothing decides.
    fn pass_on(self) -> Part {
        match self {
            Way::Egress | Way::Ingress | Way::Through => self.allow(),
            Way::First | Way::UntrackedIn | Way::UntrackedOut => expr::ret(),
        }
    }

    fn deny(self) -> Part {
        expr::goto(self.denied())
    }
}

/// The chain that ends what is denied: unless a pod talks to itself, the packet is logged, counted and dropped.
pub fn denied(way: Way) -> Chain {
    let itself = |family| {
        Rule::of([expr::family(family), expr::pair_in(family, &own(family), Is::Is), expr::counter(), expr::accept()])
    };
    let log = Rule::of([expr::within(LOGGED.0, LOGGED.1), expr::log(LOG_GROUP, way.denied())]);
    Chain::new(Family::ALL.map(itself).into_iter().chain([log, Rule::of([expr::counter(), expr::drop()])]))
}

/// The set of what pods send to themselves.
pub fn own(family: Family) -> String {
    of_family("self", family)
}

/// The name of the part of a set of policies that is of a family.
pub fn set_name(key: &SetKey, family: Family) -> String {
    of_family(&format!("{key}-"), family)
}

pub(super) fn of_family(name: &str, family: Family) -> String {
    format!("{name}{}", if family == Family::Ipv4 { 4 } else { 6 })
}

/// The chains of a chain of policies, the first being the one that is jumped to.
pub fn render(way: Way, key: &ChainKey, chain: &program::Chain) -> Vec<Rendered> {
    let chain = bounded(chain).chain;
    let first = way.name(key);
    let name = |index: usize| if index == 0 { first.clone() } else { format!("{first}-{index}") };
    let rest = || match chain.rest {
        Rest::Allow => way.pass_on(),
        Rest::Deny => way.deny(),
    };
    if chain.tiers.is_empty() {
        let rule = Rule::of([expr::counter(), rest()]);
        return vec![Rendered { name: first, rules: vec![(rule, Meaning::End(String::new()))] }];
    }
    let mut rendered = Vec::new();
    for (index, tier) in chain.tiers.iter().enumerate() {
        let is_last = index + 1 == chain.tiers.len();
        let pass = if is_last { rest() } else { expr::goto(&name(index + 1)) };
        of_tier(way, name(index), tier, &pass, &mut rendered);
    }
    rendered
}

fn of_tier(way: Way, name: String, tier: &TierChain, pass: &Part, rendered: &mut Vec<Rendered>) {
    let mut rules = Vec::new();
    for (position, item) in tier.items.iter().enumerate() {
        match item {
            Item::Step(step) => {
                let end = match step.action {
                    Action::Allow => way.allow(),
                    Action::Deny => way.deny(),
                    Action::Pass => pass.clone(),
                    Action::Log => {
                        [expr::within(LOGGED.0, LOGGED.1), expr::log(LOG_GROUP, &cut(&step.rule.to_string()))].concat()
                    }
                };
                rules.extend(of_step(step, &end, &Meaning::Rule(step.rule.clone(), step.action)));
            }
            // A chain of its own, so that a packet is counted where it would be decided, and goes on all the same.
            Item::Staged { policy, steps } => {
                let staged = format!("{name}-s{position}");
                let jump = Rule::of([expr::jump(&staged)]).comment(&format!("staged {policy}"));
                rules.push((jump, Meaning::Jump(policy.clone())));
                let steps = steps
                    .iter()
                    .flat_map(|step| of_step(step, &expr::ret(), &Meaning::Staged(step.rule.clone(), step.action)));
                rendered.push(Rendered { name: staged, rules: steps.collect() });
            }
        }
    }
    let end = match &tier.end {
        End::Deny { .. } | End::Unknown => way.deny(),
        End::Pass => pass.clone(),
    };
    let rule = Rule::of([expr::counter(), end]).comment(&format!("end of tier {}", tier.tier));
    rules.push((rule, Meaning::End(tier.tier.clone())));
    rendered.push(Rendered { name, rules });
}

/// At most 127 octets: what a copy can carry.
fn cut(text: &str) -> String {
    let end = (0..=text.len().min(127)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default().into()
}

/// The rules that do what a step does: one for each family where it asks for addresses, and for each range of ports.
fn of_step(step: &Step, end: &Part, means: &Meaning) -> Vec<(Rule, Meaning)> {
    let families: &[Option<Family>] = match step.tests.iter().any(asks_for_addresses) {
        true => &[Some(Family::Ipv4), Some(Family::Ipv6)],
        false => &[None],
    };
    let mut rules = Vec::new();
    for family in families {
        let mut ways = vec![family.map(expr::family).unwrap_or_default()];
        for test in &step.tests {
            let parts = of_test(test, *family);
            ways = ways.iter().flat_map(|way| parts.iter().map(move |part| [&way[..], part].concat())).collect();
        }
        let comment = step.rule.to_string();
        let rule = |tests| Rule::of([tests, expr::counter(), end.clone()]).comment(&comment);
        rules.extend(ways.into_iter().map(|tests| (rule(tests), means.clone())));
    }
    rules
}

fn asks_for_addresses(test: &Test) -> bool {
    test.set().is_some() || matches!(test, Test::Family(_))
}

pub(super) fn asks_for_ports(test: &Test) -> bool {
    matches!(test, Test::SourcePorts(..) | Test::DestinationPorts(..))
}

/// How many rules a test makes of one, in each family.
pub(super) fn ways(test: &Test) -> usize {
    of_test(test, None).len()
}

/// The ways to pass a test: any of them will do. None: nobody passes.
fn of_test(test: &Test, family: Option<Family>) -> Vec<Part> {
    let of = family.unwrap_or(Family::Ipv4);
    match test {
        Test::Family(wanted) => {
            if of == *wanted {
                vec![Vec::new()]
            } else {
                Vec::new()
            }
        }
        Test::Protocol(Protocol(number), sense) => vec![expr::protocol(*number, is(*sense))],
        Test::Source(key, sense) => vec![expr::address_in(of, Of::Source, &set_name(key, of), is(*sense))],
        Test::Destination(key, sense) => vec![expr::address_in(of, Of::Destination, &set_name(key, of), is(*sense))],
        Test::SourcePorts(ports, sense) => of_ports(Of::Source, ports, *sense),
        Test::DestinationPorts(ports, sense) => of_ports(Of::Destination, ports, *sense),
        Test::SourceSocket(key, sense) => vec![expr::socket_in(of, Of::Source, &set_name(key, of), is(*sense))],
        Test::DestinationSocket(key, sense) => {
            vec![expr::socket_in(of, Of::Destination, &set_name(key, of), is(*sense))]
        }
        Test::Icmp { kind, code, sense } => vec![expr::icmp(*kind, *code, is(*sense))],
    }
}

/// In any of the ranges, which are ways of their own; or in none, which is one way past all of them, or where they are
/// too many for one rule, in any of the gaps between them.
fn of_ports(end: Of, ports: &[RangeInclusive<u16>], sense: Sense) -> Vec<Part> {
    let each = ports.iter().map(|range| expr::port_between(end, range.clone(), is(sense)));
    match sense {
        Sense::Is => each.collect(),
        Sense::Not if ports.len() > RANGES => {
            gaps(ports).into_iter().map(|gap| expr::port_between(end, gap, Is::Is)).collect()
        }
        Sense::Not => vec![each.flatten().collect()],
    }
}

/// The ports that are in none of the ranges.
fn gaps(ports: &[RangeInclusive<u16>]) -> Vec<RangeInclusive<u16>> {
    let mut ranges: Vec<(u16, u16)> = ports.iter().map(|range| (*range.start(), *range.end())).collect();
    ranges.sort_unstable();
    let mut gaps = Vec::new();
    // The first port of which nothing is known; none past the last port.
    let mut next = Some(0);
    for (first, last) in ranges {
        let Some(from) = next else { break };
        if let Some(before) = first.checked_sub(1).filter(|before| from <= *before) {
            gaps.push(from..=before);
        }
        next = last.checked_add(1).map(|after| after.max(from));
    }
    gaps.extend(next.map(|from| from..=u16::MAX));
    gaps
}

fn is(sense: Sense) -> Is {
    match sense {
        Sense::Is => Is::Is,
        Sense::Not => Is::IsNot,
    }
}
