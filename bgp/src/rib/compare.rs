//! What one peer is told by two speakers, of which one is a changed copy of the other.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Prefix;
use model::filter::Decision;

use super::export;
use super::group::{Group, Telling};
use super::shared::Shared;
use super::table::Source;
use super::unicast::{RibPrefix, Unicast};
use crate::speaker::Named;
use crate::wire::Attributes;

/// What the tables of one family tell one peer.
#[derive(Debug)]
pub(crate) struct View<'a, P> {
    shared: &'a Shared,
    tables: &'a Unicast<P>,
    /// The peer, and its group: none if it is told nothing.
    to: Option<(Source, usize, &'a Group)>,
    /// Attributes as they go out: few, of many prefixes.
    known: HashMap<(u32, Source, Decision), Option<Arc<Attributes>>>,
}

/// By prefix: told by the second only, by the first only, by both with other attributes.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    pub announced: Named,
    pub withdrawn: Named,
    pub altered: Named,
}

impl<'a, P: RibPrefix> View<'a, P> {
    pub(crate) fn of(shared: &'a Shared, tables: &'a Unicast<P>, peer: Option<Source>) -> View<'a, P> {
        let to = peer.and_then(|peer| tables.group_of(peer).map(|(number, group)| (peer, number.into(), group)));
        View { shared, tables, to, known: HashMap::new() }
    }

    /// What the peer is told of a prefix, in the order of the table.
    fn told(&mut self, prefix: P) -> Vec<Arc<Attributes>> {
        let Some((peer, number, group)) = self.to else { return Vec::new() };
        let Some(id) = self.tables.table.find(&prefix) else { return Vec::new() };
        let Some(dest) = self.tables.table.dest(id) else { return Vec::new() };
        let key = &group.key;
        let mut told: Vec<Telling> = group.tellings(number, id, dest).filter(|told| told.source != peer).collect();
        told.sort_unstable_by_key(|told| told.path_id);
        let shared = self.shared;
        let out = told.into_iter().filter_map(|told| {
            let decision = shared.export_decision(key, told.attrs, told.source, prefix.into());
            let outgoing = || {
                let operations = key.filters.operations(decision);
                export::outgoing(shared, key, told.attrs, told.source, operations).map(Arc::new)
            };
            self.known.entry((told.attrs, told.source, decision)).or_insert_with(outgoing).clone()
        });
        out.collect()
    }

    fn prefixes(&self) -> impl Iterator<Item = P> + use<'a, P> {
        let (to, table) = (self.to, &self.tables.table);
        let told = table.iter().filter(move |(id, dest)| {
            to.is_some_and(|(_, number, group)| group.tellings(number, *id, dest).next().is_some())
        });
        told.map(|(_, dest)| dest.prefix)
    }
}

/// Adds what the two tell otherwise.
pub(crate) fn compare<P: RibPrefix>(mut first: View<'_, P>, mut second: View<'_, P>, found: &mut Differences) {
    for prefix in first.prefixes() {
        let (before, after) = (first.told(prefix), second.told(prefix));
        let named: Prefix = prefix.into();
        match (before.is_empty(), after.is_empty()) {
            (true, _) => {}
            (false, true) => found.withdrawn.add(named),
            (false, false) if before == after => {}
            (false, false) => found.altered.add(named),
        }
    }
    for prefix in second.prefixes() {
        if first.told(prefix).is_empty() && !second.told(prefix).is_empty() {
            found.announced.add(prefix.into());
        }
    }
}
