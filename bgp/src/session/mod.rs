//! One peer's session: the state machine of RFC 4271 §8, without its sockets.
//!
//! Of the optional session attributes (§8.1.1) there are DampPeerOscillations (a rest that grows), PassiveTcpEstablishment and
//! TrackTcpState; DelayOpen is not, because an OPEN that waits only makes collisions last longer.
//!
//! A state is a variant that owns what is known by then. A second connection to the same peer (both sides dialled) is a
//! second, short-lived state beside the first, until §6.8 decides which of the two stays.

mod backoff;
mod collision;
mod fsm;
mod long_lived;
mod open;
mod why;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use model::api::show::SessionState;
use model::{Asn, RouterId, Time};

pub(crate) use self::backoff::Jitter;
pub(crate) use self::fsm::{Delivery, Fsm};
pub(crate) use self::long_lived::PeerLongLived;
pub(crate) use self::open::{judge, kind, local_as, offered, ours};
pub(crate) use self::why::Why;
use crate::config::{PeerConfig, PeerKey, Timers};
use crate::role::Relation;
use crate::speaker::ConnId;
use crate::wire::capability::Role;
use crate::wire::{AsWidth, Context, FamilySet, PeerKind};

/// Who dialled a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// We did.
    Outgoing,
    /// The peer did.
    Incoming,
}

/// An open TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub conn: ConnId,
    pub direction: Direction,
    pub local: SocketAddr,
    /// Since when it is open.
    pub since: Time,
}

/// A state of RFC 4271 §8.2.2.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Session {
    Idle(Idle),
    Connect(Connect),
    Active(Active),
    OpenSent(OpenSent),
    OpenConfirm(OpenConfirm),
    Established(Box<Established>),
}

/// Not trying.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Idle {
    /// Told to stay down.
    Stopped,
    /// Told to stay down until then.
    StoppedUntil(Time),
    /// After an error, until the IdleHoldTimer expires. The peer may come earlier, when it has been put right there, but
    /// not so soon that it could hammer.
    Resting { until: Time, deaf_until: Time },
}

/// Dialling.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Connect {
    pub dial: ConnId,
    /// ConnectRetryTimer.
    pub retry: Time,
}

/// Waiting for the peer to dial.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Active {
    /// ConnectRetryTimer; none where only the peer dials.
    pub retry: Option<Time>,
}

/// Our OPEN is out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenSent {
    pub link: Link,
    /// HoldTimer, large.
    pub hold: Time,
}

/// Both OPENs were good; our KEEPALIVE is out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenConfirm {
    pub link: Link,
    pub agreed: Agreed,
    pub beat: Beat,
}

/// Up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Established {
    pub link: Link,
    pub agreed: Agreed,
    pub beat: Beat,
    pub since: Time,
}

/// HoldTimer and KeepaliveTimer; none if the hold time is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Beat {
    pub hold: Option<Time>,
    pub keepalive: Option<Time>,
}

/// What the two OPENs agreed on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Agreed {
    pub kind: PeerKind,
    /// As its OPEN said.
    pub peer_as: Asn,
    pub peer_id: RouterId,
    pub as_width: AsWidth,
    pub families: FamilySet,
    /// Those of them whose routes may have IPv6 next hops though they are not IPv6 (RFC 8950).
    pub extended_next_hop: FamilySet,
    /// Zero if neither side wants to watch the other.
    pub hold: Duration,
    pub keepalive: Duration,
    /// Longest message in octets, either way (RFC 8654).
    pub max_message: usize,
    pub route_refresh: RouteRefreshSupport,
    /// Families in which the peer tells several paths per prefix (RFC 7911 §4).
    pub add_path_receive: FamilySet,
    /// Families in which it is told several.
    pub add_path_send: FamilySet,
    pub graceful_restart: Option<PeerRestart>,
    /// What we are to it, if it is external and that is configured (RFC 9234).
    pub role: Option<Role>,
    /// Names of what both sides can do, for people.
    pub capabilities: Vec<String>,
}

impl Agreed {
    /// What we are to an external peer, where that is configured (RFC 9234 §5).
    pub(crate) fn relation(&self) -> Option<Relation> {
        self.role.map(|role| Relation { role, peer_as: self.peer_as })
    }

    /// Whether routes outlive a NOTIFICATION that is no hard reset (RFC 8538 §4).
    pub(crate) fn survives_notification(&self) -> bool {
        self.graceful_restart.as_ref().is_some_and(|restart| restart.notification == NotificationMeans::Restart)
    }
}

/// Whether the peer re-sends its routes on request (RFC 2918).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteRefreshSupport {
    /// With marks at the beginning and the end, on both sides (RFC 7313).
    Enhanced,
    Announced,
    Absent,
}

