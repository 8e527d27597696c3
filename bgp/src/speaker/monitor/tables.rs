//! Tables as stations hear of them: Route Monitoring of what changes, and of all there is for a newcomer (RFC 7854 §5).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use model::{Family, Time};

use super::super::Speaker;
use super::{AHEAD, Stage};
use crate::bmp::{Flags, PeerHeader, Table, put_route_monitoring};
use crate::rib::{DestId, Emit, OWN, Seen, Sight, Source, Unicast};
use crate::wire::{Attributes, FamilySet, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, NextHop, Nlri, Transmit, encode};

/// Destinations that one step of a dump looks at, at most.
const STEP: DestId = 512;
/// Paths that are written at one go: with attributes as long as a message has room for, still far from [`super::MOST`].
const PATHS: DestId = 256;

impl Speaker {
    /// Tells the stations what the tables have noted.
    pub(in crate::speaker) fn tell_sight(&mut self, now: Time) {
        match self.shared.take_sight() {
            None => {}
            Some(Sight::Overrun) => {
                let there = self.monitor.stations.iter().filter(|(_, line)| line.stage != Stage::Away);
                let there: Vec<SocketAddr> = there.map(|(address, _)| *address).collect();
                there.into_iter().for_each(|address| self.give_up(address));
            }
            Some(Sight::Changes(seen)) => {
                for run in seen.chunk_by(share_a_message) {
                    if let Some(first) = run.first() {
                        let octets = self.route_monitoring(now, run);
                        self.push_all(Some(first.table), &octets);
                    }
                }
                self.shared.let_go(&seen);
            }
        }
    }

    /// One run of changes of the same table, peer, family and attributes.
    fn route_monitoring(&self, now: Time, run: &[Seen]) -> Bytes {
        let mut octets = Vec::new();
        let Some(first) = run.first() else { return octets.into() };
        let time = self.monitor.time(now);
        let (header, add_path) = match (first.source, self.monitor.up.get(&first.source)) {
            (OWN, _) => (self.loc_rib(time), FamilySet::NONE),
            (_, Some(up)) => (up.header(time, flags(first.table)), up.add_path),
            // Its session is over, which says all.
            (_, None) => return octets.into(),
        };
        let family = first.prefix.family();
        match family {
            Family::Ipv4 => self.put_updates::<crate::wire::Prefix4>(run, add_path, &header, &mut octets),
            Family::Ipv6 => self.put_updates::<crate::wire::Prefix6>(run, add_path, &header, &mut octets),
        }
        octets.into()
    }

    fn put_updates<P: crate::rib::RibPrefix>(
        &self,
        run: &[Seen],
        add_path: FamilySet,
        header: &PeerHeader,
        out: &mut Vec<u8>,
    ) {
        let nlri = run.iter().filter_map(|seen| {
            let prefix = P::try_from(seen.prefix).ok()?;
            Some(Nlri { prefix, path_id: seen.path_id })
        });
        let Some(first) = run.first() else { return };
        let value = first.attrs.and_then(|attrs| self.shared.attrs.value(attrs));
        let attributes = value.map(|value| match first.table {
            Table::AdjInPre => value.received(),
            Table::AdjInPost | Table::AdjOut | Table::Loc => &value.attributes,
        });
        let whole = attributes.map(|attributes| self.with_next_hop(P::FAMILY, attributes));
        let attributes = whole.as_deref();
        let mut updates = Vec::new();
        let plain = Transmit { add_path, ..Transmit::PLAIN };
        // What came in a message of more than 4096 octets does not fit a shorter one.
        let encoded = [MAX_MESSAGE, MAX_EXTENDED_MESSAGE].into_iter().any(|max_message| {
            let transmit = Transmit { max_message, ..plain };
            match attributes {
                Some(attributes) => {
                    encode::updates(P::FAMILY, attributes, nlri.clone(), &transmit, &mut updates).is_ok()
                }
                None => encode::withdrawals(P::FAMILY, nlri.clone(), &transmit, &mut updates) > 0,
            }
        });
        if encoded {
            wrap(header, &updates, out);
        }
    }

