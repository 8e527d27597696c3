//! What the speaker believes: the best next hops of each prefix.

use std::collections::BTreeMap;

use bgp::speaker::{Best, RouteChange};
use model::Prefix;

use super::Dirty;

/// The speaker's best routes.
#[derive(Debug, Default)]
pub struct Learned {
    routes: BTreeMap<Prefix, Best>,
}

impl Learned {
    /// Takes a change in.
    pub fn learn(&mut self, change: RouteChange) -> Dirty {
        match change.best {
            Some(best) => {
                self.routes.insert(change.prefix, best);
            }
            None => {
                self.routes.remove(&change.prefix);
            }
        }
        Dirty::routes([change.prefix])
    }

    /// The best next hops of a prefix.
    pub fn best(&self, prefix: &Prefix) -> Option<&Best> {
        self.routes.get(prefix)
    }

    /// All prefixes that have one.
    pub fn prefixes(&self) -> impl Iterator<Item = &Prefix> {
        self.routes.keys()
    }
}
