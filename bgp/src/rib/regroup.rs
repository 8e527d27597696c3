//! A peer that moves to another update group: it hears of what the two groups were told differently, and of nothing else.

use hashbrown::HashMap;
use model::filter::Decision;
use smallvec::SmallVec;

use super::export;
use super::group::{Group, GroupKey, Telling};
use super::shared::Shared;
use super::table::{Dest, DestId, Source};
use super::unicast::{RibPrefix, Unicast};

impl<P: RibPrefix> Unicast<P> {
    /// Moves a member whose session is up to another group.
    ///
    /// What it knows is what its old group was told, as far as it had got there; where the new group was told
    /// otherwise, the difference is due to it, withdrawals too (RFC 4271 §9.2).
    pub(crate) fn regroup(&mut self, shared: &mut Shared, member: Source, key: &GroupKey) {
        let Some((old, group)) = self.group_of(member) else { return };
        if group.key == *key {
            return;
        }
        let before = group.key.clone();
        let mut standing = group.standing_of(member);
        let new = self.number_of_or_new(shared, key);
        let mut compare = Compare { shared, before: &before, now: key, known: HashMap::new() };
        let known = self.table.iter().take_while(|(id, _)| *id < standing.cursor);
        let (Some(group), Some(next)) = (self.group(old.into()), self.group(new)) else { return };
        let told = |group: &Group, number: usize, id: DestId, dest: &Dest<P>| {
            let mut told: Tellings = group.tellings(number, id, dest).filter(|told| told.source != member).collect();
            told.sort_unstable_by_key(|told| told.path_id);
            told
        };
        let differs = known.filter(|(id, dest)| {
            let (before, now) = (told(group, old.into(), *id, dest), told(next, new, *id, dest));
            compare.differs(dest, &before, &now)
        });
        let differs: Vec<(DestId, u32)> = differs.map(|(id, _)| (id, *group.ids(id).end())).collect();
        standing.due.extend(differs.iter().map(|(id, _)| *id));
        if let Some(Some(group)) = self.groups.get_mut(usize::from(old)) {
            group.remove(member);
        }
        if let Some(Some(group)) = self.groups.get_mut(new) {
            group.behind.push(standing);
            differs.into_iter().for_each(|(id, highest)| group.expect_ids(id, highest));
        }
        self.drop_if_empty(shared, usize::from(old));
    }
}

type Tellings = SmallVec<[Telling; 2]>;

/// A path and what the rules of the two groups say of it.
type Question = (u32, Source, Decision, Decision);

/// Two ways of telling the same routes.
struct Compare<'a> {
    shared: &'a Shared,
    before: &'a GroupKey,
    now: &'a GroupKey,
    /// Whether the attributes come out other: few paths and decisions, many prefixes.
    known: HashMap<Question, bool>,
}

impl Compare<'_> {
    fn differs<P: RibPrefix>(&mut self, dest: &Dest<P>, before: &[Telling], now: &[Telling]) -> bool {
        before != now || now.iter().any(|told| self.comes_out_other(dest, (told.attrs, told.source)))
    }

    fn comes_out_other<P: RibPrefix>(&mut self, dest: &Dest<P>, (attrs, source): (u32, Source)) -> bool {
        let (shared, before, now) = (self.shared, self.before, self.now);
        let decided = |key: &GroupKey| shared.export_decision(key, attrs, source, dest.prefix.into());
        let (then, by_now) = (decided(before), decided(now));
        *self.known.entry((attrs, source, then, by_now)).or_insert_with(|| {
            let out = |key: &GroupKey, decision| {
                export::outgoing(shared, key, attrs, source, key.filters.operations(decision))
            };
            before.transmit != now.transmit || out(before, then) != out(now, by_now)
        })
    }
}
