//! BMP messages and how they are written (RFC 7854 §4).

use std::net::IpAddr;

use bytes::Bytes;

use super::peer::{PeerHeader, put_address};

/// The version in the common header.
pub(super) const VERSION: u8 = 3;

/// Message types of the common header (RFC 7854 §4.1).
pub(super) mod kind {
    pub const ROUTE_MONITORING: u8 = 0;
    pub const STATISTICS: u8 = 1;
    pub const PEER_DOWN: u8 = 2;
    pub const PEER_UP: u8 = 3;
    pub const INITIATION: u8 = 4;
    pub const TERMINATION: u8 = 5;
}

/// Types of information in Initiation and Peer Up messages (RFC 7854 §4.4, RFC 9736).
pub mod information {
    /// Free text.
    pub const STRING: u16 = 0;
    /// What the monitored router is.
    pub const SYS_DESCR: u16 = 1;
    /// Its name.
    pub const SYS_NAME: u16 = 2;
    /// The name of the table, in a Peer Up of the Loc-RIB (RFC 9069 §4.4).
    pub const TABLE_NAME: u16 = 3;
}

/// Types of information in a Termination message, and the reasons (RFC 7854 §4.5).
pub mod termination {
    /// Free text.
    pub const STRING: u16 = 0;
    /// Two octets: one of the reasons below.
    pub const REASON: u16 = 1;
    /// The session with the station was closed by configuration.
    pub const ADMINISTRATIVELY_CLOSED: u16 = 0;
    /// No reason is given.
    pub const UNSPECIFIED: u16 = 1;
    /// The station does not take what it is sent as fast as it comes.
    pub const OUT_OF_RESOURCES: u16 = 2;
}

/// A message to a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What a table of the peer has (RFC 7854 §4.6).
    RouteMonitoring {
        /// Whose.
        peer: PeerHeader,
        /// One UPDATE, header included.
        update: Bytes,
    },
    /// Counters (RFC 7854 §4.8).
    Statistics {
        /// Whose.
        peer: PeerHeader,
        /// In order.
        statistics: Vec<Statistic>,
    },
    /// A session is over, and with it all that was told of its tables (RFC 7854 §4.9).
    PeerDown {
        /// Whose.
        peer: PeerHeader,
        /// Why.
        reason: DownReason,
    },
    /// A session is Established (RFC 7854 §4.10).
    PeerUp(Box<PeerUp>),
    /// The first message (RFC 7854 §4.3).
    Initiation(Vec<Information>),
    /// The last message (RFC 7854 §4.5).
    Termination(Vec<Information>),
}

/// A session that is Established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUp {
    /// Whose.
    pub peer: PeerHeader,
    /// Our address; unspecified for the Loc-RIB.
    pub local_address: IpAddr,
    /// Our port; zero for the Loc-RIB.
    pub local_port: u16,
    /// The peer's port; zero for the Loc-RIB.
    pub remote_port: u16,
    /// Our OPEN, header included.
    pub sent: Bytes,
    /// The peer's OPEN, header included.
    pub received: Bytes,
    /// Anything more.
    pub information: Vec<Information>,
}

/// Why a session is over (RFC 7854 §4.9, RFC 9069 §4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownReason {
    /// 1: we sent this NOTIFICATION, header included.
    LocalNotification(Bytes),
    /// 2: we closed it without one, at this event of RFC 4271 §8.1; 0 if none fits.
    LocalEvent(u16),
    /// 3: the peer sent this NOTIFICATION, header included.
    RemoteNotification(Bytes),
    /// 4: the connection was closed without one.
    RemoteClosed,
    /// 5: the station is no longer told of this peer.
    Deconfigured,
    /// 6: the table is no more.
    LocalClosed(Vec<Information>),
}

/// A piece of information: type and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Information {
    /// Means what the kind of message says.
    pub kind: u16,
    /// Text, mostly.
    pub value: Bytes,
}

impl Information {
    /// A text, cut to what a length of two octets can say.
    pub fn text(kind: u16, text: &str) -> Information {
        let end = text.floor_char_boundary(usize::from(u16::MAX));
        Information { kind, value: Bytes::copy_from_slice(text.get(..end).unwrap_or_default().as_bytes()) }
    }
}

