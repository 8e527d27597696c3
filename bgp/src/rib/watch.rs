//! What changes in the tables, for those who watch them from outside (BMP): noted as it happens, taken out in order.

use std::collections::BTreeSet;

use model::Prefix;

use super::shared::Shared;
use super::table::{Age, OWN, Path, Source};
use crate::bmp::Table;

/// Changes that may wait to be taken out; more than that and the watchers have to begin anew.
const MOST: usize = 1 << 17;

/// One change of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub table: Table,
    /// Whose table; this node for the Loc-RIB.
    pub source: Source,
    /// What is there now: a name of attributes, of which this is one reference. None if nothing is.
    pub attrs: Option<u32>,
    pub prefix: Prefix,
    pub path_id: u32,
}

/// What is watched, and what was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    tables: BTreeSet<Table>,
    /// Peers whose tables the watchers know of.
    peers: BTreeSet<Source>,
    seen: Vec<Seen>,
    overrun: bool,
}

/// What was seen.
#[derive(Debug)]
pub(crate) enum Sight {
    /// In order. The references to attributes are the taker's.
    Changes(Vec<Seen>),
    /// Too much: whatever the watchers know is not to be trusted.
    Overrun,
}

impl Watch {
    /// From now on these tables.
    pub(crate) fn watch(&mut self, tables: BTreeSet<Table>) {
        self.tables = tables;
    }

    pub(crate) fn follow(&mut self, peer: Source) {
        self.peers.insert(peer);
    }

    pub(crate) fn leave(&mut self, peer: Source) {
        self.peers.remove(&peer);
    }

    fn watches(&self, table: Table) -> bool {
        self.tables.contains(&table)
    }
}

impl Shared {
    /// Whether anybody wants to know of what this peer's paths become.
    pub(crate) fn is_watched(&self, source: Source) -> bool {
        !self.watch.tables.is_empty() && self.watch.peers.contains(&source)
    }

    /// A path came, in place of an older one or not. Both names of attributes are still held.
    pub(crate) fn saw_path(&mut self, prefix: Prefix, old: Option<&Path>, new: &Path) {
        // What is stale was told in a session before this one.
        let old = old.filter(|old| old.age.is_of_this_session());
        let received = |path: &Path| self.attrs.value(path.attrs).map(|value| value.received().clone());
        let same = |old: &Path| old.attrs == new.attrs || received(old) == received(new);
        if self.watch.watches(Table::AdjInPre) && !old.is_some_and(same) {
            self.note(Table::AdjInPre, new, prefix, Some(new.attrs));
        }
        if self.watch.watches(Table::AdjInPost) {
            let before = old.filter(|old| old.refusal.is_none()).map(|old| old.attrs);
            let now = new.refusal.is_none().then_some(new.attrs);
            if before != now {
                self.note(Table::AdjInPost, new, prefix, now);
            }
        }
    }

    /// A path went.
    pub(crate) fn saw_end(&mut self, prefix: Prefix, path: &Path) {
        if self.watch.watches(Table::AdjInPre) {
            self.note(Table::AdjInPre, path, prefix, None);
        }
        if self.watch.watches(Table::AdjInPost) && path.refusal.is_none() {
            self.note(Table::AdjInPost, path, prefix, None);
        }
    }

    /// A prefix was looked at: this is its best path.
    pub(crate) fn saw_best(&mut self, prefix: Prefix, best: Option<&Path>) {
        if self.watch.watches(Table::Loc) {
            let own = Path { attrs: 0, path_id: 0, source: OWN, refusal: None, age: Age::Fresh };
            self.note(Table::Loc, &own, prefix, best.map(|path| path.attrs));
        }
    }

    fn note(&mut self, table: Table, path: &Path, prefix: Prefix, attrs: Option<u32>) {
        if self.watch.seen.len() >= MOST {
            self.watch.overrun = true;
            return;
        }
        if let Some(attrs) = attrs {
            self.attrs.hold(attrs, 1);
        }
        self.watch.seen.push(Seen { table, source: path.source, attrs, prefix, path_id: path.path_id });
    }

    /// What was seen since the last time; nothing if that is nothing.
    pub(crate) fn take_sight(&mut self) -> Option<Sight> {
        if self.watch.seen.is_empty() {
            return None;
        }
        let seen = std::mem::take(&mut self.watch.seen);
        if std::mem::take(&mut self.watch.overrun) {
            self.let_go(&seen);
            return Some(Sight::Overrun);
        }
        Some(Sight::Changes(seen))
    }

    /// Gives the references of what was seen back.
    pub(crate) fn let_go(&mut self, seen: &[Seen]) {
        seen.iter().filter_map(|one| one.attrs).for_each(|attrs| self.attrs.release(attrs));
    }
}
