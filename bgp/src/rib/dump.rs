//! The tables as they are, some destinations at a time: for a station that has just connected, and for files.

use std::collections::BTreeSet;
use std::ops::Range;

use model::Prefix;

use super::choice;
use super::members::new;
use super::outbox::Emit;
use super::shared::Shared;
use super::table::{DestId, OWN, Path};
use super::unicast::{RibPrefix, Unicast};
use super::watch::Seen;
use crate::bmp::Table;

impl<P: RibPrefix> Unicast<P> {
    /// One above the highest destination.
    pub(crate) fn end(&self) -> DestId {
        self.table.end()
    }

    /// The paths of these destinations, those of this node too.
    pub(crate) fn paths_in(&self, ids: Range<DestId>) -> impl Iterator<Item = (Prefix, &[Path])> {
        ids.filter_map(|id| self.table.dest(id)).map(|dest| (dest.prefix.into(), dest.paths.as_slice()))
    }

    /// What [`Shared::saw_path`] and [`Shared::saw_best`] would have noted of these destinations in the tables that are
    /// wanted, sorted so that what can share a message stands together. No references to attributes are taken.
    pub(crate) fn sight_of(&self, shared: &Shared, wanted: &BTreeSet<Table>, ids: Range<DestId>) -> Vec<Seen> {
        let [before, after, loc] = [Table::AdjInPre, Table::AdjInPost, Table::Loc].map(|table| wanted.contains(&table));
        let mut seen = Vec::new();
        for (prefix, paths) in self.paths_in(ids) {
            let told = paths.iter().filter(|path| path.source != OWN && path.age.is_of_this_session());
            for path in told.filter(|_| before || after) {
                let of =
                    |table| Seen { table, source: path.source, attrs: Some(path.attrs), prefix, path_id: path.path_id };
                seen.extend(before.then(|| of(Table::AdjInPre)));
                seen.extend((after && path.refusal.is_none()).then(|| of(Table::AdjInPost)));
            }
            if loc && let Some(chosen) = choice::choose(shared, paths) {
                let attrs = Some(chosen.path.attrs);
                seen.push(Seen { table: Table::Loc, source: OWN, attrs, prefix, path_id: 0 });
            }
        }
        seen.sort_unstable();
        seen
    }

    /// What the members of all groups were told of these destinations, as they would hear it.
    pub(crate) fn told_in(&self, shared: &Shared, ids: Range<DestId>) -> Vec<Emit> {
        let mut emits = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            let Some(group) = group else { continue };
            let members: Vec<_> = group.members().collect();
            new(&self.table, group, number, ids.clone()).send(shared, &group.key, &members, &mut emits);
        }
        emits
    }
}