/// A counter or gauge (RFC 7854 §4.8, RFC 8671 §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statistic {
    /// 7: routes in Adj-RIBs-In.
    AdjIn(u64),
    /// 8: routes in the Loc-RIB.
    Loc(u64),
    /// 9: routes in the Adj-RIB-In of a family.
    AdjInOf(u16, u8, u64),
    /// 11: prefixes or updates that RFC 7606 treats as withdrawn.
    TreatedAsWithdrawn(u32),
    /// 15: routes in the Adj-RIB-Out after the policy.
    AdjOutPost(u64),
    /// Any other.
    Other(u16, Bytes),
}

impl Message {
    /// Appends the whole message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::RouteMonitoring { peer, update } => put_route_monitoring(peer, update, out),
            Message::Statistics { peer, statistics } => {
                let start = begin(kind::STATISTICS, out);
                peer.put(out);
                out.extend_from_slice(&u32::try_from(statistics.len()).unwrap_or(u32::MAX).to_be_bytes());
                statistics.iter().for_each(|statistic| statistic.put(out));
                end(start, out);
            }
            Message::PeerDown { peer, reason } => {
                let start = begin(kind::PEER_DOWN, out);
                peer.put(out);
                reason.put(out);
                end(start, out);
            }
            Message::PeerUp(up) => {
                let start = begin(kind::PEER_UP, out);
                up.peer.put(out);
                put_address(up.local_address, out);
                out.extend_from_slice(&up.local_port.to_be_bytes());
                out.extend_from_slice(&up.remote_port.to_be_bytes());
                out.extend_from_slice(&up.sent);
                out.extend_from_slice(&up.received);
                put_information(&up.information, out);
                end(start, out);
            }
            Message::Initiation(information) => {
                let start = begin(kind::INITIATION, out);
                put_information(information, out);
                end(start, out);
            }
            Message::Termination(information) => {
                let start = begin(kind::TERMINATION, out);
                put_information(information, out);
                end(start, out);
            }
        }
    }
}

/// Appends a Route Monitoring message about one UPDATE.
pub(crate) fn put_route_monitoring(peer: &PeerHeader, update: &[u8], out: &mut Vec<u8>) {
    let start = begin(kind::ROUTE_MONITORING, out);
    peer.put(out);
    out.extend_from_slice(update);
    end(start, out);
}

impl DownReason {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            DownReason::LocalNotification(notification) => {
                out.push(1);
                out.extend_from_slice(notification);
            }
            DownReason::LocalEvent(event) => {
                out.push(2);
                out.extend_from_slice(&event.to_be_bytes());
            }
            DownReason::RemoteNotification(notification) => {
                out.push(3);
                out.extend_from_slice(notification);
            }
            DownReason::RemoteClosed => out.push(4),
            DownReason::Deconfigured => out.push(5),
            DownReason::LocalClosed(information) => {
                out.push(6);
                put_information(information, out);
            }
        }
    }
}

impl Statistic {
    fn put(&self, out: &mut Vec<u8>) {
        let (kind, value): (u16, Vec<u8>) = match self {
            Statistic::AdjIn(n) => (7, n.to_be_bytes().into()),
            Statistic::Loc(n) => (8, n.to_be_bytes().into()),
            Statistic::AdjInOf(afi, safi, n) => (9, [&afi.to_be_bytes()[..], &[*safi], &n.to_be_bytes()].concat()),
            Statistic::TreatedAsWithdrawn(n) => (11, n.to_be_bytes().into()),
            Statistic::AdjOutPost(n) => (15, n.to_be_bytes().into()),
            Statistic::Other(kind, value) => (*kind, value.to_vec()),
        };
        put_tlv(kind, &value, out);
    }
}

fn put_information(information: &[Information], out: &mut Vec<u8>) {
    information.iter().for_each(|one| put_tlv(one.kind, &one.value, out));
}

fn put_tlv(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.get(..usize::from(length)).unwrap_or(value));
}

/// The common header, with room for the length.
fn begin(kind: u8, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[VERSION, 0, 0, 0, 0, kind]);
    start
}

fn end(start: usize, out: &mut [u8]) {
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start + 1..start + 5) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
