//! Whose a new connection is, and peers from listen ranges: born with a connection, gone when nothing is left of them.

use std::net::SocketAddr;
use std::sync::Arc;

use model::api::show::SessionState;
use model::{Prefix, Time};

use super::Speaker;
use crate::config::{PeerConfig, PeerKey, SpeakerConfig};
use crate::rib::Source;
use crate::session::{Reset, Why};
use crate::wire::Notification;
use crate::wire::notification::cease;

/// Whose a new connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A peer's that there is.
    Peer(Source),
    /// A peer's that is to be born in this listen range.
    Range(Prefix),
    /// Nobody's that we know.
    Nobody,
}

/// Whether one more peer may be born in a listen range.
enum Room {
    Free,
    /// If this one goes, which has no session.
    InPlaceOf(Source),
    Full,
}

/// Why a connection is closed before an octet of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It comes neither from a peer's address nor from a listen range.
    #[error("not a peer of this node")]
    Stranger,
    /// Its listen range has as many peers as it may have.
    #[error("its listen range is full")]
    RangeFull,
}

/// The listen range that a peer would be born in: the longest. Link-local addresses are in none.
pub(super) fn range_of<'a>(config: &'a SpeakerConfig, key: &PeerKey) -> Option<(Prefix, &'a Arc<PeerConfig>)> {
    let around = config.ranges.iter().filter(|(prefix, _)| key.scope.is_none() && prefix.contains(key.address));
    around.max_by_key(|(prefix, _)| prefix.length()).map(|(prefix, range)| (*prefix, range.peer()))
}

impl Speaker {
    /// How a connection that was just accepted is to be protected, if it may stay.
    ///
    /// # Errors
    /// If it may not.
    pub fn admits(&self, local: SocketAddr, remote: SocketAddr) -> Result<&PeerConfig, Refused> {
        match self.claimant(local, remote) {
            Claim::Peer(source) => self.peer(source).map(|peer| &*peer.config).ok_or(Refused::Stranger),
            Claim::Range(range) => match (self.room(range), self.config.ranges.get(&range)) {
                (Room::Free | Room::InPlaceOf(_), Some(range)) => Ok(range.peer()),
                _ => Err(Refused::RangeFull),
            },
            Claim::Nobody => Err(Refused::Stranger),
        }
    }

    /// All peers by now, those from ranges too.
    pub fn with_configs(&self) -> impl Iterator<Item = (&PeerKey, &PeerConfig)> {
        self.by_key.iter().filter_map(|(key, source)| Some((key, &*self.peer(*source)?.config)))
    }

    /// Of several peers at one address: one whose source address it is, then one whose session is not up. A peer that is
    /// there goes before a range.
    pub(super) fn claimant(&self, local: SocketAddr, remote: SocketAddr) -> Claim {
        let (key, ours) = (PeerKey::at(remote), local.ip().to_canonical());
        let rank = |(key, source): (&PeerKey, &Source)| {
            if key.source.is_some_and(|source| source != ours) {
                return None;
            }
            let peer = self.peer(*source)?;
            let elsewhere = peer.config.local_address != Some(ours);
            let up = peer.fsm.state() == SessionState::Established;
            Some(((key.source.is_none(), elsewhere, up, *key), *source))
        };
        let first = self.by_key.range(key.neighbours()).filter_map(rank).min();
        match first {
            Some((_, source)) => Claim::Peer(source),
            None => range_of(&self.config, &key).map_or(Claim::Nobody, |(range, _)| Claim::Range(range)),
        }
    }

    /// A newcomer that is as good as any takes the place of whoever has been longest on the way to a session: so who only
    /// opens connections keeps nobody out, and holds no more than the range may.
    fn room(&self, range: Prefix) -> Room {
        let Some(most) = self.config.ranges.get(&range).map(|range| range.most()) else { return Room::Full };
        if self.born.get(&range).copied().unwrap_or(0) < most {
            return Room::Free;
        }
        let idle = self.by_key.values().filter_map(|source| {
            let peer = self.peer(*source).filter(|peer| peer.range == Some(range))?;
            let of_use = peer.fsm.established().is_some() || peer.keeps_routes();
            (!of_use).then(|| (peer.is_barred(), peer.fsm.since(), *source))
        });
        idle.min().map_or(Room::Full, |(_, _, source)| Room::InPlaceOf(source))
    }

    /// A peer for a connection from a range, if there is room.
    pub(super) fn bear(&mut self, now: Time, range: Prefix, key: PeerKey) -> Option<Source> {
        match self.room(range) {
            Room::Free => {}
            Room::InPlaceOf(source) => {
                let told = Notification::new(cease::OUT_OF_RESOURCES);
                self.with_peer(now, source, |fsm, env| fsm.stop(env, &told, Reset::Hard, Why::Crowded, None));
                self.forget_peer(source, Why::Crowded.to_string());
            }
            Room::Full => return None,
        }
        let config = self.config.ranges.get(&range)?.peer().clone();
        self.add_peer(now, key, config, Some(range))
    }

    /// Keeps count of the peers of each range, as one comes into a range or leaves one.
    pub(super) fn count_born(&mut self, left: Option<Prefix>, entered: Option<Prefix>) {
        if let Some(range) = entered {
            *self.born.entry(range).or_default() += 1;
        }
        if let Some(range) = left
            && let Some(count) = self.born.get_mut(&range)
        {
            *count -= 1;
            if *count == 0 {
                self.born.remove(&range);
            }
        }
    }

    /// The peers from ranges, each with what a configuration makes of it: one of a range still, or one by address.
    pub(super) fn ranged_peers(&self, new: &SpeakerConfig) -> Vec<(Source, Arc<PeerConfig>, Option<Prefix>)> {
        let ranged = self.by_key.iter().filter_map(|(key, source)| {
            self.peer(*source)?.range?;
            if let Some(peer) = new.peers.get(key) {
                return Some((*source, Arc::new(peer.clone()), None));
            }
            let (range, peer) = range_of(new, key)?;
            Some((*source, peer.clone(), Some(range)))
        });
        ranged.collect()
    }

    /// Notes a peer from a range of which nothing may be left.
    pub(super) fn watch_fading(&mut self, source: Source) {
        if self.peer(source).is_some_and(|peer| peer.is_spent()) {
            self.fading.push(source);
        }
    }

    /// Forgets peers from ranges of which nothing is left: no connection, no rest after an error, no route kept.
    pub(super) fn bury(&mut self) {
        while let Some(source) = self.fading.pop() {
            if let Some(peer) = self.peer(source).filter(|peer| peer.is_spent()) {
                let reason = peer.reason();
                self.forget_peer(source, reason);
            }
        }
    }
}
