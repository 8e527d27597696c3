//! Update groups: peers that are told the same, in the same words, get the same octets.
//!
//! A member is live (it gets every change as it comes) or behind (a newcomer that is told everything from the beginning,
//! or one that reads too slowly). Who is behind holds nobody up.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use model::Asn;
use model::filter::Chain;

use super::several::Several;
use super::shared::{Flow, Hold, Shared};
use super::table::{Dest, DestId, Source};
use super::treat::Standing;
use crate::config::{ExportPolicy, NextHopMode, Reflection};
use crate::wire::capability::Role;
use crate::wire::{NextHop, PeerKind, Transmit};

/// All that makes a difference to what a peer is told in one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupKey {
    pub kind: PeerKind,
    pub reflection: Reflection,
    pub export: ExportPolicy,
    /// The AS that we are in towards the members.
    pub local_as: Asn,
    /// What decides before `export`.
    pub filters: Arc<Chain>,
    pub next_hop_mode: NextHopMode,
    /// Our own address on the sessions.
    pub own_next_hop: NextHop,
    pub transmit: Transmit,
    /// What we are to the peers, where that is configured (RFC 9234).
    pub role: Option<Role>,
    pub long_lived: LongLivedSupport,
    /// What is said of all that is told: that it goes away soon (RFC 8326).
    pub standing: Standing,
    /// How many paths of a prefix they are told at most, where they take several (RFC 7911).
    pub several: Option<u8>,
}

/// Whether the members know what a long-lived stale route is (RFC 9494 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongLivedSupport {
    Announced,
    Absent,
}

/// An update group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub key: GroupKey,
    /// In order.
    pub live: Vec<Source>,
    pub behind: Vec<Behind>,
    /// How many paths the group was told.
    pub told: ToldCounts,
    /// What it was told, if that is several paths per prefix; else it is kept with the destinations.
    pub several: Option<Several>,
}

/// How many paths a group was told, by source.
#[derive(Debug, Clone, Default)]
pub(crate) struct ToldCounts(HashMap<Source, u64>);

impl ToldCounts {
    pub(crate) fn more(&mut self, source: Source) {
        *self.0.entry(source).or_default() += 1;
    }

    pub(crate) fn less(&mut self, source: Source) {
        if let Some(count) = self.0.get_mut(&source) {
            *count = count.saturating_sub(1);
        }
    }
}

/// What a group was told of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Telling {
    pub attrs: u32,
    /// Whose path it is: this member was not told.
    pub source: Source,
    /// Ours (RFC 7911); 0 where members are told one path.
    pub path_id: u32,
}

/// Members that have not yet been told all that the group was told.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    pub members: Vec<Source>,
    /// Destinations below were told; the others come in their turn.
    pub cursor: DestId,
    /// Destinations below the cursor that have changed since.
    pub due: BTreeSet<DestId>,
    pub closing: Closing,
}

/// What is to be sent when all is told. Of several the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Closing {
    Nothing,
    /// EoRR (RFC 7313 §4.1).
    EndOfRefresh,
    /// End-of-RIB (RFC 4724 §2).
    EndOfRib,
}

impl Group {
    pub(crate) fn new(key: GroupKey) -> Group {
        let several = key.several.map(|_| Several::default());
        Group { key, live: Vec::new(), behind: Vec::new(), told: ToldCounts::default(), several }
    }

