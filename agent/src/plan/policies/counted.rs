//! What the kernel has counted, by the rules of policies that the table's rules stand for.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::api::show::{CounterView, PolicyCounterView};
use policy::program::{Chain, ChainKey, RuleRef};

use super::Tally;
use crate::plan::firewall::{Meaning, Rendered, Way, render};

/// By the name of a chain of the table: what each of its rules has counted, in order; none for one without a counter.
pub type Counts = BTreeMap<String, Vec<Option<CounterView>>>;

/// A chain that an endpoint of this node has, and which way.
pub type Used = (Way, ChainKey, Arc<Chain>);

/// What was counted of one chain.
#[derive(Debug, Default)]
pub struct Counted {
    rules: BTreeMap<RuleRef, CounterView>,
    staged: BTreeMap<RuleRef, CounterView>,
    ends: BTreeMap<String, CounterView>,
}

impl Tally for Counted {
    fn rule(&self, rule: &RuleRef) -> Option<CounterView> {
        self.rules.get(rule).copied()
    }
    fn staged(&self, rule: &RuleRef) -> Option<CounterView> {
        self.staged.get(rule).copied()
    }
    fn end(&self, tier: &str) -> Option<CounterView> {
        self.ends.get(tier).copied()
    }
}

/// The names of the table's chains that a chain of policies becomes.
pub fn names((way, key, chain): &Used) -> Vec<String> {
    render(*way, key, chain).into_iter().map(|rendered| rendered.name).collect()
}

/// What the kernel counted of a chain; of what it does not have, nothing.
pub fn counted((way, key, chain): &Used, counts: &Counts) -> Counted {
    let mut counted = Counted::default();
    each(render(*way, key, chain), counts, |meaning, counter| {
        let sum = match meaning {
            Meaning::Rule(rule, _) => counted.rules.entry(rule).or_default(),
            Meaning::Staged(rule, _) => counted.staged.entry(rule).or_default(),
            Meaning::End(tier) => counted.ends.entry(tier).or_default(),
            Meaning::Jump(_) => return,
        };
        *sum = sum.and(counter);
    });
    counted
}

/// What each policy did, over all chains.
pub fn by_policy(used: &[Used], counts: &Counts) -> Vec<PolicyCounterView> {
    let mut sums: BTreeMap<(String, String, bool), CounterView> = BTreeMap::new();
    for (way, key, chain) in used {
        each(render(*way, key, chain), counts, |meaning, counter| {
            let place = match meaning {
                Meaning::Rule(rule, action) => (rule.policy.to_string(), action.to_string().to_lowercase(), false),
                Meaning::Staged(rule, action) => (rule.policy.to_string(), action.to_string().to_lowercase(), true),
                Meaning::End(tier) => (format!("end of tier {tier}"), end(chain, &tier).into(), false),
                Meaning::Jump(_) => return,
            };
            let sum = sums.entry(place).or_default();
            *sum = sum.and(counter);
        });
    }
    let view = |((object, action, staged), counter)| PolicyCounterView { object, action, counter, staged };
    sums.into_iter().map(view).collect()
}

/// What policies did since the agent began, for whoever wants numbers that never fall: a chain whose policies changed is
/// another chain, which begins at nothing.
#[derive(Debug, Default)]
pub struct Totals {
    last: Counts,
    sums: BTreeMap<(String, String, bool), CounterView>,
}

impl Totals {
    /// Takes in what the kernel counts now, and tells all that was counted of the policies that there are.
    pub fn add(&mut self, used: &[Used], counts: Counts) -> Vec<PolicyCounterView> {
        let grown = counts.iter().map(|(name, now)| (name.clone(), grown(self.last.get(name), now))).collect();
        self.last = counts;
        let mut before = std::mem::take(&mut self.sums);
        let mut views = by_policy(used, &grown);
        for view in &mut views {
            let place = (view.object.clone(), view.action.clone(), view.staged);
            view.counter = view.counter.and(before.remove(&place).unwrap_or_default());
            self.sums.insert(place, view.counter);
        }
        views
    }
}

/// By how much each counter has grown; one that is smaller than it was began anew.
fn grown(last: Option<&Vec<Option<CounterView>>>, now: &[Option<CounterView>]) -> Vec<Option<CounterView>> {
    let last = last.filter(|last| last.len() == now.len());
    let before = |at: usize| last.and_then(|last| *last.get(at)?).unwrap_or_default();
    let grew = |(at, now): (usize, &Option<CounterView>)| {
        let now = (*now)?;
        let before = Some(before(at)).filter(|before| before.packets <= now.packets).unwrap_or_default();
        Some(CounterView { packets: now.packets - before.packets, bytes: now.bytes.saturating_sub(before.bytes) })
    };
    now.iter().enumerate().map(grew).collect()
}

fn end(chain: &Chain, tier: &str) -> &'static str {
    let of = chain.tiers.iter().find(|of| of.tier == tier);
    match of.map(|of| &of.end) {
        Some(policy::program::End::Pass) => "pass",
        _ => "deny",
    }
}

/// The rules of chains that the kernel has as they were rendered, with what they counted.
fn each(rendered: Vec<Rendered>, counts: &Counts, mut add: impl FnMut(Meaning, CounterView)) {
    for Rendered { name, rules } in rendered {
        let Some(counts) = counts.get(&name).filter(|counts| counts.len() == rules.len()) else { continue };
        for ((_, meaning), count) in rules.into_iter().zip(counts) {
            if let Some(count) = count {
                add(meaning, *count);
            }
        }
    }
}
