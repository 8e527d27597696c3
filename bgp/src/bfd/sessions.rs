//! All BFD sessions of a node: one for each address that has a peer with BFD.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use model::Time;
use model::api::show::{BfdState, BfdView};

use super::packet::{LENGTH, Malformed, Packet};
use super::session::{Outcome, Session};
use super::{Config, Distance, Fall};
use crate::session::Jitter;

/// The TTL of everything that single-hop sessions send, and of all that they believe (RFC 5881 §5).
const TTL: u8 = 255;

/// The sessions of a node.
#[derive(Debug)]
pub struct Sessions {
    peers: BTreeMap<IpAddr, Peer>,
    by_discriminator: BTreeMap<u32, IpAddr>,
    /// When to look at whom; the time is that of [`Peer::armed`].
    timers: BTreeSet<(Time, IpAddr)>,
    jitter: Jitter,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Peer {
    session: Session,
    armed: Option<Time>,
    /// As told to the owner.
    reported: Option<BfdView>,
}

/// How a datagram came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its source address.
    pub from: IpAddr,
    /// By its destination port.
    pub distance: Distance,
    /// Its TTL or hop limit on arrival.
    pub ttl: u8,
}

/// Why a datagram was dropped (RFC 5880 §6.8.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Discarded {
    /// It is no packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Single hop, and it has been forwarded on its way (RFC 5881 §5).
    #[error("its TTL is {0}, not 255: it does not come from this link")]
    Forwarded(u8),
    /// From nobody who has a session.
    #[error("its sender has no BFD session here")]
    Stranger,
    /// It came to the port of the other kind of session.
    #[error("it came to the port of the other kind of session")]
    Distance,
    /// Your Discriminator is not that of the sender's session.
    #[error("Your Discriminator {0} is not that of the sender's session")]
    Discriminator(u32),
}

/// What to do or to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit {
        /// To whom.
        to: IpAddr,
        /// To which port.
        distance: Distance,
        /// The payload.
        octets: [u8; LENGTH],
    },
    /// A session has another state or other timers.
    Changed {
        /// With whom.
        peer: IpAddr,
        /// What it looks like.
        view: Box<BfdView>,
    },
    /// A session was Up and is no more.
    Fell {
        /// With whom.
        peer: IpAddr,
        /// Why.
        fall: Fall,
    },
    /// A session that was taken away has been told to the peer for long enough.
    Gone {
        /// With whom.
        peer: IpAddr,
    },
}

impl Sessions {
    /// None yet. `seed` feeds jitter and discriminators: any number that differs between nodes and starts.
    pub fn new(seed: u64) -> Sessions {
        Sessions {
            peers: BTreeMap::new(),
            by_discriminator: BTreeMap::new(),
            timers: BTreeSet::new(),
            jitter: Jitter::new(seed),
            outputs: VecDeque::new(),
        }
    }

    /// The sessions to have. Those that stay are not disturbed; those that go are told AdminDown first.
    pub fn configure(&mut self, now: Time, wanted: &BTreeMap<IpAddr, Config>) {
        let gone: Vec<IpAddr> = self.peers.keys().filter(|peer| !wanted.contains_key(peer)).copied().collect();
        for peer in gone {
            self.with(now, peer, |session, _| {
                if session.state() != BfdState::AdminDown {
                    session.retire(now);
                }
                Outcome::default()
            });
        }
        for (peer, config) in wanted {
            match self.peers.get(peer).map(|p| *p.session.config()) {
                Some(same) if same.distance == config.distance => {
                    let config = *config;
                    self.with(now, *peer, |session, jitter| {
                        session.reconfigure(now, config, jitter);
                        Outcome::default()
                    });
                }
                Some(_) => {
                    // Another port is another session: the peer hears AdminDown on the old one.
                    self.with(now, *peer, |session, _| {
                        session.retire(now);
                        Outcome::default()
                    });
                    self.forget(*peer);
                    self.add(now, *peer, *config);
                }
                None => self.add(now, *peer, *config),
            }
        }
    }

