//! What the speaker believes: the best next hops of each prefix.

use std::collections::BTreeMap;

use bgp::PeerKey;
use bgp::speaker::{Best, PeerChange, RouteChange};
use model::Prefix;
use model::api::show::SessionState;

use super::Dirty;

/// The speaker's best routes.
#[derive(Debug, Default)]
pub struct Learned {
    routes: BTreeMap<Prefix, Best>,
    sessions: BTreeMap<PeerKey, SessionState>,
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

    /// Takes a session's state in. Nothing is planned by it: its routes say what follows.
    pub fn learn_session(&mut self, change: PeerChange) -> Dirty {
        match change.state {
            Some(state) => self.sessions.insert(change.peer, state),
            None => self.sessions.remove(&change.peer),
        };
        Dirty::nothing()
    }

    /// Whether a session is up.
    pub fn is_up(&self, peer: &PeerKey) -> bool {
        self.sessions.get(peer) == Some(&SessionState::Established)
    }

    /// The best next hops of a prefix.
    pub fn best(&self, prefix: &Prefix) -> Option<&Best> {
        self.routes.get(prefix)
    }

    /// The next prefix that has one, in order: what is inside a prefix follows it.
    pub fn first_after(&self, prefix: &Prefix) -> Option<&Prefix> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.routes.range((Excluded(*prefix), Unbounded)).next().map(|(next, _)| next)
    }

    /// All prefixes that have one.
    pub fn prefixes(&self) -> impl Iterator<Item = &Prefix> {
        self.routes.keys()
    }
}
