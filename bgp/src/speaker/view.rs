//! What a speaker shows of itself, in the shapes that `margayctl` prints.

use model::api::show::{BgpRoutes, PeerView, RoutePage, RouteView};
use model::{Prefix, Time};

use super::Speaker;
use crate::config::PeerKey;

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
        Vec::new()
    }

    /// One page of routes in order of prefix: whole prefixes, some [`PAGE`](model::api::show::PAGE) routes.
    pub fn routes(&self, question: &BgpRoutes) -> RoutePage {
        let _ = question;
        RoutePage::default()
    }

    /// The paths of exactly this prefix; `None` if no peer has any and this node does not originate it.
    pub fn why(&self, prefix: Prefix) -> Option<Why> {
        let _ = prefix;
        None
    }

    /// The longest prefix with a best path that covers this one.
    pub fn covering(&self, prefix: Prefix) -> Option<Prefix> {
        let _ = prefix;
        None
    }

    /// Every best path now, as it was or will be told by [`Output::Route`](super::Output::Route).
    pub fn best_routes(&self) -> usize {
        0
    }
}
