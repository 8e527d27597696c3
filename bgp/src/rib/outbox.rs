//! Changes on their way to the members of a group: encoded once, sent to all.

use bytes::Bytes;
use model::filter::{Decision, Operation};

use super::export;
use super::group::GroupKey;
use super::shared::Shared;
use super::table::Source;
use super::unicast::RibPrefix;
use crate::speaker::RouteChange;
use crate::wire::{Nlri, RefreshKind, RouteRefresh, encode};

/// What the tables want known.
#[derive(Debug)]
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
            withdraw(key, run.iter().map(|(_, prefix)| *prefix), &[*source], emits);
        }
        self.updates.sort_unstable();
        for run in self.updates.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some(&(attrs, source, _)) = run.first() else { continue };
            let prefixes = run.iter().map(|(_, _, prefix)| *prefix);
            if !key.filters.changes_routes() {
                let unfit = tell(shared, key, (attrs, source, &[]), prefixes, members, emits);
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
                let unfit = tell(shared, key, (attrs, source, operations), prefixes, members, emits);
                self.withdrawals.extend(unfit);
            }
        }
        withdraw(key, self.withdrawals.into_iter(), members, emits);
    }

    /// Tells members that they have been told all again (RFC 7313 §4.1).
    pub(crate) fn end_of_refresh(members: &[Source], emits: &mut Vec<Emit>) {
        let mut octets = Vec::new();
        RouteRefresh { family: Some(P::FAMILY), kind: RefreshKind::End }.encode(&mut octets);
        spread(octets, 1, members, super::table::OWN, emits);
    }

    /// Tells members that they know all (RFC 4724 §2).
    pub(crate) fn end_of_rib(members: &[Source], emits: &mut Vec<Emit>) {
        let mut octets = Vec::new();
        encode::end_of_rib(P::FAMILY, &mut octets);
        spread(octets, 1, members, super::table::OWN, emits);
    }
}

/// Tells members of prefixes of one path. Returns those whose attributes fit into no message: better no route than the
/// one before.
fn tell<P: RibPrefix>(
    shared: &Shared,
    key: &GroupKey,
    (attrs, source, operations): (u32, Source, &[Operation]),
    prefixes: impl Iterator<Item = Nlri<P>> + Clone,
    members: &[Source],
    emits: &mut Vec<Emit>,
) -> Vec<Nlri<P>> {
    let mut octets = Vec::new();
    let encoded = export::outgoing(shared, key, attrs, source, operations).and_then(|attributes| {
        encode::updates(P::FAMILY, &attributes, prefixes.clone(), &key.transmit, &mut octets).ok()
    });
    match encoded {
        Some(messages) => {
            spread(octets, messages, members, source, emits);
            Vec::new()
        }
        None => prefixes.collect(),
    }
}

fn withdraw<P: RibPrefix>(
    key: &GroupKey,
    prefixes: impl Iterator<Item = Nlri<P>>,
    members: &[Source],
    emits: &mut Vec<Emit>,
) {
    let mut octets = Vec::new();
    let messages = encode::withdrawals(P::FAMILY, prefixes, &key.transmit, &mut octets);
    spread(octets, messages, members, super::table::OWN, emits);
}

/// The same octets for everybody but one.
fn spread(octets: Vec<u8>, messages: usize, members: &[Source], except: Source, emits: &mut Vec<Emit>) {
    if messages == 0 {
        return;
    }
    let bytes = Bytes::from(octets);
    let to = members.iter().filter(|member| **member != except);
    emits.extend(to.map(|to| Emit::Send { to: *to, bytes: bytes.clone(), messages }));
}
