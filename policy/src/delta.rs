//! What changed in a program: enough to bring a copy of it up to date, and no more than that.

use std::collections::{BTreeMap, BTreeSet};

use crate::program::{ChainKey, EndpointKey, Members, Program, SetKey};

/// From one program to the next. What was made is found in the program itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    /// Sets that were made, that are gone, or whose members changed.
    pub sets: BTreeMap<SetKey, SetChange>,
    /// Chains that are new.
    pub chains_made: BTreeSet<ChainKey>,
    /// Chains that no endpoint has any more.
    pub chains_gone: BTreeSet<ChainKey>,
    /// Endpoints that have other chains now, or none.
    pub endpoints: BTreeSet<EndpointKey>,
}

/// What happened to a set.
#[derive(Debug, Clone, PartialEq)]
pub enum SetChange {
    /// It is new.
    Made,
    /// No chain names it any more.
    Gone,
    /// It has other members.
    Members {
        /// Those that it did not have before; of nets, ranges that were not ranges of it before.
        added: Members,
        /// Those that it does not have any more.
        removed: Members,
    },
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.chains_made.is_empty() && self.chains_gone.is_empty() && self.endpoints.is_empty()
    }

    /// Brings a copy of the program before up to date, with what was made taken from the program after.
    pub fn apply(&self, before: &mut Program, after: &Program) {
        for (key, change) in &self.sets {
            match change {
                SetChange::Gone => _ = before.sets.remove(key),
                SetChange::Made => before.sets.extend(after.sets.get(key).map(|set| (key.clone(), set.clone()))),
                SetChange::Members { added, removed } => {
                    if let Some(set) = before.sets.get_mut(key) {
                        set.members.change(added, removed);
                    }
                }
            }
        }
        before.chains.retain(|key, _| !self.chains_gone.contains(key));
        for key in &self.chains_made {
            before.chains.extend(after.chains.get(key).map(|chain| (key.clone(), chain.clone())));
        }
        for key in &self.endpoints {
            match after.endpoints.get(key) {
                Some(chains) => _ = before.endpoints.insert(key.clone(), chains.clone()),
                None => _ = before.endpoints.remove(key),
            }
        }
    }
}
