//! Messages of established sessions on their way into the tables.

use model::Time;

use super::{ConnId, Speaker};
use crate::rib::{RouteAttrs, Source};
use crate::session::Delivery;
use crate::wire::{Message, Update, Verdict};

impl Speaker {
    pub(super) fn message(&mut self, now: Time, conn: ConnId, message: Message) {
        let Some(source) = self.by_conn.get(&conn).map(|conn| conn.source) else { return };
        if let Some(peer) = self.peer_mut(source) {
            peer.counters.messages_in += 1;
        }
        self.monitor.traces.received(conn, &message);
        let delivery = self.with_peer(now, source, |fsm, env| fsm.message(env, conn, &message));
        if delivery != Some(Delivery::Routes) {
            return;
        }
        match message {
            Message::Update(update) => self.learn(now, source, update),
            Message::RouteRefresh(refresh) => self.refresh_message(now, source, refresh),
            _ => {}
        }
    }

    fn learn(&mut self, now: Time, source: Source, update: Update) {
        if let Some(peer) = self.peer_mut(source) {
            peer.counters.updates_in += 1;
            peer.counters.faults_in += update.errors.len() as u64;
            peer.counters.withdrawn_in += u64::from(update.verdict() == Some(Verdict::Withdraw));
            peer.last_fault = update.errors.last().copied().or(peer.last_fault);
        }
        let shared = &mut self.shared;
        for nlri in &update.withdrawn {
            self.ipv4.withdraw(shared, source, nlri.ipv4());
            self.ipv6.withdraw(shared, source, nlri.ipv6());
        }
        for reachable in update.reachable {
            let Some(info) = shared.source(source) else { return };
            let refusal = shared.refuses(&reachable.attributes, info);
            let attrs = shared.attrs.intern(RouteAttrs::new(reachable.attributes));
            self.ipv4.announce(shared, source, reachable.nlri.ipv4(), attrs, refusal);
            self.ipv6.announce(shared, source, reachable.nlri.ipv6(), attrs, refusal);
            shared.attrs.release(attrs);
        }
        if let Some(family) = update.end_of_rib {
            self.end_of_rib(source, family);
            self.tell_end_of_rib(now, source, family);
        }
        self.bound_prefixes(now, source);
    }
}