    /// A route of our own has no next hop before it is told: here it is this node.
    pub(in crate::speaker) fn with_next_hop<'a>(
        &self,
        family: Family,
        attributes: &'a Attributes,
    ) -> Cow<'a, Attributes> {
        let own = match family {
            Family::Ipv4 => self.local.ipv4.unwrap_or(Ipv4Addr::from_bits(self.local.router_id.bits())).into(),
            Family::Ipv6 => self.local.ipv6.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6),
        };
        if !attributes.next_hop.address().is_unspecified() {
            return Cow::Borrowed(attributes);
        }
        let mut draft = attributes.edit();
        draft.next_hop = NextHop::from(own);
        Cow::Owned(draft.build())
    }

    /// What a peer was sent, for who wants to know of its Adj-RIB-Out (RFC 8671).
    pub(in crate::speaker) fn tell_sent(&mut self, now: Time, source: Source, messages: &Bytes) {
        if !self.monitor.hears(Table::AdjOut) {
            return;
        }
        if let Some(octets) = self.adj_rib_out(now, source, messages) {
            self.push_all(Some(Table::AdjOut), &octets);
        }
    }

    fn adj_rib_out(&self, now: Time, source: Source, messages: &[u8]) -> Option<Bytes> {
        let up = self.monitor.up.get(&source)?;
        let mut octets = Vec::new();
        wrap(&up.header(self.monitor.time(now), up.out_flags()), messages, &mut octets);
        Some(octets.into())
    }

    /// The peer has told all in a family.
    pub(in crate::speaker) fn tell_end_of_rib(&mut self, now: Time, source: Source, family: Family) {
        self.tell_sight(now);
        for table in [Table::AdjInPre, Table::AdjInPost] {
            if self.monitor.hears(table)
                && let Some(up) = self.monitor.up.get(&source)
            {
                let octets = end_of_rib(&up.header(self.monitor.time(now), flags(table)), family);
                self.push_all(Some(table), &octets);
            }
        }
    }

    /// Tells a station that reads some more of the tables. Returns whether there was anything to do.
    pub(in crate::speaker) fn dump_some(&mut self, now: Time) -> bool {
        let next = self.monitor.stations.iter().find_map(|(address, line)| match line.stage {
            Stage::Dumping(family, id) if line.outstanding < AHEAD => Some((*address, line, family, id)),
            _ => None,
        });
        let Some((address, line, family, id)) = next else { return false };
        let (wanted, owed) = (line.tables.clone(), line.outstanding);
        let end = match family {
            Family::Ipv4 => self.ipv4.end(),
            Family::Ipv6 => self.ipv6.end(),
        };
        // As many paths as there are sessions may come of each destination.
        let step = (PATHS / (self.monitor.up.len() as u32 + 1)).max(1);
        let (mut octets, mut next) = (Vec::new(), id);
        while next < end.min(id.saturating_add(STEP)) && owed + octets.len() < AHEAD {
            let ids = next..next.saturating_add(step);
            next = ids.end;
            match family {
                Family::Ipv4 => self.put_slice(now, &self.ipv4, &wanted, ids, &mut octets),
                Family::Ipv6 => self.put_slice(now, &self.ipv6, &wanted, ids, &mut octets),
            }
        }
        let stage = match (next >= end, family) {
            (false, _) => Stage::Dumping(family, next),
            (true, Family::Ipv4) => Stage::Dumping(Family::Ipv6, 0),
            (true, Family::Ipv6) => {
                self.put_ends_of_rib(now, address, &mut octets);
                Stage::Live
            }
        };
        self.set_stage(address, stage);
        self.push(address, octets.into());
        true
    }

    /// What a station is told of some destinations, in the tables that it wants.
    fn put_slice<P: crate::rib::RibPrefix>(
        &self,
        now: Time,
        tables: &Unicast<P>,
        wanted: &BTreeSet<Table>,
        ids: Range<DestId>,
        out: &mut Vec<u8>,
    ) {
        for run in tables.sight_of(&self.shared, wanted, ids.clone()).chunk_by(share_a_message) {
            out.extend_from_slice(&self.route_monitoring(now, run));
        }
        let told = if wanted.contains(&Table::AdjOut) { tables.told_in(&self.shared, ids) } else { Vec::new() };
        for emit in told {
            if let Emit::Send { to, bytes, .. } = emit {
                out.extend(self.adj_rib_out(now, to, &bytes).into_iter().flatten());
            }
        }
    }

    fn is_told(&self, station: SocketAddr, table: Table) -> bool {
        self.monitor.stations.get(&station).is_some_and(|line| line.tables.contains(&table))
    }

    /// The tables have been told to their end (RFC 7854 §5). Of a peer that is itself not through, its own End-of-RIB will
    /// say so.
    fn put_ends_of_rib(&self, now: Time, station: SocketAddr, out: &mut Vec<u8>) {
        let time: Duration = self.monitor.time(now);
        for (source, up) in &self.monitor.up {
            let Some(peer) = self.peer(*source) else { continue };
            let families = peer.fsm.established().map_or(FamilySet::NONE, |established| established.agreed.families);
            for family in families.iter() {
                for table in [Table::AdjInPre, Table::AdjInPost] {
                    if self.is_told(station, table) && !peer.incomplete.contains(family) {
                        out.extend_from_slice(&end_of_rib(&up.header(time, flags(table)), family));
                    }
                }
                if self.is_told(station, Table::AdjOut) {
                    out.extend_from_slice(&end_of_rib(&up.header(time, up.out_flags()), family));
                }
            }
        }
        if self.is_told(station, Table::Loc) {
            Family::ALL.iter().for_each(|family| out.extend_from_slice(&end_of_rib(&self.loc_rib(time), *family)));
        }
    }
}

/// Whether two changes, one after the other, can be told in one UPDATE.
fn share_a_message(a: &Seen, b: &Seen) -> bool {
    (a.table, a.source, a.attrs, a.prefix.family()) == (b.table, b.source, b.attrs, b.prefix.family())
}

/// Which table of the peer it is.
fn flags(table: Table) -> Flags {
    match table {
        Table::AdjInPost => Flags::POST_POLICY,
        Table::AdjInPre | Table::AdjOut | Table::Loc => Flags::default(),
    }
}

/// Each of these BGP messages in a message of its own.
fn wrap(header: &PeerHeader, messages: &[u8], out: &mut Vec<u8>) {
    let mut rest = messages;
    while let Some(length) = rest.get(16..18).and_then(|octets| octets.first_chunk::<2>())
        && let Some((message, tail)) = rest.split_at_checked(u16::from_be_bytes(*length).max(19).into())
    {
        put_route_monitoring(header, message, out);
        rest = tail;
    }
}

fn end_of_rib(header: &PeerHeader, family: Family) -> Bytes {
    let (mut update, mut octets) = (Vec::new(), Vec::new());
    encode::end_of_rib(family, &mut update);
    put_route_monitoring(header, &update, &mut octets);
    octets.into()
}
