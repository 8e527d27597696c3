//! The reconciler and packet rules: one change of the table is under way at a time, what is planned meanwhile is the next.
//!
//! Nothing is changed in a table that is not known: at the start, after a failure, and when others have changed it, it is
//! read and made whole.

use std::time::Duration;

use dataplane::ruleset::Ruleset;
use model::Time;
use model::api::{RefusalCode, Reply};
use policy::Delta;

use super::laying::Slot;
use super::{Reconciler, refuse};
use crate::apply::{Job, RulesOutcome, RulesWork};
use crate::plan::firewall::{Firewall, asks_for_base, base};
use crate::world::Dirty;

/// How long an ADD waits for its pod's rules. A shim waits longer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is wanted of the table, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// What is wanted.
    pub firewall: Firewall,
    /// The table as it was left; None where it has to be read.
    have: Option<Ruleset>,
    pub slot: Slot,
    /// Somebody else has changed it since the work under way was given.
    doubtful: bool,
    /// Counts the plans.
    planned: u64,
    /// The plan that the work under way leads to.
    under_way: u64,
    /// The last plan that is in force.
    in_force: u64,
    /// This kernel has no such tables.
    unsupported: bool,
}

impl Rules {
    /// Another than us has changed the table, or removed it.
    fn doubt(&mut self) {
        self.have = None;
        self.doubtful = self.slot.busy;
        self.slot.wanted = true;
    }

    /// What to do next.
    fn work(&mut self) -> Option<RulesWork> {
        let touched = self.firewall.take_touched();
        match &self.have {
            None => Some(RulesWork::Settle(Box::new(self.firewall.table().clone()))),
            Some(have) => {
                let change = self.firewall.transaction(have, &touched);
                (!change.is_empty()).then(|| RulesWork::Change(Box::new(change)))
            }
        }
    }
}

impl Reconciler {
    /// Plans what is dirty of the table.
    pub(super) fn plan_rules(&mut self, dirty: &Dirty) {
        let rules = &mut self.rules;
        if dirty.table {
            rules.doubt();
        }
        let delta = if dirty.policies { self.world.policies.update() } else { Delta::default() };
        let (program, endpoints) = (self.world.policies.program(), &self.world.endpoints);
        if dirty.nat || dirty.tunnel || asks_for_base(&self.world, dirty, &delta) {
            let base = base(&self.world, program, &self.desired);
            rules.firewall.lay_base(&base, program);
        }
        rules.firewall.follow(program, &delta, endpoints);
        rules.firewall.follow_interfaces(&dirty.interfaces, endpoints);
        if dirty.nat {
            let all: Vec<String> =
                rules.firewall.interfaces().chain(endpoints.interfaces().map(|(n, _)| n)).cloned().collect();
            rules.firewall.follow_interfaces(&all, endpoints);
        }
        for what in rules.firewall.take_cut_short() {
            tracing::warn!(what, "packet rules: policies are more than the kernel takes, and deny instead");
        }
        if rules.firewall.is_touched() {
            rules.planned += 1;
            rules.slot.wanted = true;
        }
    }

    /// Gives the next work, if there is any and nothing is under way.
    pub(super) fn push_rules(&mut self, now: Time) {
        let rules = &mut self.rules;
        if !rules.slot.begin(now) {
            return;
        }
        rules.under_way = rules.planned;
        match rules.work() {
            Some(work) => self.worker.give(Job::Rules(work)),
            None => {
                rules.slot.end(Ok(()), "packet rules", now);
                rules.in_force = rules.under_way;
            }
        }
    }

    /// Work on the table is done.
    pub(super) fn rules_done(&mut self, work: RulesWork, outcome: Result<RulesOutcome, String>, now: Time) {
        let rules = &mut self.rules;
        let whole = matches!(work, RulesWork::Settle(_));
        rules.unsupported = matches!(outcome, Ok(RulesOutcome::Unsupported(_)));
        let outcome = match outcome {
            Ok(RulesOutcome::Unsupported(why)) => Err(format!("this kernel has no tables of family inet ({why})")),
            outcome => outcome,
        };
        match (&outcome, work) {
            (Ok(_), RulesWork::Settle(table)) => rules.have = Some(*table),
            (Ok(_), RulesWork::Change(change)) => rules.have.iter_mut().for_each(|have| have.apply(&change)),
            (Err(_), _) => rules.have = None,
        }
        if let Ok(RulesOutcome::Changed(Some(what))) = &outcome {
            tracing::info!(%what, "packet rules made whole");
        }
        if outcome.is_ok() {
            rules.in_force = rules.under_way;
        }
        if std::mem::take(&mut rules.doubtful) {
            rules.doubt();
        }
        match outcome {
            // What a change could not do, the whole can: at once.
            Err(problem) if !whole => {
                tracing::warn!(%problem, "packet rules could not be changed; the whole table is read");
                rules.slot.end(Ok(()), "packet rules", now);
                rules.slot.wanted = true;
            }
            outcome => rules.slot.end(outcome.map(|_| ()), "packet rules", now),
        }
    }

    /// The number of the plan of packet rules, which grows with each.
    pub fn rules_planned(&self) -> u64 {
        self.rules.planned
    }

    /// The last plan of packet rules that is in force.
    pub fn rules_in_force(&self) -> u64 {
        self.rules.in_force
    }

    /// Whether pods start without rules: the kernel has none, and there is no policy that a pod would be without.
    pub fn does_without_rules(&self) -> bool {
        self.rules.unsupported && !self.world.policies.engine().has_policies()
    }

    /// The answer to an ADD whose pod's rules are not in force in time.
    pub fn without_rules(&self) -> Reply {
        let why = self.rules.slot.problem.as_deref().unwrap_or("the kernel is slow");
        refuse(RefusalCode::TryAgain, format!("the pod's packet rules are not in force yet: {why}"))
    }
}