    /// What it was told of a destination, by its own number.
    pub(crate) fn tellings<'a, P>(
        &'a self,
        number: usize,
        id: DestId,
        dest: &'a Dest<P>,
    ) -> impl Iterator<Item = Telling> + 'a {
        let one = if self.several.is_none() { dest.told.as_slice() } else { &[] };
        let one = one.iter().find(|told| usize::from(told.group) == number);
        let one = one.map(|told| Telling { attrs: told.attrs, source: told.source, path_id: 0 });
        one.into_iter().chain(self.several.iter().flat_map(move |several| several.of(id)))
    }

    /// A member joins that may know something of a destination under identifiers up to this one.
    pub(crate) fn expect_ids(&mut self, id: DestId, highest: u32) {
        if let Some(several) = &mut self.several {
            several.expect_ids(id, highest);
        }
    }

    /// The path identifiers under which members may know anything of a destination.
    pub(crate) fn ids(&self, id: DestId) -> std::ops::RangeInclusive<u32> {
        self.several.as_ref().map_or(0..=0, |several| several.ids(id))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.behind.is_empty()
    }

    /// Everybody in it.
    pub(crate) fn members(&self) -> impl Iterator<Item = Source> {
        self.live.iter().chain(self.behind.iter().flat_map(|behind| &behind.members)).copied()
    }

    pub(crate) fn contains(&self, member: Source) -> bool {
        self.live.contains(&member) || self.behind.iter().any(|behind| behind.members.contains(&member))
    }

    /// A newcomer, or a member that is to be told everything again.
    pub(crate) fn tell_all(&mut self, member: Source, closing: Closing) {
        self.remove(member);
        let fresh = |b: &&mut Behind| b.cursor == 0 && b.due.is_empty() && b.closing == closing;
        match self.behind.iter_mut().find(fresh) {
            Some(behind) => behind.members.push(member),
            None => {
                let members = vec![member];
                self.behind.push(Behind { members, cursor: 0, due: BTreeSet::new(), closing });
            }
        }
    }

    pub(crate) fn remove(&mut self, member: Source) {
        self.live.retain(|other| *other != member);
        for behind in &mut self.behind {
            behind.members.retain(|other| *other != member);
        }
        self.behind.retain(|behind| !behind.members.is_empty());
    }

    /// A member reads too slowly: it is served by itself until it has caught up.
    pub(crate) fn fall_behind(&mut self, member: Source) {
        if self.live.contains(&member) {
            self.live.retain(|other| *other != member);
            let due = BTreeSet::new();
            self.behind.push(Behind { members: vec![member], cursor: DestId::MAX, due, closing: Closing::Nothing });
        } else if let Some(behind) = self.behind.iter_mut().find(|b| b.members.contains(&member) && b.members.len() > 1)
        {
            behind.members.retain(|other| *other != member);
            let apart = Behind {
                members: vec![member],
                cursor: behind.cursor,
                due: behind.due.clone(),
                closing: behind.closing,
            };
            self.behind.push(apart);
        }
    }

    /// What a member is still to be sent when it knows all.
    pub(crate) fn closing_of(&self, member: Source) -> Closing {
        let behind = self.behind.iter().find(|behind| behind.members.contains(&member));
        behind.map_or(Closing::Nothing, |behind| behind.closing)
    }

    /// How far a member has got, as if it were by itself.
    pub(crate) fn standing_of(&self, member: Source) -> Behind {
        let members = vec![member];
        match self.behind.iter().find(|behind| behind.members.contains(&member)) {
            Some(b) => Behind { members, cursor: b.cursor, due: b.due.clone(), closing: b.closing },
            None => Behind { members, cursor: DestId::MAX, due: BTreeSet::new(), closing: Closing::Nothing },
        }
    }

    /// A member that knows all is told all again (RFC 2918 §4), `told` being what the group was told.
    pub(crate) fn tell_again(&mut self, member: Source, told: BTreeSet<DestId>, closing: Closing) {
        // What it is still to forget stays due.
        let mut standing = self.standing_of(member);
        standing.closing = standing.closing.max(closing);
        standing.due.extend(told);
        self.remove(member);
        self.behind.push(standing);
    }

    /// Members who have caught up.
    pub(crate) fn go_live(&mut self, members: Vec<Source>) {
        self.live.extend(members);
        self.live.sort_unstable();
    }

    /// Members that do not take what they are sent are no longer served with others.
    pub(crate) fn set_slow_apart(&mut self, shared: &Shared) {
        let slow = |member: &Source| flow(shared, *member) == Flow::Full;
        let together = self.behind.iter().filter(|b| b.members.len() > 1).flat_map(|b| &b.members);
        let slow: Vec<Source> = self.live.iter().chain(together).copied().filter(slow).collect();
        for member in slow {
            self.fall_behind(member);
        }
    }

    /// How many paths this member was or will be told.
    pub(crate) fn told_to(&self, member: Source) -> u64 {
        self.told.0.iter().filter(|(source, _)| **source != member).map(|(_, count)| count).sum()
    }

    /// What the group was told of a destination has changed.
    pub(crate) fn note(&mut self, id: DestId) {
        for behind in self.behind.iter_mut().filter(|behind| id < behind.cursor) {
            behind.due.insert(id);
        }
    }
}

