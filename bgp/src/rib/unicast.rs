//! The tables of one family: Adj-RIBs-In, Loc-RIB and Adj-RIBs-Out, prefix by prefix.

use std::collections::BTreeSet;
use std::hash::Hash;

use model::filter::{Chain, Decision, Direction};
use model::{Family, Prefix};

use super::aggregate::{Contribution, Formed};
use super::choice::{self, Choice};
use super::group::Group;
use super::outbox::{Emit, Outbox};
use super::shared::Shared;
use super::table::{Age, DestId, NO_HOPS, OWN, Path, Source, Table, Told};
use super::treat::{is_treated, treated};
use super::{Reason, RouteAttrs, export};
use crate::config::ImportPolicy;
use crate::filter::{Checked, Guard, Refusal};
use crate::speaker::{Best, RouteChange};
use crate::wire::{Attributes, Nlri, PeerKind, Prefix4, Prefix6};

/// A prefix of the family that a table is for.
pub(crate) trait RibPrefix: Checked + Copy + Eq + Ord + Hash + TryFrom<Prefix> {
    const FAMILY: Family;
}
impl RibPrefix for Prefix4 {
    const FAMILY: Family = Family::Ipv4;
}
impl RibPrefix for Prefix6 {
    const FAMILY: Family = Family::Ipv6;
}

/// The tables of one family.
#[derive(Debug, Clone)]
pub(crate) struct Unicast<P> {
    pub table: Table<P>,
    /// By number; numbers are used again.
    pub groups: Vec<Option<Group>>,
    pub guard: Guard,
    pub aggregates: Vec<Formed>,
    /// Destinations to be freed when nobody is behind who might still name them.
    vacant: Vec<DestId>,
}

impl<P> Default for Unicast<P> {
    fn default() -> Unicast<P> {
        Unicast {
            table: Table::default(),
            groups: Vec::new(),
            guard: Guard::default(),
            aggregates: Vec::new(),
            vacant: Vec::new(),
        }
    }
}

/// Destinations that one call of [`Unicast::work`] looks at.
pub(super) const BUDGET: usize = 4096;

impl<P: RibPrefix> Unicast<P> {
    /// A peer announces prefixes, all with the same attributes. `refusal` is that of the attributes.
    pub(crate) fn announce(
        &mut self,
        shared: &mut Shared,
        source: Source,
        prefixes: impl Iterator<Item = Nlri<P>>,
        attrs: u32,
        refusal: Option<Refusal>,
    ) {
        let Some(info) = shared.source(source) else { return };
        let (kind, import) = (info.kind, info.import);
        let chain = info.filters.chain(Direction::Import, P::FAMILY).clone();
        let received = shared.attrs.value(attrs).map(|value| value.attributes.clone());
        let received = received.filter(|received| !chain.is_empty() || is_treated(received, info));
        let mut last: Option<(Decision, u32)> = None;
        for Nlri { prefix, path_id } in prefixes {
            let id = self.table.find_or_insert(prefix);
            if path_id != 0 && self.table.is_crowded(id, source, path_id) {
                if let Some(info) = shared.source_mut(source) {
                    info.counts(P::FAMILY).ignored += 1;
                }
                continue;
            }
            let path = Path { attrs, path_id, source, refusal, age: Age::Fresh };
            let Some(received) = received.as_ref().filter(|_| refusal.is_none()) else {
                let refusal = refusal.or_else(|| self.refuses(prefix, kind, import));
                self.put(shared, id, Path { refusal, ..path });
                continue;
            };
            let decision = shared.judge_import(&chain, prefix.into(), kind, received);
            let refusal = self.refuses_after(decision, prefix, kind, import);
            let attrs = match last {
                Some((same, attrs)) if same == decision => attrs,
                _ => {
                    let Some(info) = shared.source(source) else { return };
                    let attrs = match treated(received, chain.operations(decision), info, Age::Fresh) {
                        Some(changed) => shared.attrs.intern(RouteAttrs::changed(changed, received.clone())),
                        None => {
                            shared.attrs.hold(attrs, 1);
                            attrs
                        }
                    };
                    if let Some((_, before)) = last.replace((decision, attrs)) {
                        shared.attrs.release(before);
                    }
                    attrs
                }
            };
            self.put(shared, id, Path { attrs, refusal, ..path });
        }
        if let Some((_, attrs)) = last {
            shared.attrs.release(attrs);
        }
    }

