//! The policies about this node's endpoints as people read them: in the order in which they are asked, each rule in words.

pub mod counted;
pub mod denials;
pub mod sides;
mod words;

use std::net::IpAddr;

use model::api::show::{
    CounterView, PolicyChainView, PolicyCount, PolicyPodView, PolicyRuleView, PolicyRulesView, PolicyTierView,
    PolicyView,
};
use model::object::ObjectKey;
use policy::program::{Chain, ChainKey, End, EndpointKey, Item, Program, RuleRef, Step, TierChain};

use std::sync::Arc;

use crate::plan::firewall::{Bounded, bounded};

/// What the kernel has counted of one chain; nothing where it was not asked.
pub trait Tally {
    /// Of a rule of a policy.
    fn rule(&self, rule: &RuleRef) -> Option<CounterView>;
    /// Of a rule of a staged policy.
    fn staged(&self, rule: &RuleRef) -> Option<CounterView>;
    /// Of what came to the end of a tier.
    fn end(&self, tier: &str) -> Option<CounterView>;
}

/// Nobody has asked the kernel.
pub struct Uncounted;

impl Tally for Uncounted {
    fn rule(&self, _: &RuleRef) -> Option<CounterView> {
        None
    }
    fn staged(&self, _: &RuleRef) -> Option<CounterView> {
        None
    }
    fn end(&self, _: &str) -> Option<CounterView> {
        None
    }
}

/// How many policies are about an endpoint.
pub fn count(program: &Program, endpoint: &EndpointKey, addresses: Vec<IpAddr>) -> PolicyPodView {
    let chains = program.endpoints.get(endpoint);
    let of = |key: Option<&ChainKey>| key.and_then(|key| program.chains.get(key)).map(|chain| policies(chain));
    PolicyPodView {
        endpoint: endpoint.to_string(),
        addresses,
        ingress: of(chains.and_then(|chains| chains.ingress.as_ref())).unwrap_or_default(),
        egress: of(chains.and_then(|chains| chains.egress.as_ref())).unwrap_or_default(),
    }
}

fn policies(chain: &Chain) -> PolicyCount {
    let views = chain.tiers.iter().flat_map(|tier| of_tier(&Program::default(), tier, &Uncounted).policies);
    let mut count = PolicyCount::default();
    for policy in views {
        if policy.staged {
            count.staged += 1;
        } else {
            count.policies += 1;
        }
    }
    count
}

/// Everything about an endpoint, with what was counted of its chains, ingress and egress.
pub fn view(program: &Program, endpoint: &EndpointKey, addresses: Vec<IpAddr>, tallies: [&dyn Tally; 2]) -> PolicyView {
    let chains = program.endpoints.get(endpoint);
    let [of_ingress, of_egress] = tallies;
    let direction = |key: Option<&ChainKey>, tally| match key.and_then(|key| Some((key, program.chains.get(key)?))) {
        Some((key, chain)) => {
            let Bounded { chain, cut_short } = bounded(chain);
            let tiers = chain.tiers.iter().map(|tier| of_tier(program, tier, tally)).collect();
            PolicyChainView { open: false, chain: Some(key.to_string()), tiers, cut_short }
        }
        None => PolicyChainView { open: true, ..PolicyChainView::default() },
    };
    PolicyView {
        endpoint: endpoint.to_string(),
        addresses,
        ingress: direction(chains.and_then(|chains| chains.ingress.as_ref()), of_ingress),
        egress: direction(chains.and_then(|chains| chains.egress.as_ref()), of_egress),
        counters: String::new(),
    }
}

fn of_tier(program: &Program, tier: &TierChain, tally: &dyn Tally) -> PolicyTierView {
    let mut policies: Vec<PolicyRulesView> = Vec::new();
    for item in &tier.items {
        match item {
            Item::Step(step) => {
                let policy = of_policy(&mut policies, &step.rule.policy, Standing::InForce);
                add(program, policy, step, tally.rule(&step.rule));
            }
            Item::Staged { policy, steps } => {
                let policy = of_policy(&mut policies, policy, Standing::Staged);
                steps.iter().for_each(|step| add(program, policy, step, tally.staged(&step.rule)));
            }
        }
    }
    let end = match &tier.end {
        End::Deny { policies: about } => {
            // Those without rules allow nothing, and are why it is denied all the same.
            about.iter().for_each(|key| _ = of_policy(&mut policies, key, Standing::InForce));
            "Deny"
        }
        End::Unknown => "Deny (the pod's object was not seen yet)",
        End::Pass => "Pass",
    };
    let counter = tally.end(&tier.tier);
    PolicyTierView { tier: tier.tier.clone(), policies, end: end.into(), counter }
}

/// Whether a policy is enforced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    InForce,
    Staged,
}

/// The view of a policy, a new one if it is not among them.
fn of_policy<'a>(
    policies: &'a mut Vec<PolicyRulesView>,
    key: &ObjectKey,
    standing: Standing,
) -> &'a mut PolicyRulesView {
    let (object, staged) = (key.to_string(), standing == Standing::Staged);
    let at = policies.iter().position(|policy| policy.object == object && policy.staged == staged);
    let at = at.unwrap_or_else(|| {
        policies.push(PolicyRulesView { object, staged, rules: Vec::new() });
        policies.len() - 1
    });
    &mut policies[at]
}

/// One rule may be several steps.
fn add(program: &Program, policy: &mut PolicyRulesView, step: &Arc<Step>, counter: Option<CounterView>) {
    let rule = step.rule.index as u64;
    let text = words::matches(program, step);
    match policy.rules.iter_mut().find(|known| known.rule == rule) {
        Some(known) => known.matches.push(text),
        None => {
            policy.rules.push(PolicyRuleView { rule, action: step.action.to_string(), matches: vec![text], counter })
        }
    }
}
