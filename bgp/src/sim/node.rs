//! One node of the simulation: a speaker and the kernel routes that its owner would make of what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::api::show::SessionState;
use model::{Prefix, Time};

use crate::config::{PeerKey, SpeakerConfig};
use crate::speaker::{NextHops, Output, PeerChange, Speaker};

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Where it can be reached.
    pub addresses: Vec<IpAddr>,
    /// Absent while it is dead.
    pub speaker: Option<Speaker>,
    /// Its routes: they outlive the speaker.
    pub kernel: BTreeMap<Prefix, NextHops>,
    /// How often a kernel route was written or removed.
    pub kernel_writes: usize,
    /// Every change of a session, in order.
    pub history: Vec<PeerChange>,
    /// Whether the speaker has said that the initial exchange is over.
    pub in_sync: bool,
    pub(super) reads: bool,
    pub(super) wake_at: Option<Time>,
    pub(super) frozen_until: Option<Time>,
    confirmed: BTreeSet<Prefix>,
}

impl Node {
    pub(super) fn new(addresses: Vec<IpAddr>) -> Node {
        Node {
            addresses,
            speaker: None,
            kernel: BTreeMap::new(),
            kernel_writes: 0,
            history: Vec::new(),
            in_sync: false,
            reads: true,
            wake_at: None,
            frozen_until: None,
            confirmed: BTreeSet::new(),
        }
    }

    pub(super) fn start(&mut self, config: SpeakerConfig, now: Time, seed: u64) {
        self.speaker = Some(Speaker::new(config, now, seed));
        self.in_sync = false;
        self.confirmed.clear();
        self.history.clear();
        self.wake_at = None;
    }

    /// What the owner of a speaker makes of these.
    pub(super) fn note(&mut self, output: Output) {
        match output {
            Output::Route(change) => {
                self.confirmed.insert(change.prefix);
                match change.best {
                    Some(best) => {
                        if self.kernel.insert(change.prefix, best.next_hops.clone()) != Some(best.next_hops) {
                            self.kernel_writes += 1;
                        }
                    }
                    None => {
                        if self.kernel.remove(&change.prefix).is_some() {
                            self.kernel_writes += 1;
                        }
                    }
                }
            }
            Output::InSync => {
                self.in_sync = true;
                let before = self.kernel.len();
                self.kernel.retain(|prefix, _| self.confirmed.contains(prefix));
                self.kernel_writes += before - self.kernel.len();
            }
            Output::Peer(change) => self.history.push(change),
            _ => {}
        }
    }

    /// The latest state of a session.
    pub fn state(&self, peer: PeerKey) -> Option<SessionState> {
        self.history.iter().rev().find(|change| change.peer == peer)?.state
    }

    /// Why a session is not up.
    pub fn reason(&self, peer: PeerKey) -> String {
        self.history.iter().rev().find(|c| c.peer == peer).map(|c| c.reason.clone()).unwrap_or_default()
    }

    /// How many sessions are up.
    pub fn established(&self) -> usize {
        let mut latest = BTreeMap::new();
        for change in &self.history {
            latest.insert(change.peer, change.state);
        }
        latest.values().filter(|state| **state == Some(SessionState::Established)).count()
    }

    /// The kernel's routes as text: next hops by prefix.
    pub fn beliefs(&self) -> BTreeMap<String, Vec<String>> {
        let hops = |hops: &NextHops| hops.iter().map(|hop| hop.address.to_string()).collect();
        self.kernel.iter().map(|(prefix, route)| (prefix.to_string(), hops(route))).collect()
    }
}