    /// Why a path is not believed after its filters have spoken: what they accept may be a default route or our own, but
    /// no martian.
    pub(crate) fn refuses_after(
        &self,
        decision: Decision,
        prefix: P,
        kind: PeerKind,
        import: ImportPolicy,
    ) -> Option<Refusal> {
        match (decision.passes(), import) {
            (Some(false), _) => Some(Refusal::Filtered),
            (Some(true), ImportPolicy::Safe) => Guard::refuses_always(prefix),
            (Some(true), ImportPolicy::All) => None,
            (None, _) => self.refuses(prefix, kind, import),
        }
    }

    /// A filter's word and what follows from it, on a path as its peer sent it.
    pub(crate) fn judged(
        &self,
        shared: &Shared,
        chain: &Chain,
        prefix: P,
        source: Source,
        received: &Attributes,
    ) -> Option<(Decision, Option<Refusal>)> {
        let info = shared.source(source)?;
        if let Some(refusal) = shared.refuses(received, info) {
            return Some((Decision::NoMatch, Some(refusal)));
        }
        let decision = shared.judge_import(chain, prefix.into(), info.kind, received);
        Some((decision, self.refuses_after(decision, prefix, info.kind, info.import)))
    }

    fn refuses(&self, prefix: P, kind: PeerKind, import: ImportPolicy) -> Option<Refusal> {
        match import {
            ImportPolicy::Safe => self.guard.refuses(prefix, kind),
            ImportPolicy::All => None,
        }
    }

    /// A peer withdraws prefixes.
    pub(crate) fn withdraw(&mut self, shared: &mut Shared, source: Source, prefixes: impl Iterator<Item = Nlri<P>>) {
        for Nlri { prefix, path_id } in prefixes {
            if let Some(id) = self.table.find(&prefix) {
                self.extract(shared, id, |path| path.source == source && path.path_id == path_id);
            }
        }
    }

    /// This node originates a prefix.
    pub(crate) fn originate(&mut self, shared: &mut Shared, prefix: P, attrs: u32) {
        let id = self.table.find_or_insert(prefix);
        self.put(shared, id, Path { attrs, path_id: 0, source: OWN, refusal: None, age: Age::Fresh });
    }

    /// This node originates a prefix no longer.
    pub(crate) fn cease(&mut self, shared: &mut Shared, prefix: P) {
        self.withdraw(shared, OWN, std::iter::once(Nlri::plain(prefix)));
    }

    /// Adds a path, for which one more reference to its attributes is taken.
    fn put(&mut self, shared: &mut Shared, id: DestId, path: Path) {
        shared.attrs.hold(path.attrs, 1);
        let old = self.table.put(id, path);
        count(shared, &path, P::FAMILY, Step::Up);
        if shared.is_watched(path.source)
            && let Some(dest) = self.table.dest(id)
        {
            shared.saw_path(dest.prefix.into(), old.as_ref(), &path);
        }
        if let Some(old) = old {
            count(shared, &old, P::FAMILY, Step::Down);
            shared.attrs.release(old.attrs);
            if old.attrs == path.attrs && old.refusal == path.refusal {
                return;
            }
        }
        self.table.touch(id);
    }

    fn extract(&mut self, shared: &mut Shared, id: DestId, picked: impl Fn(&Path) -> bool) {
        let Some(dest) = self.table.dest_mut(id) else { return };
        let (mut any, prefix) = (false, dest.prefix);
        dest.paths.extract(
            |path| picked(path),
            |path| {
                any = true;
                if shared.is_watched(path.source) {
                    shared.saw_end(prefix.into(), &path);
                }
                count(shared, &path, P::FAMILY, Step::Down);
                shared.attrs.release(path.attrs);
            },
        );
        if any {
            self.table.touch(id);
        }
    }