/// What the peer's OPEN said of its restarts (RFC 4724).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerRestart {
    /// How long its routes may be kept without it.
    pub time: Duration,
    /// Families whose routes may be kept.
    pub families: FamilySet,
    /// Of these, where forwarding went on during the restart that is just over (F bit).
    pub forwarding_kept: FamilySet,
    /// Whether it knows long-lived graceful restart, and what it said of it (RFC 9494); without RFC 4724 it counts for nothing.
    pub long_lived: Option<PeerLongLived>,
    /// R bit: it waits for nobody's End-of-RIB, and nobody shall wait for its own.
    pub restarting: Restarting,
    /// N bit: what a NOTIFICATION means to both sides.
    pub notification: NotificationMeans,
}

/// Whether routes outlive a NOTIFICATION, or an expired hold timer (RFC 8538 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotificationMeans {
    /// Both sides set the N bit: they do, unless it is a hard reset.
    Restart,
    /// They do not.
    End,
}

/// How we mean the NOTIFICATION with which we end a session (RFC 8538 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    /// The session shall be back soon, and both sides keep the routes where the N bit was agreed on.
    Graceful,
    /// For good, or with routes that are not to be believed: both sides forget them.
    Hard,
}

impl PeerRestart {
    /// Whether routes of any family are kept when the session ends.
    pub(crate) fn keeps_any(&self) -> bool {
        !self.families.is_empty() || self.long_lived.is_some_and(|long_lived| long_lived.keeps_any())
    }
}

/// The R bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restarting {
    JustRestarted,
    No,
}

/// This speaker, as far as its sessions say or need to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Local {
    pub router_id: RouterId,
    pub local_as: Asn,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    /// Restart time to announce where the peer has none of its own.
    pub restart_time: Duration,
    /// R bit of OPENs from now on.
    pub restarting: Restarting,
    /// F bit of OPENs from now on.
    pub forwarding: Forwarding,
    pub timers: Timers,
}

/// The F bit: whether what peers were told was forwarded all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarding {
    Kept,
    Lost,
}

/// What a state machine may use and change of the world.
#[derive(Debug)]
pub(crate) struct Env<'a> {
    pub now: Time,
    pub local: &'a Local,
    pub key: PeerKey,
    pub peer: &'a PeerConfig,
    /// The number of the connection named last.
    pub conns: &'a mut u64,
    pub jitter: &'a mut Jitter,
    pub actions: &'a mut Vec<Action>,
}

/// What a state machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Dial(ConnId),
    Close(ConnId),
    Send(ConnId, Bytes),
    SetContext(ConnId, Context),
    /// The session is Established.
    Up,
    /// The session that was Established is over.
    Down(Retention),
}

/// What becomes of the routes of a session that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Retention {
    /// They go at once.
    Forget,
    /// They stay for a while (RFC 4724 §4.2).
    Keep(PeerRestart),
}

impl Session {
    /// The state's name.
    pub(crate) fn state(&self) -> SessionState {
        match self {
            Session::Idle(_) => SessionState::Idle,
            Session::Connect(_) => SessionState::Connect,
            Session::Active(_) => SessionState::Active,
            Session::OpenSent(_) => SessionState::OpenSent,
            Session::OpenConfirm(_) => SessionState::OpenConfirm,
            Session::Established(_) => SessionState::Established,
        }
    }

    /// The connection or dial that it owns.
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self {
            Session::Idle(_) | Session::Active(_) => None,
            Session::Connect(connect) => Some(connect.dial),
            _ => self.link().map(|link| link.conn),
        }
    }

    /// The open connection.
    pub(crate) fn link(&self) -> Option<&Link> {
        match self {
            Session::Idle(_) | Session::Active(_) | Session::Connect(_) => None,
            Session::OpenSent(state) => Some(&state.link),
            Session::OpenConfirm(state) => Some(&state.link),
            Session::Established(state) => Some(&state.link),
        }
    }

    /// When a timer of this state expires.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Session::Idle(idle) => idle.until(),
            Session::Connect(connect) => Some(connect.retry),
            Session::Active(active) => active.retry,
            Session::OpenSent(state) => Some(state.hold),
            Session::OpenConfirm(state) => state.beat.deadline(),
            Session::Established(state) => state.beat.deadline(),
        }
    }
}

impl Idle {
    pub(crate) fn until(&self) -> Option<Time> {
        match self {
            Idle::Stopped => None,
            Idle::StoppedUntil(until) | Idle::Resting { until, .. } => Some(*until),
        }
    }
}

impl Beat {
    fn deadline(&self) -> Option<Time> {
        [self.hold, self.keepalive].into_iter().flatten().min()
    }
}
