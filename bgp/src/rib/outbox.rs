//! Changes on their way to the members of a group: encoded once, sent to all.

use bytes::Bytes;
use model::filter::{Decision, Operation};

use super::export;
use super::group::GroupKey;
use super::shared::Shared;
use super::table::{OWN, Source};
use super::unicast::RibPrefix;
use crate::speaker::RouteChange;
use crate::wire::{Nlri, RefreshKind, RouteRefresh, encode};

/// What the tables want known.
#[derive(Debug, Clone)]
pub(crate) enum Emit {
    Route(RouteChange),
    Send {
        to: Source,
        /// UPDATE messages, as many as `messages` says.
        bytes: Bytes,
        messages: usize,
    },
}

/// Changes of one group.
#[derive(Debug)]
pub(crate) struct Outbox<P> {
    /// Attributes, source, and the prefix with our path identifier.
    pub updates: Vec<(u32, Source, Nlri<P>)>,
    pub withdrawals: Vec<Nlri<P>>,
    /// Prefixes that are now told of this member's own path: it is not told of it, and must forget the path before.
    pub retractions: Vec<(Source, Nlri<P>)>,
}

impl<P> Default for Outbox<P> {
    fn default() -> Outbox<P> {
        Outbox { updates: Vec::new(), withdrawals: Vec::new(), retractions: Vec::new() }
    }
}

impl<P: RibPrefix> Outbox<P> {
    /// Encodes all and sends it to these members.
    pub(crate) fn send(mut self, shared: &Shared, key: &GroupKey, members: &[Source], emits: &mut Vec<Emit>) {
        if members.is_empty() {
            return;
        }
        self.retractions.retain(|(source, _)| members.contains(source));
        self.retractions.sort_unstable();
        for run in self.retractions.chunk_by(|a, b| a.0 == b.0) {
            let Some((source, _)) = run.first() else { continue };
            let member = [*source];
            Parcel::to(&member, emits).withdraw(key, run.iter().map(|(_, prefix)| *prefix));
        }
        let mut parcel = Parcel::to(members, emits);
        // What comes from one peer goes to the same members, and so into one parcel.
        self.updates.sort_unstable_by_key(|&(attrs, source, nlri)| (source, attrs, nlri));
        for run in self.updates.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some(&(attrs, source, _)) = run.first() else { continue };
            let prefixes = run.iter().map(|(_, _, prefix)| *prefix);
            parcel.keep_from(source);
            if !key.filters.changes_routes() {
                let unfit = parcel.tell(shared, key, (attrs, source, &[]), prefixes);
                self.withdrawals.extend(unfit);
                continue;
            }
            // Rules look at prefixes: one set of attributes may go out in several ways.
            let decided = |nlri: Nlri<P>| (shared.export_decision(key, attrs, source, nlri.prefix.into()), nlri);
            let mut decided: Vec<(Decision, Nlri<P>)> = prefixes.map(decided).collect();
            decided.sort_unstable();
            for run in decided.chunk_by(|a, b| a.0 == b.0) {
                let operations = run.first().map_or(&[][..], |(decision, _)| key.filters.operations(*decision));
                let prefixes = run.iter().map(|(_, prefix)| *prefix);
                let unfit = parcel.tell(shared, key, (attrs, source, operations), prefixes);
                self.withdrawals.extend(unfit);
            }
        }
        parcel.keep_from(OWN);
        parcel.withdraw(key, self.withdrawals.into_iter());
    }

    /// Tells members that they have been told all again (RFC 7313 §4.1).
    pub(crate) fn end_of_refresh(members: &[Source], emits: &mut Vec<Emit>) {
        Parcel::to(members, emits).put(|octets| {
            RouteRefresh { family: Some(P::FAMILY), kind: RefreshKind::End }.encode(octets);
            Some(1)
        });
    }

    /// Tells members that they know all (RFC 4724 §2).
    pub(crate) fn end_of_rib(members: &[Source], emits: &mut Vec<Emit>) {
        Parcel::to(members, emits).put(|octets| {
            encode::end_of_rib(P::FAMILY, octets);
            Some(1)
        });
    }
}

/// A parcel is sent when it has so many octets: few enough to be written at once, many enough that a member costs little.
const PARCEL: usize = 32 << 10;

/// Messages for some members, sent together; a member more costs a reference. Sends what it has when dropped.
struct Parcel<'a> {
    members: &'a [Source],
    /// The member that gets nothing of this: what is told is its own. [`OWN`] if there is none such.
    except: Source,
    octets: Vec<u8>,
    messages: usize,
    emits: &'a mut Vec<Emit>,
}

impl<'a> Parcel<'a> {
    fn to(members: &'a [Source], emits: &'a mut Vec<Emit>) -> Parcel<'a> {
        Parcel { members, except: OWN, octets: Vec::new(), messages: 0, emits }
    }

    /// What comes now is not for this member.
    fn keep_from(&mut self, source: Source) {
        let except = if self.members.contains(&source) { source } else { OWN };
        if except != self.except {
            self.send();
            self.except = except;
        }
    }

    /// Tells of prefixes of one path. Returns those whose attributes fit into no message: better no route than the one
    /// before.
    fn tell<P: RibPrefix>(
        &mut self,
        shared: &Shared,
        key: &GroupKey,
        (attrs, source, operations): (u32, Source, &[Operation]),
        prefixes: impl Iterator<Item = Nlri<P>> + Clone,
    ) -> Vec<Nlri<P>> {
        let fits = self.put(|octets| {
            let attributes = export::outgoing(shared, key, attrs, source, operations)?;
            encode::updates(P::FAMILY, &attributes, prefixes.clone(), &key.transmit, octets).ok()
        });
        if fits { Vec::new() } else { prefixes.collect() }
    }

    fn withdraw<P: RibPrefix>(&mut self, key: &GroupKey, prefixes: impl Iterator<Item = Nlri<P>>) {
        self.put(|octets| Some(encode::withdrawals(P::FAMILY, prefixes, &key.transmit, octets)));
    }

    /// Adds what `encode` writes, so many messages; nothing, and false, if it returns none.
    fn put(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Option<usize>) -> bool {
        let before = self.octets.len();
        let Some(messages) = encode(&mut self.octets) else {
            self.octets.truncate(before);
            return false;
        };
        self.messages += messages;
        if self.octets.len() >= PARCEL {
            self.send();
        }
        true
    }

    fn send(&mut self) {
        let (octets, messages) = (std::mem::take(&mut self.octets), std::mem::take(&mut self.messages));
        if messages == 0 {
            return;
        }
        let bytes = Bytes::from(octets);
        let to = self.members.iter().filter(|member| **member != self.except);
        self.emits.extend(to.map(|to| Emit::Send { to: *to, bytes: bytes.clone(), messages }));
    }
}

impl Drop for Parcel<'_> {
    fn drop(&mut self) {
        self.send();
    }
}