    /// Takes all paths of a source out, or only those that are stale.
    pub(crate) fn forget(&mut self, shared: &mut Shared, source: Source, what: Forget) {
        let gone = |path: &Path| {
            path.source == source
                && match what {
                    Forget::All => true,
                    Forget::Stale => path.age == Age::Stale,
                    Forget::LongLived => path.age == Age::LongLived,
                    Forget::Unrefreshed => path.age == Age::Unrefreshed,
                }
        };
        for id in 0..self.table.end() {
            if self.table.dest(id).is_some_and(|dest| dest.paths.as_slice().iter().any(gone)) {
                self.extract(shared, id, gone);
            }
        }
    }

    /// Marks what a source has told in this session: it is about to tell everything again (RFC 7313 §4.2).
    pub(crate) fn mark_unrefreshed(&mut self, source: Source) {
        for id in 0..self.table.end() {
            let Some(dest) = self.table.dest_mut(id) else { continue };
            let told = |path: &&mut Path| path.source == source && path.age == Age::Fresh;
            dest.paths.as_mut_slice().iter_mut().filter(told).for_each(|path| path.age = Age::Unrefreshed);
        }
    }

    /// Marks all paths of a source as kept from a session that is over.
    pub(crate) fn grow_stale(&mut self, shared: &mut Shared, source: Source) {
        for id in 0..self.table.end() {
            let Some(dest) = self.table.dest_mut(id) else { continue };
            let of_source = |path: &&mut Path| path.source == source && path.age != Age::LongLived;
            for path in dest.paths.as_mut_slice().iter_mut().filter(of_source) {
                count(shared, path, P::FAMILY, Step::Down);
                path.age = Age::Stale;
                count(shared, path, P::FAMILY, Step::Up);
            }
        }
    }

    /// Keeps the stale paths of a source as the last resort, except those that do not want it (RFC 9494 §4.2).
    pub(crate) fn grow_long_lived(&mut self, shared: &mut Shared, source: Source) {
        for id in 0..self.table.end() {
            let Some(dest) = self.table.dest(id) else { continue };
            let stale = dest.paths.as_slice().iter().filter(|path| path.source == source && path.age == Age::Stale);
            let wants = |path: &&Path| shared.attrs.value(path.attrs).is_some_and(|value| value.may_live_long());
            let (kept, gone): (Vec<&Path>, Vec<&Path>) = stale.partition(wants);
            let gone: Vec<u32> = gone.into_iter().map(|path| path.path_id).collect();
            let kept = kept.into_iter().map(|path| Path { age: Age::LongLived, ..*path });
            let kept: Vec<(Path, Option<RouteAttrs>)> =
                kept.map(|path| self.anew(shared, dest.prefix, &path).unwrap_or((path, None))).collect();
            for (path, attrs) in kept {
                self.put_with(shared, id, path, attrs);
            }
            if !gone.is_empty() {
                self.extract(shared, id, |path| path.source == source && gone.contains(&path.path_id));
            }
        }
    }

    /// Judges the paths of these sources again, after the import policy or what it looks at has changed.
    pub(crate) fn recheck(&mut self, shared: &mut Shared, sources: &BTreeSet<Source>) {
        for id in 0..self.table.end() {
            let Some(dest) = self.table.dest(id) else { continue };
            let concerned = dest.paths.as_slice().iter().filter(|path| sources.contains(&path.source));
            let anew = concerned.filter_map(|path| self.anew(shared, dest.prefix, path));
            let anew: Vec<(Path, Option<RouteAttrs>)> = anew.collect();
            for (path, attrs) in anew {
                self.put_with(shared, id, path, attrs);
            }
        }
    }

    /// Puts a path in its place, with other attributes if there are any.
    fn put_with(&mut self, shared: &mut Shared, id: DestId, path: Path, attrs: Option<RouteAttrs>) {
        let named = attrs.map(|attrs| shared.attrs.intern(attrs));
        self.put(shared, id, Path { attrs: named.unwrap_or(path.attrs), ..path });
        if let Some(named) = named {
            shared.attrs.release(named);
        }
    }