    /// Tells every peer AdminDown once more and for the last time: the owner ends.
    pub fn retire(&mut self, now: Time) {
        self.configure(now, &BTreeMap::new());
    }

    /// A datagram came.
    ///
    /// # Errors
    /// Why it was dropped; nothing has changed then.
    pub fn receive(&mut self, now: Time, arrival: Arrival, datagram: &[u8]) -> Result<(), Discarded> {
        let peer = arrival.from.to_canonical();
        let session = &self.peers.get(&peer).ok_or(Discarded::Stranger)?.session;
        if session.config().distance != arrival.distance {
            return Err(Discarded::Distance);
        }
        if arrival.distance == Distance::SingleHop && arrival.ttl != TTL {
            return Err(Discarded::Forwarded(arrival.ttl));
        }
        let packet = Packet::decode(datagram)?;
        let yours = packet.your_discriminator;
        if yours != 0 && self.by_discriminator.get(&yours) != Some(&peer) {
            return Err(Discarded::Discriminator(yours));
        }
        self.with(now, peer, |session, jitter| session.receive(now, &packet, jitter));
        Ok(())
    }

    /// Time has passed: does what is due by `now`. What has come by then should have been received first.
    pub fn tick(&mut self, now: Time) {
        while let Some(&(due, peer)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            if let Some(state) = self.peers.get_mut(&peer) {
                state.armed = None;
            }
            self.with(now, peer, |session, _| Outcome { fall: session.tick(now), reply: None });
        }
    }

    /// When [`Sessions::tick`] is to be called next, if nothing else happens.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The next thing to do or to know.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn add(&mut self, now: Time, peer: IpAddr, config: Config) {
        let discriminator = self.discriminator();
        self.by_discriminator.insert(discriminator, peer);
        let session = Session::new(now, config, discriminator);
        self.peers.insert(peer, Peer { session, armed: None, reported: None });
        self.with(now, peer, |_, _| Outcome::default());
    }

    fn forget(&mut self, peer: IpAddr) {
        if let Some(state) = self.peers.remove(&peer) {
            self.by_discriminator.remove(&state.session.discriminator());
            if let Some(armed) = state.armed {
                self.timers.remove(&(armed, peer));
            }
        }
    }

    /// A number other than 0 that no session has (RFC 5880 §6.3).
    fn discriminator(&mut self) -> u32 {
        loop {
            let drawn = u32::try_from(self.jitter.next() >> 32).unwrap_or_default();
            if drawn != 0 && !self.by_discriminator.contains_key(&drawn) {
                return drawn;
            }
        }
    }

    /// Lets a session act, and does what follows.
    fn with(&mut self, now: Time, peer: IpAddr, event: impl FnOnce(&mut Session, &mut Jitter) -> Outcome) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let session = &mut state.session;
        let outcome = event(session, &mut self.jitter);
        let distance = session.config().distance;
        for packet in outcome.reply.into_iter().chain(session.due(now, &mut self.jitter)) {
            self.outputs.push_back(Output::Transmit { to: peer, distance, octets: packet.encode() });
        }
        let view = session.view();
        if state.reported.as_ref() != Some(&view) {
            state.reported = Some(view.clone());
            self.outputs.push_back(Output::Changed { peer, view: Box::new(view) });
        }
        self.outputs.extend(outcome.fall.map(|fall| Output::Fell { peer, fall }));
        if session.is_over(now) {
            self.forget(peer);
            return self.outputs.push_back(Output::Gone { peer });
        }
        let deadline = session.deadline();
        if state.armed != deadline {
            if let Some(armed) = state.armed {
                self.timers.remove(&(armed, peer));
            }
            state.armed = deadline;
            self.timers.extend(deadline.map(|deadline| (deadline, peer)));
        }
    }
}
