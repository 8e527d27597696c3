//! Events to the sessions, and what they want done.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use model::{Family, Time};

use super::dynamic::Claim;
use super::peer::{Conn, Peer};
use super::{ConnId, Dial, Output, PeerChange, Speaker};
use crate::bfd::Fall;
use crate::config::PeerKey;
use crate::rib::{Emit, Flow, Source};
use crate::session::{Action, Agreed, Env, Fsm, Reset, Why};
use crate::wire::notification::{self, cease};
use crate::wire::{MessageType, Notification};

impl Speaker {
    pub(super) fn peer(&self, source: Source) -> Option<&Peer> {
        self.peers.get(usize::from(source)).and_then(Option::as_ref)
    }

    pub(super) fn peer_mut(&mut self, source: Source) -> Option<&mut Peer> {
        self.peers.get_mut(usize::from(source)).and_then(Option::as_mut)
    }

    /// Lets a session's state machine act, and does what it wants.
    pub(super) fn with_peer<T>(
        &mut self,
        now: Time,
        source: Source,
        event: impl FnOnce(&mut Fsm, &mut Env<'_>) -> T,
    ) -> Option<T> {
        let peer = self.peers.get_mut(usize::from(source))?.as_mut()?;
        let mut actions = Vec::new();
        let mut env = Env {
            now,
            local: &self.local,
            key: peer.key,
            peer: &peer.config,
            conns: &mut self.conns,
            jitter: &mut self.jitter,
            actions: &mut actions,
        };
        let result = event(&mut peer.fsm, &mut env);
        for action in actions {
            self.act(now, source, action);
        }
        self.report(source);
        self.arm(source);
        self.watch_fading(source);
        Some(result)
    }

    pub(super) fn with_conn(&mut self, now: Time, conn: ConnId, event: impl FnOnce(&mut Fsm, &mut Env<'_>)) {
        if let Some(source) = self.by_conn.get(&conn).map(|conn| conn.source) {
            self.with_peer(now, source, event);
        }
    }

    fn act(&mut self, now: Time, source: Source, action: Action) {
        match action {
            Action::Dial(conn) => {
                self.by_conn.insert(conn, Conn { source, outstanding: 0, progress: now });
                let Some(peer) = self.peer(source) else { return };
                let dial = Dial {
                    conn,
                    peer: peer.key,
                    local: peer.config.local_address,
                    password: peer.config.password.clone(),
                    ttl_security: peer.config.ttl_security,
                };
                self.outputs.push_back(Output::Connect(dial));
            }
            Action::Close(conn) => {
                self.by_conn.remove(&conn);
                self.outputs.push_back(Output::Close { conn });
            }
            Action::Send(conn, bytes) => {
                self.monitor.traces.sent(conn, &bytes);
                self.send(now, conn, bytes, 1);
            }
            Action::SetContext(conn, context) => self.outputs.push_back(Output::SetContext { conn, context }),
            Action::Up => self.session_up(now, source),
            Action::Down(retention) => self.session_down(now, source, retention),
        }
    }

    /// Hands octets out, and watches how much of them waits.
    pub(super) fn send(&mut self, now: Time, conn: ConnId, bytes: Bytes, messages: usize) {
        let Some(state) = self.by_conn.get_mut(&conn) else { return };
        if state.outstanding == 0 {
            state.progress = now;
        }
        state.outstanding += bytes.len();
        let (source, full) = (state.source, state.outstanding > self.local.timers.outstanding);
        if let Some(peer) = self.peers.get_mut(usize::from(source)).and_then(Option::as_mut) {
            peer.counters.messages_out += messages as u64;
        }
        if full && let Some(info) = self.shared.source_mut(source) {
            info.flow = Flow::Full;
        }
        if bytes.get(18) == Some(&MessageType::Update.value()) {
            self.tell_sent(now, source, &bytes);
        }
        self.outputs.push_back(Output::Send { conn, bytes });
    }

    pub(super) fn drained(&mut self, now: Time, conn: ConnId, octets: usize) {
        let Some(state) = self.by_conn.get_mut(&conn) else { return };
        state.outstanding = state.outstanding.saturating_sub(octets);
        state.progress = now;
        let (source, free) = (state.source, state.outstanding <= self.local.timers.outstanding / 2);
        let current = self.peer(source).and_then(Peer::established_conn) == Some(conn);
        if free
            && current
            && let Some(info) = self.shared.source_mut(source)
        {
            info.flow = Flow::Free;
        }
    }

    /// Tells the owner of a state or reason that is new.
    pub(super) fn report(&mut self, source: Source) {
        let Some(peer) = self.peers.get_mut(usize::from(source)).and_then(Option::as_mut) else { return };
        let now = (peer.fsm.state(), peer.reason());
        if peer.reported == now {
            return;
        }
        peer.reported = now.clone();
        let change = PeerChange { peer: peer.key, state: Some(now.0), reason: now.1 };
        self.outputs.push_back(Output::Peer(change));
    }

    /// Sees to it that the timer queue asks the peer no later than it needs.
    pub(super) fn arm(&mut self, source: Source) {
        let Some(deadline) = self.peer_deadline(source) else { return };
        let Some(peer) = self.peers.get_mut(usize::from(source)).and_then(Option::as_mut) else { return };
        if peer.armed.is_some_and(|armed| armed <= deadline) {
            return; // asked early, it is armed anew
        }
        if let Some(armed) = peer.armed.replace(deadline) {
            self.timers.remove(&(armed, source));
        }
        self.timers.insert((deadline, source));
    }

    fn peer_deadline(&self, source: Source) -> Option<Time> {
        let peer = self.peer(source)?;
        [
            peer.fsm.deadline(),
            peer.stale_until,
            peer.long_lived.deadline(),
            peer.refreshes.deadline(),
            self.send_hold(peer),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When the peer will have refused to read for too long (RFC 9687 §3.1).
    fn send_hold(&self, peer: &Peer) -> Option<Time> {
        let established = peer.fsm.established()?;
        self.by_conn.get(&established.link.conn)?.send_hold(self.send_hold_time(&established.agreed))
    }

    fn send_hold_time(&self, agreed: &Agreed) -> Duration {
        self.local.timers.send_hold.max(agreed.hold * 2)
    }

    pub(super) fn tick_peer(&mut self, now: Time, source: Source) {
        let Some(peer) = self.peer(source) else { return };
        if self.send_hold(peer).is_some_and(|due| due <= now) {
            let time = peer.fsm.established().map_or(Duration::ZERO, |e| self.send_hold_time(&e.agreed));
            let told = Notification::new(notification::SEND_HOLD_TIMER_EXPIRED);
            self.with_peer(now, source, |fsm, env| fsm.fail(env, &told, Reset::Graceful, Why::SendHoldTimer(time)));
        }
        self.drop_stale_if_due(now, source);
        self.refresh_if_due(now, source);
        self.with_peer(now, source, |fsm, env| fsm.tick(env));
    }

    pub(super) fn accepted(&mut self, now: Time, conn: ConnId, local: SocketAddr, remote: SocketAddr) {
        let source = match self.claimant(local, remote) {
            Claim::Peer(source) => Some(source),
            Claim::Range(range) => self.bear(now, range, PeerKey::at(remote)),
            Claim::Nobody => None,
        };
        match source {
            Some(source) => {
                self.by_conn.insert(conn, Conn { source, outstanding: 0, progress: now });
                self.with_peer(now, source, |fsm, env| fsm.accepted(env, conn, local));
            }
            None => self.outputs.push_back(Output::Close { conn }),
        }
    }

    /// Ends what stands on a path that is down, for good: over a path that forwards nothing no route is worth keeping. A dial goes on: while BFD has not come up, it says nothing of the path.
    pub(super) fn bfd_fell(&mut self, now: Time, address: IpAddr, fall: Fall) {
        if fall == Fall::AdminDown {
            return;
        }
        let at_address = |(key, _): &(&PeerKey, &Source)| key.address == address;
        let sources: Vec<Source> = self.by_key.iter().filter(at_address).map(|(_, source)| *source).collect();
        let told = Notification::new(cease::BFD_DOWN);
        for source in sources {
            let concerns = |peer: &Peer| peer.config.bfd.is_some() && peer.fsm.link().is_some();
            if self.peer(source).is_some_and(concerns) {
                self.with_peer(now, source, |fsm, env| fsm.fail(env, &told, Reset::Hard, Why::BfdDown(fall)));
            }
        }
    }

    pub(super) fn shut_down(&mut self, now: Time, message: &str) {
        let told = Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, message);
        let sources: Vec<Source> = self.by_key.values().copied().collect();
        for source in sources {
            self.with_peer(now, source, |fsm, env| fsm.stop(env, &told, Reset::Hard, Why::ShutDown, None));
        }
    }

    /// Does a part of the work on routes. Returns whether there was any.
    pub(super) fn work(&mut self, now: Time) -> bool {
        let mut emits = std::mem::take(&mut self.emits);
        let any = self.ipv4.work(&mut self.shared, &mut emits) || self.ipv6.work(&mut self.shared, &mut emits);
        for emit in emits.drain(..) {
            match emit {
                Emit::Route(change) => self.outputs.push_back(Output::Route(change)),
                Emit::Send { to, bytes, messages } => {
                    let Some(peer) = self.peer_mut(to) else { continue };
                    peer.counters.updates_out += messages as u64;
                    if let Some(conn) = peer.established_conn() {
                        self.send(now, conn, bytes, messages);
                        self.arm(to);
                    }
                }
            }
        }
        self.emits = emits;
        any || self.announce_in_sync()
    }

    /// Families in AFI order, with what is to be done in the tables of each.
    pub(super) fn in_tables(&mut self, family: Family, work: impl Tables) {
        match family {
            Family::Ipv4 => work.on(&mut self.ipv4, &mut self.shared),
            Family::Ipv6 => work.on(&mut self.ipv6, &mut self.shared),
        }
    }
}

/// Something to be done in the tables of whichever family.
pub(super) trait Tables {
    fn on<P: crate::rib::RibPrefix>(self, tables: &mut crate::rib::Unicast<P>, shared: &mut crate::rib::Shared);
}