    /// A learned path as it is by now, with other attributes where filters change or no longer change them; nothing if
    /// it is as it was.
    fn anew(&self, shared: &Shared, prefix: P, path: &Path) -> Option<(Path, Option<RouteAttrs>)> {
        let value = shared.attrs.value(path.attrs)?;
        let received = value.received();
        let chain = shared.source(path.source)?.filters.chain(Direction::Import, P::FAMILY);
        let (decision, refusal) = self.judged(shared, chain, prefix, path.source, received)?;
        let attrs = match treated(received, chain.operations(decision), shared.source(path.source)?, path.age) {
            None if !value.is_changed() => None,
            None => Some(RouteAttrs::new(received.clone())),
            Some(changed) => Some(RouteAttrs::changed(changed, received.clone())),
        };
        let attrs = attrs.filter(|attrs| attrs != value);
        (attrs.is_some() || refusal != path.refusal).then_some((Path { refusal, ..*path }, attrs))
    }

    /// Looks at every destination again.
    pub(crate) fn touch_all(&mut self) {
        (0..self.table.end()).for_each(|id| self.table.touch(id));
    }

    /// Looks again at every destination to which a source has a path.
    pub(crate) fn touch_paths_of(&mut self, source: Source) {
        for id in 0..self.table.end() {
            if self.table.dest(id).is_some_and(|dest| dest.paths.as_slice().iter().any(|path| path.source == source)) {
                self.table.touch(id);
            }
        }
    }

    /// Does a part of what there is to do. Returns whether there was anything.
    pub(crate) fn work(&mut self, shared: &mut Shared, emits: &mut Vec<Emit>) -> bool {
        if self.table.has_touched() {
            self.settle_some(shared, emits);
            return true;
        }
        if self.catch_up(shared, emits) {
            return true;
        }
        if !self.vacant.is_empty() && !self.anybody_behind() {
            for id in std::mem::take(&mut self.vacant) {
                self.table.free_if_empty(id);
            }
        }
        false
    }

    fn settle_some(&mut self, shared: &mut Shared, emits: &mut Vec<Emit>) {
        let mut outboxes: Vec<Outbox<P>> = self.groups.iter().map(|_| Outbox::default()).collect();
        for _ in 0..BUDGET {
            let Some(id) = self.table.next_touched() else { break };
            self.settle(shared, id, &mut outboxes, emits);
        }
        for (group, outbox) in self.groups.iter().zip(outboxes) {
            if let Some(group) = group {
                outbox.send(shared, &group.key, &group.live, emits);
            }
        }
        self.form_aggregates(shared);
    }

