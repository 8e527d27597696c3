//! Sessions as stations hear of them: Peer Up with both OPENs, Peer Down with the reason (RFC 7854 §4.9, §4.10).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use model::{Family, Time};

use super::super::{ConnId, Speaker};
use crate::bmp::{DownReason, Flags, Information, Kind, Message, PeerHeader, PeerUp, Table, information};
use crate::rib::Source;
use crate::session::Why;
use crate::speaker::CloseReason;
use crate::wire::capability::{AfiSafi, Capability};
use crate::wire::{self, AsWidth, FamilySet, Open};

/// TcpConnectionFails (RFC 4271 §8.1.4, event 18).
const TCP_CONNECTION_FAILS: u16 = 18;

/// What went over connections that a station may want to see.
#[derive(Debug, Clone, Default)]
pub(in crate::speaker) struct Traces(HashMap<ConnId, Trace>);

#[derive(Debug, Clone, Default)]
struct Trace {
    remote_port: u16,
    sent: Bytes,
    received: Bytes,
    /// The NOTIFICATION that ended it.
    last: Option<Last>,
}

/// Who said the last word.
#[derive(Debug, Clone)]
enum Last {
    Ours(Bytes),
    Theirs(Bytes),
}

/// A session that is up.
#[derive(Debug, Clone)]
pub(in crate::speaker) struct Up {
    conn: ConnId,
    local: SocketAddr,
    header: PeerHeader,
    as_width: AsWidth,
    /// Families in which the peer's prefixes carry path identifiers.
    pub(super) add_path: FamilySet,
}

impl Up {
    /// The header of a message about it.
    pub(super) fn header(&self, time: Duration, flags: Flags) -> PeerHeader {
        PeerHeader { time, flags, ..self.header.clone() }
    }

    /// AS number and BGP identifier.
    pub(super) fn identity(&self) -> (u32, u32) {
        (self.header.asn, self.header.bgp_id)
    }

    /// The flags of what it is sent.
    pub(super) fn out_flags(&self) -> Flags {
        let out = Flags::ADJ_RIB_OUT.and(Flags::POST_POLICY);
        match self.as_width {
            AsWidth::Four => out,
            AsWidth::Two => out.and(Flags::LEGACY_AS_PATH),
        }
    }
}

impl Traces {
    /// Of what we send the OPEN and the NOTIFICATION.
    pub(in crate::speaker) fn sent(&mut self, conn: ConnId, octets: &Bytes) {
        let Some(trace) = self.0.get_mut(&conn) else { return };
        match octets.get(18) {
            Some(1) => trace.sent = octets.clone(),
            Some(3) => trace.last = Some(Last::Ours(octets.clone())),
            _ => {}
        }
    }

    /// Of what the peer sends the same, written again as we have understood it.
    pub(in crate::speaker) fn received(&mut self, conn: ConnId, message: &wire::Message) {
        let Some(trace) = self.0.get_mut(&conn) else { return };
        let mut octets = Vec::new();
        match message {
            wire::Message::Open(open) => {
                open.encode(&mut octets);
                trace.received = octets.into();
            }
            wire::Message::Notification(notification) => {
                notification.encode(&mut octets);
                trace.last = Some(Last::Theirs(octets.into()));
            }
            _ => {}
        }
    }
}

impl Speaker {
    /// A connection is there, and what goes over it is noted from now on.
    pub(in crate::speaker) fn trace_opened(&mut self, conn: ConnId, remote: SocketAddr) {
        // Connections come and go, be it of strangers only: what is known of those that went is of no use any more.
        if self.monitor.traces.0.len() > 2 * (self.by_conn.len() + 8) {
            let up: HashSet<ConnId> = self.monitor.up.values().map(|up| up.conn).collect();
            let by_conn = &self.by_conn;
            self.monitor.traces.0.retain(|conn, _| by_conn.contains_key(conn) || up.contains(conn));
        }
        self.monitor.traces.0.insert(conn, Trace { remote_port: remote.port(), ..Trace::default() });
    }

    /// A session is Established: everybody hears of it.
    pub(in crate::speaker) fn tell_up(&mut self, now: Time, source: Source) {
        self.tell_sight(now);
        let Some(peer) = self.peer(source) else { return };
        let Some(established) = peer.fsm.established() else { return };
        let conn = established.link.conn;
        let header = PeerHeader {
            kind: Kind::Global,
            flags: Flags::default(),
            distinguisher: 0,
            address: peer.key.address,
            asn: established.agreed.peer_as.value(),
            bgp_id: established.agreed.peer_id.bits(),
            time: Duration::ZERO,
        };
        let up = Up {
            conn,
            local: established.link.local,
            header,
            as_width: established.agreed.as_width,
            add_path: established.agreed.add_path_receive,
        };
        let octets = self.peer_up(now, &up);
        self.monitor.up.insert(source, up);
        self.shared.watch.follow(source);
        self.push_all(None, &octets);
    }

