//! The table in pieces for an MRT file: each question is answered from the table as it is then, and names where to go on.

use std::hash::{Hash, Hasher};

use model::Family;
use model::api::show::DumpCursor;

use super::Speaker;
use crate::mrt::{self, Entry, Peer};
use crate::rib::{OWN, RibPrefix, Source, Unicast};
use crate::wire::Attributes;

/// Destinations in a piece: a millisecond or two of work.
const STEP: u32 = 2048;

/// Some records of an MRT file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpPiece {
    /// Whole records.
    pub octets: Vec<u8>,
    /// What to ask for next; none at the end.
    pub next: Option<DumpCursor>,
}

/// The peers are no longer those that the file has numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peers of this node have changed since the dump began: begin again")]
pub struct PeersChanged;

impl Speaker {
    /// The next piece of the RIB: every path that was let in, and this node's own as peer 0. `time` is that of the dump,
    /// in seconds since 1970.
    pub fn dump(&self, after: Option<&DumpCursor>, time: u32) -> Result<DumpPiece, PeersChanged> {
        let mut octets = Vec::new();
        let peers: Vec<Peer> = (0..self.peers.len()).map(|number| self.dump_peer(number)).collect();
        let cursor = match after {
            Some(cursor) => *cursor,
            None => {
                mrt::put_peers(time, self.local.router_id.bits(), peers.iter().copied(), &mut octets);
                DumpCursor { family: Family::Ipv4, destination: 0, sequence: 0, peers: fingerprint(&peers) }
            }
        };
        if cursor.peers != fingerprint(&peers) {
            return Err(PeersChanged);
        }
        let next = match cursor.family {
            Family::Ipv4 => self.put_some(&self.ipv4, cursor, time, &mut octets),
            Family::Ipv6 => self.put_some(&self.ipv6, cursor, time, &mut octets),
        };
        Ok(DumpPiece { octets, next })
    }

    fn put_some<P: RibPrefix>(
        &self,
        tables: &Unicast<P>,
        mut cursor: DumpCursor,
        time: u32,
        out: &mut Vec<u8>,
    ) -> Option<DumpCursor> {
        let end = cursor.destination.saturating_add(STEP);
        for (prefix, paths) in tables.paths_in(cursor.destination..end) {
            let accepted = paths.iter().filter(|path| path.refusal.is_none());
            let all: Vec<(u16, u32, &Attributes)> = accepted
                .filter_map(|path| Some((path.source, path.path_id, &*self.shared.attrs.value(path.attrs)?.attributes)))
                .collect();
            let whole: Vec<_> = all.iter().map(|(.., attributes)| self.with_next_hop(P::FAMILY, attributes)).collect();
            let entries = all.iter().zip(&whole);
            let entries: Vec<Entry<'_>> = entries
                .map(|((peer, path_id, _), attributes)| Entry { peer: *peer, path_id: *path_id, attributes })
                .collect();
            if !entries.is_empty() {
                mrt::put_prefix(time, cursor.sequence, prefix, &entries, out);
                cursor.sequence = cursor.sequence.wrapping_add(1);
            }
        }
        match (end >= tables.end(), P::FAMILY) {
            (false, _) => Some(DumpCursor { destination: end, ..cursor }),
            (true, Family::Ipv4) => Some(DumpCursor { family: Family::Ipv6, destination: 0, ..cursor }),
            (true, Family::Ipv6) => None,
        }
    }

    /// Peers have the numbers that the tables know them by.
    fn dump_peer(&self, number: usize) -> Peer {
        let Ok(source) = Source::try_from(number) else { return Peer::NOBODY };
        if source == OWN {
            let (bgp_id, asn) = (self.local.router_id.bits(), self.local.local_as.value());
            return Peer { bgp_id, asn, ..Peer::NOBODY };
        }
        let Some(peer) = self.peer(source) else { return Peer::NOBODY };
        let told = peer.config.remote_as.asn().map_or(0, model::Asn::value);
        let (asn, bgp_id) = self.monitor.identity(source).unwrap_or((told, 0));
        Peer { bgp_id, address: peer.key.address, asn }
    }
}

/// The same as long as the peers are the same; not whether they are up, which may change during a dump.
fn fingerprint(peers: &[Peer]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    peers.iter().for_each(|peer| peer.address.hash(&mut hasher));
    hasher.finish()
}
