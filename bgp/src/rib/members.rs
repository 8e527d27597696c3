//! Who is told: peers that join the update groups of a family, leave them, and catch up with what the others know.

use super::aggregate::Formed;
use super::choice;
use super::export::{self, Withheld};
use super::group::{Closing, Group, GroupKey, Lot, Telling};
use super::outbox::{Emit, Outbox};
use super::shared::{Hold, Shared};
use super::table::{Dest, DestId, Path, Source, Table, Told};
use super::unicast::{BUDGET, RibPrefix, Unicast};
use crate::wire::Nlri;
use crate::wire::PeerKind;

impl<P: RibPrefix> Unicast<P> {
    /// Makes a peer a member of the group with this key, to be told everything.
    pub(crate) fn join(&mut self, shared: &mut Shared, member: Source, key: &GroupKey, closing: Closing) {
        let number = self.number_of_or_new(shared, key);
        if let Some(Some(group)) = self.groups.get_mut(number) {
            group.tell_all(member, closing);
        }
    }

    /// The number of the group with this key, which is made and told all if there is none.
    pub(super) fn number_of_or_new(&mut self, shared: &mut Shared, key: &GroupKey) -> usize {
        let same = |group: &Option<Group>| group.as_ref().is_some_and(|group| group.key == *key);
        if let Some(number) = self.groups.iter().position(same) {
            return number;
        }
        let free = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        if free == self.groups.len() {
            self.groups.push(None);
        }
        if let Some(place) = self.groups.get_mut(free) {
            *place = Some(Group::new(key.clone()));
        }
        self.fill(shared, free);
        free
    }

    pub(super) fn group(&self, number: usize) -> Option<&Group> {
        self.groups.get(number).and_then(Option::as_ref)
    }

    /// Tells a member everything again (RFC 2918).
    pub(crate) fn tell_again(&mut self, member: Source, closing: Closing) {
        let Some((number, group)) = self.group_of(member) else { return };
        let told = |told: &Told| told.group == number;
        let all = match &group.several {
            Some(several) => several.dests().collect(),
            None => {
                let all = self.table.iter().filter(|(_, dest)| dest.told.as_slice().iter().any(told));
                all.map(|(id, _)| id).collect()
            }
        };
        if let Some(Some(group)) = self.groups.get_mut(usize::from(number)) {
            group.tell_again(member, all, closing);
        }
    }

    /// What a member is still to be sent when it knows all.
    pub(crate) fn closing_of(&self, member: Source) -> Closing {
        self.group_of(member).map_or(Closing::Nothing, |(_, group)| group.closing_of(member))
    }

    /// Notes what the members of a new group are to be told.
    fn fill(&mut self, shared: &mut Shared, number: usize) {
        let Some(Some(group)) = self.groups.get_mut(number) else { return };
        for id in 0..self.table.end() {
            let Some(dest) = self.table.dest_mut(id) else { continue };
            let external = group.key.kind == PeerKind::External;
            if external && self.aggregates.iter().any(|formed| formed.hides(&dest.prefix.into())) {
                continue;
            }
            if group.key.several.is_some() {
                let ranked = choice::ranked(shared, dest.paths.as_slice());
                let wanted = export::told_of(shared, &self.guard, &group.key, &ranked, dest.prefix.into());
                group.settle_several(shared, (id, dest.prefix), &wanted, &mut Outbox::default());
                continue;
            }
            let Some(chosen) = choice::choose(shared, dest.paths.as_slice()) else { continue };
            if export::tells(shared, &self.guard, &group.key, &chosen.path, dest.prefix.into()) {
                let Path { attrs, source, .. } = chosen.path;
                shared.attrs.hold(attrs, 1);
                group.told.more(source);
                dest.told.push(Told { attrs, group: number as u16, source });
            }
        }
    }

    /// A peer is told nothing any more.
    pub(crate) fn leave(&mut self, shared: &mut Shared, member: Source) {
        for number in 0..self.groups.len() {
            let Some(Some(group)) = self.groups.get_mut(number) else { continue };
            if !group.contains(member) {
                continue;
            }
            group.remove(member);
            self.drop_if_empty(shared, number);
        }
    }

    pub(super) fn drop_if_empty(&mut self, shared: &mut Shared, number: usize) {
        let Some(place) = self.groups.get_mut(number) else { return };
        let Some(group) = place.take_if(|group| group.is_empty()) else { return };
        match group.several {
            Some(several) => several.release(shared),
            None => self.clear(shared, number as u16),
        }
    }

