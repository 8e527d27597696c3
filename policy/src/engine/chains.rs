//! Chains of a class: the steps of the policies that are about it, in tiers.

use model::object::{DefaultAction, HostTraffic};

use super::class::{ClassKey, Kind};
use super::policies::{Policies, State};
use crate::program::{Chain, End, Item, Rest, TierChain};
use crate::rules::{Direction, Force};

/// For which packets a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A pod's, or those of a host's own processes.
    Local,
    /// Those that a host forwards.
    Forwarded,
    /// All of a host, before connections are tracked.
    Untracked,
    /// All of a host, before a Service's address is translated.
    BeforeDnat,
}

impl Stage {
    fn has(self, traffic: HostTraffic) -> bool {
        match self {
            Stage::Local => matches!(traffic, HostTraffic::Local | HostTraffic::Forwarded),
            Stage::Forwarded => traffic == HostTraffic::Forwarded,
            Stage::Untracked => traffic == HostTraffic::Untracked,
            Stage::BeforeDnat => traffic == HostTraffic::BeforeDnat,
        }
    }
}

/// The chain of a class, given the policies that are about it in the order in which they are asked; None: it is open.
pub fn chain(
    policies: &Policies,
    about: &[&State],
    class: &ClassKey,
    direction: Direction,
    stage: Stage,
) -> Option<Chain> {
    let says = |state: &&&State| state.policy.rules(direction).is_some() && stage.has(state.policy.traffic);
    let mut tiers: Vec<TierChain> = Vec::new();
    for state in about.iter().filter(says) {
        let policy = &state.policy;
        if tiers.last().is_none_or(|tier| tier.tier != policy.tier) {
            tiers.push(TierChain { tier: policy.tier.clone(), items: Vec::new(), end: End::Pass });
        }
        let Some(tier) = tiers.last_mut() else { continue };
        let steps = state.templates(direction).iter().filter_map(|template| template.step(class));
        if policy.force == Force::Staged {
            tier.items.push(Item::Staged { policy: policy.key.clone(), steps: steps.collect() });
            continue;
        }
        tier.items.extend(steps.map(Item::Step));
        // Before its time, a packet that nothing decides goes on its way.
        let may_deny = matches!(stage, Stage::Local | Stage::Forwarded);
        let denies = may_deny && policies.end(&policy.tier) == DefaultAction::Deny;
        match &mut tier.end {
            End::Deny { policies } => policies.push(policy.key.clone()),
            end if denies => *end = End::Deny { policies: vec![policy.key.clone()] },
            _ => {}
        }
    }
    let closed = class.kind == Kind::ClosedHost && stage == Stage::Local;
    let rest = if closed { Rest::Deny } else { Rest::Allow };
    (closed || !tiers.is_empty()).then_some(Chain { tiers, rest })
}
