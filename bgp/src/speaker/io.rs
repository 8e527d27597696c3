//! What goes into a speaker and what comes out of it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use model::Prefix;
use model::api::show::SessionState;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::monitor::{StationInput, StationOutput};
use crate::bfd::Fall;
use crate::config::{PeerKey, Secret, SpeakerConfig};
use crate::rib::Reason;
use crate::wire::{Context, Message, Notification};

/// One TCP connection, from the dial or the accept to its end. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What happened. An input that names a connection which the speaker has closed is ignored.
#[derive(Debug, Clone)]
pub enum Input {
    /// The whole wanted configuration.
    Configure(Box<SpeakerConfig>),
    /// The dial asked for by [`Output::Connect`] has a connection.
    Connected {
        /// Of the dial.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// The dial asked for by [`Output::Connect`] failed. The connection is gone.
    ConnectFailed {
        /// Of the dial.
        conn: ConnId,
        /// Why.
        reason: ConnectError,
    },
    /// Somebody connected. The speaker answers with [`Output::Close`] if it knows no such peer.
    Accepted {
        /// Fresh from [`Speaker::new_conn`](super::Speaker::new_conn).
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// One message, framed and decoded under the connection's latest [`Output::SetContext`].
    Message {
        /// On which connection.
        conn: ConnId,
        /// The message.
        message: Message,
    },
    /// What came cannot be framed or decoded: the session ends with this NOTIFICATION. Nothing more will be read.
    DecodeError {
        /// On which connection.
        conn: ConnId,
        /// What to tell the peer.
        notification: Notification,
    },
    /// The connection is gone, not by our doing.
    Closed {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// So many octets of what was sent have been handed to the kernel.
    Drained {
        /// On which connection.
        conn: ConnId,
        /// Octets since the last report.
        octets: usize,
    },
    /// The BFD session with this address was Up and is no more: the BGP sessions with it that go by BFD end
    /// (RFC 9384), except where the peer's operator took BFD away.
    BfdFell {
        /// With whom.
        address: IpAddr,
        /// Why.
        fall: Fall,
    },
    /// Something happened to a station's connection.
    Station {
        /// Which: a key of [`Monitoring::stations`](crate::bmp::Monitoring::stations).
        station: SocketAddr,
        /// What.
        input: StationInput,
    },
    /// Ask the peer for its routes again (RFC 2918), as `margayctl` may want.
    Refresh {
        /// Whom.
        peer: PeerKey,
    },
    /// The agent ends for good: tell every peer (Cease/2, RFC 9003) and stop. An agent that restarts just goes away, so
    /// that its peers keep its routes.
    Shutdown {
        /// For the peers' operators; cut to 255 octets.
        message: String,
    },
}

/// Why a dial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// ECONNREFUSED: nobody listens, or a firewall says no.
    Refused,
    /// ENETUNREACH, EHOSTUNREACH.
    Unreachable,
    /// No answer to SYN. With a password: the password is probably wrong.
    TimedOut,
    /// EADDRNOTAVAIL: the source address is not this node's.
    AddressNotAvailable,
    /// ECONNRESET while connecting.
    Reset,
    /// Anything else, in the system's words.
    Other(String),
}

/// Why a connection is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it in order, at a message boundary or not.
    Ended,
    /// RST.
    Reset,
    /// ETIMEDOUT: the peer's kernel no longer answers.
    TimedOut,
    /// EHOSTUNREACH and the like.
    Unreachable,
    /// Anything else, in the system's words.
    Other(String),
}

/// What to do or to know.
#[derive(Debug, Clone)]
pub enum Output {
    /// Dial. Answered by [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect(Dial),
    /// Give this connection up: a dial is abandoned; of an open connection, what was sent before is still written as
    /// long as the peer takes it without delay (a NOTIFICATION is often last), then it is closed. Nothing is heard of
    /// it any more.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// Write these octets: whole messages.
    Send {
        /// To which connection.
        conn: ConnId,
        /// Shared between peers that get the same.
        bytes: Bytes,
    },
    /// Decode from now on like this. Comes before the first message that lets the peer send what depends on it.
    SetContext {
        /// On which connection.
        conn: ConnId,
        /// The session's parameters.
        context: Context,
    },
    /// The next hops of a prefix changed. Only the latest state of a prefix is reported; a path whose other attributes
    /// change is not.
    Route(RouteChange),
    /// A session changed its state.
    Peer(PeerChange),
    /// A station is to get something.
    Station {
        /// Which.
        station: SocketAddr,
        /// What.
        output: StationOutput,
    },
    /// The initial routes are complete, or as complete as waiting makes them: what a predecessor left in the kernel and
    /// no [`Output::Route`] has named until now may go. Once in a speaker's life.
    InSync,
}

/// How to dial.
#[derive(Debug, Clone, PartialEq)]
pub struct Dial {
    /// The name of the connection to be.
    pub conn: ConnId,
    /// Whom, and on which port.
    pub peer: PeerKey,
    /// Source address, if it is not the kernel's choice.
    pub local: Option<IpAddr>,
    /// TCP-MD5 (RFC 2385).
    pub password: Option<Secret>,
    /// GTSM (RFC 5082): send with TTL 255, refuse what has come further than this many hops.
    pub ttl_security: Option<u8>,
}

/// What is now believed of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteChange {
    /// Of which prefix.
    pub prefix: Prefix,
    /// Where to, or `None` if no peer's path is the best one: nobody has any, or this node originates the prefix.
    pub best: Option<Best>,
}

/// The paths in use for a prefix, all learned from peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Best {
    /// The next hops to share the traffic: the best path's first, the others by address. Never empty, no address twice.
    pub next_hops: NextHops,
    /// Why the best path won.
    pub reason: Reason,
}

/// Some next hops, kept once for all routes that have the same. Reads as a slice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHops(Arc<[NextHop]>);

impl Deref for NextHops {
    type Target = [NextHop];
    fn deref(&self) -> &[NextHop] {
        &self.0
    }
}
impl From<Vec<NextHop>> for NextHops {
    fn from(hops: Vec<NextHop>) -> NextHops {
        NextHops(hops.into())
    }
}
impl<'a> IntoIterator for &'a NextHops {
    type Item = &'a NextHop;
    type IntoIter = std::slice::Iter<'a, NextHop>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
impl Serialize for NextHops {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(s)
    }
}
impl<'de> Deserialize<'de> for NextHops {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<NextHops, D::Error> {
        Vec::deserialize(d).map(NextHops::from)
    }
}

/// One next hop of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextHop {
    /// As announced: NEXT_HOP, or the global address of MP_REACH_NLRI.
    pub address: IpAddr,
    /// The link-local address that came with it (RFC 2545 §3).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub link_local: Option<Ipv6Addr>,
    /// Who announced it.
    pub peer: PeerKey,
}

impl NextHop {
    /// The link-local address, whether it came alone or not.
    pub fn on_link(&self) -> Option<Ipv6Addr> {
        match self.address {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => self.link_local,
        }
    }
    /// What makes it another next hop: a link-local address on another link is one.
    pub(crate) fn place(&self) -> (IpAddr, Option<Ipv6Addr>, Option<NonZeroU32>) {
        (self.address, self.link_local, self.on_link().and(self.peer.scope))
    }
}

/// A session changed its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerChange {
    /// Which session.
    pub peer: PeerKey,
    /// Its state now; `None` if the peer is no longer configured.
    pub state: Option<SessionState>,
    /// Why it is not Established, for a person; if it is, what is wrong with it all the same, or nothing.
    pub reason: String,
}