    fn peer_up(&self, now: Time, up: &Up) -> Bytes {
        let mut octets = Vec::new();
        if let Some(trace) = self.monitor.traces.0.get(&up.conn) {
            let message = PeerUp {
                peer: up.header(self.monitor.time(now), Flags::default()),
                local_address: up.local.ip().to_canonical(),
                local_port: up.local.port(),
                remote_port: trace.remote_port,
                sent: trace.sent.clone(),
                received: trace.received.clone(),
                information: Vec::new(),
            };
            Message::PeerUp(Box::new(message)).encode(&mut octets);
        }
        octets.into()
    }

    /// The sessions that are up, and the Loc-RIB, for a station that has just connected.
    pub(super) fn put_peers_up(&self, now: Time, station: SocketAddr, out: &mut Vec<u8>) {
        for up in self.monitor.up.values() {
            out.extend_from_slice(&self.peer_up(now, up));
        }
        if self.monitor.stations.get(&station).is_some_and(|line| line.tables.contains(&Table::Loc)) {
            self.loc_rib_up(now).encode(out);
        }
    }

    /// The Loc-RIB is told of like a session, with OPENs that say what its prefixes are (RFC 9069 §4.4).
    fn loc_rib_up(&self, now: Time) -> Message {
        let families = Family::ALL.map(|family| Capability::Multiprotocol(AfiSafi::from(family)));
        let capabilities = families.into_iter().chain([Capability::FourOctetAs(Some(self.local.local_as))]);
        let open = Open {
            asn: self.local.local_as,
            hold_seconds: 0,
            router_id: self.local.router_id,
            capabilities: capabilities.collect(),
        };
        let mut octets = Vec::new();
        open.encode(&mut octets);
        let octets = Bytes::from(octets);
        Message::PeerUp(Box::new(PeerUp {
            peer: self.loc_rib(self.monitor.time(now)),
            local_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            local_port: 0,
            remote_port: 0,
            sent: octets.clone(),
            received: octets,
            information: vec![Information::text(information::TABLE_NAME, "global")],
        }))
    }

    /// The header of a message about the Loc-RIB.
    pub(super) fn loc_rib(&self, time: Duration) -> PeerHeader {
        PeerHeader {
            kind: Kind::LocRib,
            flags: Flags::default(),
            distinguisher: 0,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            asn: self.local.local_as.value(),
            bgp_id: self.local.router_id.bits(),
            time,
        }
    }

    /// A session that was Established is over: everybody hears why, and forgets what it was told of its tables.
    pub(in crate::speaker) fn tell_down(&mut self, now: Time, source: Source) {
        self.tell_sight(now);
        self.shared.watch.leave(source);
        let Some(up) = self.monitor.up.remove(&source) else { return };
        let last = self.monitor.traces.0.remove(&up.conn).and_then(|trace| trace.last);
        let reason = match (last, self.peer(source).map(|peer| peer.fsm.why())) {
            (Some(Last::Ours(octets)), _) => DownReason::LocalNotification(octets),
            (Some(Last::Theirs(octets)), _) => DownReason::RemoteNotification(octets),
            (None, Some(Why::Closed(CloseReason::Ended | CloseReason::Reset, _))) => DownReason::RemoteClosed,
            (None, Some(Why::Closed(..))) => DownReason::LocalEvent(TCP_CONNECTION_FAILS),
            (None, _) => DownReason::LocalEvent(0),
        };
        let peer = up.header(self.monitor.time(now), Flags::default());
        let mut octets = Vec::new();
        Message::PeerDown { peer, reason }.encode(&mut octets);
        self.push_all(None, &octets.into());
    }
}

#[cfg(test)]
mod tests {
    use model::{Asn, RouterId};

    use super::*;
    use crate::config::{PeerConfig, PeerKey, SpeakerConfig};
    use crate::speaker::Input;

    #[test]
    fn what_is_noted_of_connections_is_bounded_though_no_session_ever_comes_up() {
        let mut config = SpeakerConfig::new(RouterId::new(1).unwrap(), Asn::CALICO_DEFAULT);
        let peer = IpAddr::from([10, 0, 0, 9]);
        config.peers.insert(PeerKey::new(peer), PeerConfig::new("peer", Asn::CALICO_DEFAULT));
        let mut speaker = Speaker::new(config, Time::START, 1);
        for _ in 0..1000 {
            let conn = speaker.new_conn();
            let (local, remote) = (SocketAddr::from(([10, 0, 0, 1], 179)), SocketAddr::new(peer, 40000));
            speaker.handle(Time::START, Input::Accepted { conn, local, remote });
            speaker.handle(Time::START, Input::Closed { conn, reason: CloseReason::Reset });
            while speaker.poll(Time::START).is_some() {}
        }
        assert!(speaker.monitor.traces.0.len() < 50, "{}", speaker.monitor.traces.0.len());
    }
}
