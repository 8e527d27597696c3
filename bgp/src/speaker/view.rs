//! What a speaker shows of its sessions, in the shapes that `margayctl` prints.

use model::api::show::{PeerView, RouteView};
use model::{Family, Time};

use super::Speaker;
use super::peer::Peer;
use crate::config::PeerKey;
use crate::rib::{Counts, Source};
use crate::session::{local_as, offered};

/// One session, for listings and metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerStatus {
    /// Which.
    pub key: PeerKey,
    /// Since when it has its state, on the owner's clock. [`PeerView::since`] is empty: only the owner knows the date.
    pub since: Time,
    /// What `margayctl bgp peers` prints.
    pub view: PeerView,
    /// Counted since the peer was configured.
    pub counters: Counters,
    /// The last faulty attribute and what came of it.
    pub last_fault: Option<String>,
}

/// What went over a peer's sessions since the peer was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages read.
    pub messages_in: u64,
    /// Messages handed out to be written.
    pub messages_out: u64,
    /// UPDATEs among [`Counters::messages_in`].
    pub updates_in: u64,
    /// UPDATEs among [`Counters::messages_out`].
    pub updates_out: u64,
    /// Faulty attributes that were repaired or whose routes were withdrawn (RFC 7606).
    pub faults_in: u64,
    /// Messages whose routes were treated as withdrawn for such a fault.
    pub withdrawn_in: u64,
    /// Octets that now wait to be written.
    pub outstanding: u64,
}

/// All about the choice of one prefix's path.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// Every path, refused ones too, best first, each with its reason.
    pub paths: Vec<RouteView>,
    /// Whom the best path was told.
    pub advertised_to: Vec<PeerKey>,
    /// One sentence that sums it up.
    pub verdict: String,
}

impl Speaker {
    /// All peers in order of their keys.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let known = |source: &Source| Some((*source, self.peer(*source)?));
        self.by_key.values().filter_map(known).map(|(source, peer)| self.status(source, peer)).collect()
    }

    fn status(&self, source: Source, peer: &Peer) -> PeerStatus {
        let established = peer.fsm.established();
        let agreed = established.map(|established| &established.agreed);
        let seconds = |time: std::time::Duration| u16::try_from(time.as_secs()).unwrap_or(u16::MAX);
        let counts = self.shared.source(source).map_or([Counts::default(); 2], |info| info.counts);
        let sum = |count: fn(&Counts) -> u64| counts.iter().map(count).sum();
        let conn = established.and_then(|established| self.by_conn.get(&established.link.conn));
        let families = agreed.map_or_else(|| offered(&self.local, peer.key, &peer.config), |agreed| agreed.families);
        let view = PeerView {
            peer_address: peer.key.address,
            interface: peer.config.interface.clone(),
            peer_port: peer.key.port,
            peer_as: agreed.map(|agreed| agreed.peer_as).or(peer.config.remote_as.asn()),
            local_as: local_as(&self.local, &peer.config),
            local_address: peer.fsm.link().map(|link| link.local.ip().to_canonical()),
            range: peer.range,
            name: peer.config.name.clone(),
            kind: peer.config.kind,
            state: peer.fsm.state(),
            since: String::new(),
            reason: peer.reason(),
            families: families.iter().collect(),
            received: sum(|counts| counts.received),
            accepted: sum(|counts| counts.accepted),
            ignored: sum(|counts| counts.ignored),
            advertised: self.advertised(source),
            stale: sum(|counts| counts.stale),
            long_lived_stale: sum(|counts| counts.long_lived),
            router_id: agreed.map(|agreed| agreed.peer_id),
            hold_time: agreed.map(|agreed| seconds(agreed.hold)),
            keepalive_time: agreed.map(|agreed| seconds(agreed.keepalive)),
            capabilities: agreed.map(|agreed| agreed.capabilities.clone()).unwrap_or_default(),
            established_count: peer.established_count,
            last_error: peer.last_error.clone(),
            max_prefixes: peer.config.max_prefixes.map(|bound| bound.limit),
            faults: peer.counters.faults_in,
            last_fault: peer.last_fault.map(|fault| fault.to_string()),
            bfd: None,
        };
        let outstanding = conn.map_or(0, |conn| conn.outstanding as u64);
        let counters = Counters { outstanding, ..peer.counters };
        let last_fault = peer.last_fault.map(|fault| fault.to_string());
        PeerStatus { key: peer.key, since: peer.fsm.since(), view, counters, last_fault }
    }

    pub(super) fn advertised(&self, source: Source) -> u64 {
        let ipv4 = self.ipv4.group_of(source).map_or(0, |(_, group)| group.told_to(source));
        let ipv6 = self.ipv6.group_of(source).map_or(0, |(_, group)| group.told_to(source));
        ipv4 + ipv6
    }

    /// How many prefixes of a family have at least one path, own ones included.
    pub fn prefixes(&self, family: Family) -> usize {
        match family {
            Family::Ipv4 => self.ipv4.table.len(),
            Family::Ipv6 => self.ipv6.table.len(),
        }
    }

    /// How many distinct sets of attributes are kept.
    pub fn attribute_sets(&self) -> usize {
        self.shared.attrs.len()
    }
}