    fn clear(&mut self, shared: &mut Shared, number: u16) {
        for id in 0..self.table.end() {
            let Some(dest) = self.table.dest_mut(id) else { continue };
            dest.told.extract(|told| told.group == number, |told| shared.attrs.release(told.attrs));
            self.free_if_empty(id);
        }
    }

    /// The group of a member and its number.
    pub(crate) fn group_of(&self, member: Source) -> Option<(u16, &Group)> {
        let mut groups = self.groups.iter().enumerate();
        groups.find_map(|(number, group)| {
            group.as_ref().filter(|group| group.contains(member)).map(|group| (number as u16, group))
        })
    }

    pub(super) fn anybody_behind(&self) -> bool {
        self.groups.iter().flatten().any(|group| !group.behind.is_empty())
    }

    /// Tells one batch of members that are behind some of what they have not been told.
    pub(super) fn catch_up(&mut self, shared: &mut Shared, emits: &mut Vec<Emit>) -> bool {
        let end = self.table.end();
        for number in 0..self.groups.len() {
            let Some(Some(group)) = self.groups.get_mut(number) else { continue };
            group.set_slow_apart(shared);
            let Some(place) = group.behind.iter().position(|behind| behind.can_go_on(shared, end)) else { continue };
            let mut behind = group.behind.remove(place);
            let outbox = match behind.next_lot(BUDGET, end) {
                Lot::Due(ids) => due(&self.table, group, number, ids),
                Lot::New(ids) => new(&self.table, group, number, ids),
            };
            outbox.send(shared, &group.key, &behind.members, emits);
            let waits = behind.closing == Closing::EndOfRib && shared.hold == Hold::Learned;
            if behind.is_through(end) && !waits {
                match behind.closing {
                    Closing::EndOfRib => Outbox::<P>::end_of_rib(&behind.members, emits),
                    Closing::EndOfRefresh => Outbox::<P>::end_of_refresh(&behind.members, emits),
                    Closing::Nothing => {}
                }
                group.go_live(behind.members);
            } else {
                group.behind.push(behind);
            }
            return true;
        }
        false
    }

    /// Why the members of a group are not told of a path that is among the best; nothing if they are.
    pub(crate) fn withheld(
        &self,
        shared: &Shared,
        group: &GroupKey,
        path: &Path,
        prefix: model::Prefix,
    ) -> Option<Withheld> {
        let hides = |formed: &Formed| formed.hides(&prefix);
        if group.kind == PeerKind::External && self.aggregates.iter().any(hides) {
            return Some(Withheld::Suppressed);
        }
        export::withheld(shared, &self.guard, group, path, prefix)
    }

    /// What all groups were told of a destination.
    pub(crate) fn tellings<'a>(
        &'a self,
        id: DestId,
        dest: &'a Dest<P>,
    ) -> impl Iterator<Item = (&'a Group, Telling)> + 'a {
        let groups = self.groups.iter().enumerate().filter_map(|(number, group)| Some((number, group.as_ref()?)));
        groups.flat_map(move |(number, group)| group.tellings(number, id, dest).map(move |told| (group, told)))
    }
}

/// What a group was told of destinations that its member may know otherwise.
fn due<P: RibPrefix>(table: &Table<P>, group: &Group, number: usize, ids: Vec<DestId>) -> Outbox<P> {
    let mut outbox = Outbox::default();
    for id in ids {
        let Some(dest) = table.dest(id) else { continue };
        for path_id in group.ids(id) {
            let nlri = Nlri { prefix: dest.prefix, path_id };
            match group.tellings(number, id, dest).find(|told| told.path_id == path_id) {
                Some(told) => {
                    outbox.updates.push((told.attrs, told.source, nlri));
                    outbox.retractions.push((told.source, nlri));
                }
                None => outbox.withdrawals.push(nlri),
            }
        }
    }
    outbox
}

/// What a group was told of destinations that its member has not heard of.
pub(super) fn new<P: RibPrefix>(
    table: &Table<P>,
    group: &Group,
    number: usize,
    ids: std::ops::Range<DestId>,
) -> Outbox<P> {
    let dests = ids.filter_map(|id| Some((id, table.dest(id)?)));
    let told = dests.flat_map(|(id, dest)| {
        let told = group.tellings(number, id, dest);
        told.map(|told| (told.attrs, told.source, Nlri { prefix: dest.prefix, path_id: told.path_id }))
    });
    Outbox { updates: told.collect(), ..Outbox::default() }
}
