//! What the policies of an endpoint say of a connection, by the program that runs, and why.

use model::api::show::{Connection, JudgedView, PolicyVerdict, StagedView};
use model::object::ObjectKey;
use policy::program::{Action, Chain, EndpointKey, Item, Program, RuleRef, Step};
use policy::{Decision, Direction, Packet, Verdict};

use std::net::IpAddr;

use crate::plan::firewall::{Bounded, bounded};

/// The first packet of a connection.
pub fn packet(from: IpAddr, to: IpAddr, connection: Connection) -> Packet {
    Packet::to_port(from, to, connection.protocol, connection.port)
}

/// Asks the policies of an endpoint.
pub fn judge(program: &Program, endpoint: &EndpointKey, direction: Direction, packet: &Packet) -> JudgedView {
    match chain(program, endpoint, direction) {
        Some(chain) if packet.from != packet.to => judge_by(program, chain, packet),
        _ => match program.decide(endpoint, direction, packet) {
            Decision::Open => plain(PolicyVerdict::Allowed, format!("no {direction} policy is about it")),
            decision => plain(verdict(&decision), reason(&decision)),
        },
    }
}

/// Asks the policies of a chain.
pub fn judge_by(program: &Program, chain: &Chain, packet: &Packet) -> JudgedView {
    // What is cut off the chain in the kernel does not count.
    let Bounded { chain, cut_short } = bounded(chain);
    let decision = program.ask(&chain, packet);
    let verdict = verdict(&decision);
    let why = match decision {
        Decision::NotOpened if !cut_short.is_empty() => "every tier in the table passed it on".into(),
        _ => reason(&decision),
    };
    let mut view = plain(verdict, why);
    if verdict == PolicyVerdict::Denied && !cut_short.is_empty() {
        view.reason += &format!(" ({})", cut_short.join("; "));
    }
    match &decision {
        Decision::Allowed(rule) | Decision::Denied(rule) => {
            view.tier = tier_of(&chain, rule);
            view.object = Some(rule.policy.to_string());
            view.rule = Some(rule.index as u64);
        }
        Decision::TierEnd { tier, policies } => {
            view.tier = Some(tier.clone());
            view.unmatched = policies.iter().map(ObjectKey::to_string).collect();
        }
        Decision::Open | Decision::Itself | Decision::Passed | Decision::NotOpened | Decision::Unknown => {}
    }
    view.staged = staged(program, &chain, packet);
    view
}

fn verdict(decision: &Decision) -> PolicyVerdict {
    match decision.verdict() {
        Verdict::Allowed => PolicyVerdict::Allowed,
        Verdict::Blocked => PolicyVerdict::Denied,
    }
}

/// A verdict that no rule gave.
pub fn plain(verdict: PolicyVerdict, reason: impl Into<String>) -> JudgedView {
    JudgedView {
        verdict,
        reason: reason.into(),
        tier: None,
        object: None,
        rule: None,
        unmatched: Vec::new(),
        staged: Vec::new(),
    }
}

/// The chain of an endpoint in a direction.
pub fn chain<'a>(program: &'a Program, endpoint: &EndpointKey, direction: Direction) -> Option<&'a Chain> {
    let chains = program.endpoints.get(endpoint)?;
    let key = match direction {
        Direction::Ingress => chains.ingress.as_ref(),
        Direction::Egress => chains.egress.as_ref(),
    };
    program.chains.get(key?).map(|chain| &**chain)
}

fn reason(decision: &Decision) -> String {
    match decision {
        Decision::Open => "no policy is about it".into(),
        Decision::Itself => "to itself: always allowed".into(),
        Decision::Allowed(rule) => format!("{rule} allows it"),
        Decision::Denied(rule) => format!("{rule} denies it"),
        Decision::TierEnd { tier, policies } => {
            let names: Vec<String> = policies.iter().map(ObjectKey::to_string).collect();
            format!("no rule matches of {} (end of tier {tier})", names.join(", "))
        }
        Decision::Passed => "every tier passed it on".into(),
        Decision::NotOpened => "every tier passed it on, and a host is closed unless it is opened".into(),
        Decision::Unknown => "the pod's object was not seen yet, and policies may be about it".into(),
    }
}

fn tier_of(chain: &Chain, rule: &RuleRef) -> Option<String> {
    let has = |item: &Item| matches!(item, Item::Step(step) if step.rule == *rule);
    chain.tiers.iter().find(|tier| tier.items.iter().any(has)).map(|tier| tier.tier.clone())
}

/// What the staged policies that the packet comes by would have done.
fn staged(program: &Program, chain: &Chain, packet: &Packet) -> Vec<StagedView> {
    let mut found = Vec::new();
    for tier in &chain.tiers {
        let mut decided = None;
        for item in &tier.items {
            match item {
                Item::Staged { policy, steps } => found.push(would(program, policy, steps, packet)),
                Item::Step(step) if step.action != Action::Log && program.passes(step, packet) => {
                    decided = Some(step.action);
                    break;
                }
                Item::Step(_) => {}
            }
        }
        let on = match decided {
            Some(action) => action == Action::Pass,
            None => tier.end == policy::program::End::Pass,
        };
        if !on {
            break;
        }
    }
    found
}

fn would(program: &Program, policy: &ObjectKey, steps: &[std::sync::Arc<Step>], packet: &Packet) -> StagedView {
    let deciding = |step: &&std::sync::Arc<Step>| step.action != Action::Log && program.passes(step, packet);
    let found = steps.iter().find(deciding);
    StagedView {
        object: policy.to_string(),
        rule: found.map(|step| step.rule.index as u64),
        action: found.map_or("no rule matches".to_string(), |step| step.action.to_string()),
    }
}