    /// Chooses at one destination and notes who is to hear of it.
    fn settle(&mut self, shared: &mut Shared, id: DestId, outboxes: &mut [Outbox<P>], emits: &mut Vec<Emit>) {
        let Some(dest) = self.table.dest_mut(id) else { return };
        let chosen = choice::choose(shared, dest.paths.as_slice());
        shared.saw_best(dest.prefix.into(), chosen.as_ref().map(|chosen| &chosen.path));
        let hops = chosen.as_ref().and_then(|chosen| choice::hops(shared, dest.paths.as_slice(), chosen));
        let name = hops.as_ref().map_or(NO_HOPS, |hops| shared.hops.intern(hops.clone()));
        let old = std::mem::replace(&mut dest.hops, name);
        if old != NO_HOPS {
            shared.hops.release(old);
        }
        if old != name {
            let reason = || {
                let chosen = chosen.as_ref()?;
                Some(choice::reason(shared, dest.paths.as_slice(), chosen))
            };
            let best = shared.hops.value(name).zip(reason());
            let best = best.map(|(hops, reason)| Best { next_hops: hops.clone(), reason });
            emits.push(Emit::Route(RouteChange { prefix: dest.prefix.into(), best }));
        }
        let prefix: Prefix = dest.prefix.into();
        if !self.aggregates.is_empty() {
            let best = chosen.as_ref().and_then(|chosen| shared.attrs.value(chosen.path.attrs));
            let best = best.map(|value| Contribution::of(&value.attributes));
            self.aggregates.iter_mut().for_each(|formed| formed.note(id, &prefix, best));
        }
        let hidden = self.aggregates.iter().any(|formed| formed.hides(&prefix));
        let mut ranked = None;
        for (number, (group, outbox)) in self.groups.iter_mut().zip(outboxes).enumerate() {
            let Some(group) = group else { continue };
            if group.key.several.is_some() {
                let ranked = ranked.get_or_insert_with(|| choice::ranked(shared, dest.paths.as_slice()));
                let ranked = if hidden && group.key.kind == PeerKind::External { &[][..] } else { &ranked[..] };
                let wanted = export::told_of(shared, &self.guard, &group.key, ranked, prefix);
                if group.settle_several(shared, (id, dest.prefix), &wanted, outbox) {
                    group.note(id);
                }
                continue;
            }
            let wanted = chosen.as_ref().map(|chosen| &chosen.path);
            let wanted = wanted.filter(|_| !hidden || group.key.kind == PeerKind::Internal);
            let wanted = wanted.filter(|path| export::tells(shared, &self.guard, &group.key, path, prefix));
            let number = number as u16;
            let told = dest.told.as_mut_slice().iter_mut().find(|told| told.group == number);
            match (told, wanted) {
                (None, None) => continue,
                (Some(told), Some(path)) if told.attrs == path.attrs && told.source == path.source => continue,
                (Some(told), Some(path)) => {
                    shared.attrs.hold(path.attrs, 1);
                    shared.attrs.release(told.attrs);
                    if told.source != path.source {
                        outbox.retractions.push((path.source, Nlri::plain(dest.prefix)));
                        group.told.less(told.source);
                        group.told.more(path.source);
                    }
                    (told.attrs, told.source) = (path.attrs, path.source);
                    outbox.updates.push((path.attrs, path.source, Nlri::plain(dest.prefix)));
                }
                (None, Some(path)) => {
                    shared.attrs.hold(path.attrs, 1);
                    group.told.more(path.source);
                    dest.told.push(Told { attrs: path.attrs, group: number, source: path.source });
                    outbox.updates.push((path.attrs, path.source, Nlri::plain(dest.prefix)));
                }
                (Some(_), None) => {
                    dest.told.extract(
                        |told| told.group == number,
                        |told| {
                            shared.attrs.release(told.attrs);
                            group.told.less(told.source);
                        },
                    );
                    outbox.withdrawals.push(Nlri::plain(dest.prefix));
                }
            }
            group.note(id);
        }
        self.free_if_empty(id);
    }

    pub(super) fn free_if_empty(&mut self, id: DestId) {
        let Some(dest) = self.table.dest(id) else { return };
        if !dest.paths.is_empty() || !dest.told.is_empty() {
            return;
        }
        if self.anybody_behind() { self.vacant.push(id) } else { self.table.free_if_empty(id) }
    }

    /// Why the best path of a destination is the best.
    pub(crate) fn choice(&self, shared: &Shared, id: DestId) -> Option<(Choice, Reason)> {
        let paths = self.table.dest(id)?.paths.as_slice();
        let chosen = choice::choose(shared, paths)?;
        let reason = choice::reason(shared, paths, &chosen);
        Some((chosen, reason))
    }
}

/// Which paths of a source go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forget {
    All,
    Stale,
    LongLived,
    Unrefreshed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Up,
    Down,
}

fn count(shared: &mut Shared, path: &Path, family: Family, step: Step) {
    let Some(info) = shared.source_mut(path.source) else { return };
    let counts = info.counts(family);
    let add = |n: &mut u64| match step {
        Step::Up => *n += 1,
        Step::Down => *n = n.saturating_sub(1),
    };
    add(&mut counts.received);
    if path.refusal.is_none() {
        add(&mut counts.accepted);
    }
    if matches!(path.age, Age::Stale | Age::LongLived) {
        add(&mut counts.stale);
    }
    if path.age == Age::LongLived {
        add(&mut counts.long_lived);
    }
}