/// Destinations to be told of next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lot {
    /// Told before: what is gone must be withdrawn.
    Due(Vec<DestId>),
    /// Never told before.
    New(std::ops::Range<DestId>),
}

impl Behind {
    /// Whether there is something to do for these members now.
    pub(crate) fn can_go_on(&self, shared: &Shared, end: DestId) -> bool {
        let waits = self.is_through(end) && self.closing == Closing::EndOfRib && shared.hold == Hold::Learned;
        !waits && self.members.iter().all(|member| flow(shared, *member) == Flow::Free)
    }

    /// The next so many destinations at most; `end` is above all.
    pub(crate) fn next_lot(&mut self, budget: usize, end: DestId) -> Lot {
        if self.due.is_empty() {
            let from = self.cursor.min(end);
            let to = from.saturating_add(budget as DestId).min(end);
            self.cursor = self.cursor.max(to);
            return Lot::New(from..to);
        }
        // In the table's order neighbours mostly share their attributes, and so a message.
        Lot::Due(std::iter::from_fn(|| self.due.pop_first()).take(budget).collect())
    }

    pub(crate) fn is_through(&self, end: DestId) -> bool {
        self.cursor >= end && self.due.is_empty()
    }
}

fn flow(shared: &Shared, member: Source) -> Flow {
    shared.source(member).map_or(Flow::Free, |info| info.flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Family;
    use model::filter::{Direction, Filters};
    use std::net::Ipv4Addr;

    fn group() -> Group {
        Group::new(GroupKey {
            kind: PeerKind::Internal,
            reflection: Reflection::None,
            export: ExportPolicy::Originated,
            local_as: Asn::CALICO_DEFAULT,
            filters: Filters::default().chain(Direction::Export, Family::Ipv4).clone(),
            next_hop_mode: NextHopMode::Auto,
            own_next_hop: NextHop::V4(Ipv4Addr::new(10, 0, 0, 1)),
            transmit: Transmit::PLAIN,
            role: None,
            long_lived: LongLivedSupport::Absent,
            standing: Standing::Staying,
            several: None,
        })
    }

    #[test]
    fn newcomers_that_come_together_are_told_together() {
        let mut group = group();
        group.tell_all(1, Closing::EndOfRib);
        group.tell_all(2, Closing::EndOfRib);
        assert_eq!(group.behind.iter().map(|b| b.members.clone()).collect::<Vec<_>>(), [vec![1, 2]]);
    }

    #[test]
    fn a_slow_member_takes_along_what_it_has_not_been_told() {
        let mut group = group();
        group.tell_all(1, Closing::EndOfRib);
        group.tell_all(2, Closing::EndOfRib);
        group.behind.iter_mut().for_each(|b| b.cursor = 10);
        group.note(5);
        group.note(50);
        group.fall_behind(2);
        let due: Vec<_> = group.behind.iter().map(|b| (b.members.clone(), b.due.contains(&5), b.due.len())).collect();
        assert_eq!(due, [(vec![1], true, 1), (vec![2], true, 1)]);
        group.remove(1);
        group.remove(2);
        assert!(group.is_empty());
    }
}
