//! As much of policies as the kernel takes: what is beyond is denied, and told.

use std::borrow::Cow;
use std::sync::Arc;

use policy::program::{Action, Chain, Item, Rest, Step, TierChain};

use super::chains::{asks_for_ports, ways};

/// The kernel follows 16 jumps: one to the first tier, one to each other, one to what ends a packet.
const TIERS: usize = 14;
/// Rules that a step becomes at most in each family.
const WAYS: usize = 1_000;

/// A chain of policies as the kernel judges by it.
#[derive(Debug, Clone)]
pub struct Bounded<'a> {
    /// What it judges by.
    pub chain: Cow<'a, Chain>,
    /// What of the policies is not in it, and is denied instead: a sentence each.
    pub cut_short: Vec<String>,
}

/// Nothing is allowed that the chain does not allow.
pub fn bounded(chain: &Chain) -> Bounded<'_> {
    let steps = chain.tiers.iter().flat_map(|tier| &tier.items).flat_map(Item::steps);
    if chain.tiers.len() <= TIERS && steps.clone().all(|step| fits(step)) {
        return Bounded { chain: Cow::Borrowed(chain), cut_short: Vec::new() };
    }
    let beyond = chain.tiers.get(TIERS).map(|tier| {
        format!(
            "tier {} and all after it are cut: of {TIERS} tiers about an endpoint the last denies what it passes",
            tier.tier
        )
    });
    let rest = if beyond.is_some() { Rest::Deny } else { chain.rest };
    let mut cut_short: Vec<String> = beyond.into_iter().collect();
    let tier = |tier: &TierChain| {
        let items = tier.items.iter().map(|item| of_item(item, &mut cut_short)).collect();
        TierChain { items, ..tier.clone() }
    };
    let tiers = chain.tiers.iter().take(TIERS).map(tier).collect();
    Bounded { chain: Cow::Owned(Chain { tiers, rest }), cut_short }
}

fn of_item(item: &Item, cut_short: &mut Vec<String>) -> Item {
    match item {
        Item::Step(step) if !fits(step) && step.action == Action::Log => Item::Step(without_ports(step, Action::Log)),
        Item::Step(step) if !fits(step) => {
            cut_short.push(format!(
                "{} names more than {WAYS} combinations of ranges of ports: it denies whatever the ports",
                step.rule
            ));
            Item::Step(without_ports(step, Action::Deny))
        }
        Item::Step(step) => Item::Step(step.clone()),
        Item::Staged { policy, steps } => {
            let step = |step: &Arc<Step>| if fits(step) { step.clone() } else { without_ports(step, step.action) };
            Item::Staged { policy: policy.clone(), steps: steps.iter().map(step).collect() }
        }
    }
}

fn without_ports(step: &Step, action: Action) -> Arc<Step> {
    let tests = step.tests.iter().filter(|test| !asks_for_ports(test)).cloned().collect();
    Arc::new(Step { tests, action, rule: step.rule.clone() })
}

/// Whether a step becomes no more rules than are made.
fn fits(step: &Step) -> bool {
    let of_ports = step.tests.iter().filter(|test| asks_for_ports(test)).map(ways);
    of_ports.fold(1, usize::saturating_mul) <= WAYS
}
