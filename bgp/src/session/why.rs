//! Why a session is not Established: for the person who asks.

use std::fmt;
use std::time::Duration;

use model::api::show::SessionState;
use model::{Asn, RouterId};

use crate::bfd::Fall;
use crate::config::RemoteAs;
use crate::role::Mismatch;
use crate::speaker::{CloseReason, ConnectError};
use crate::wire::{FamilySet, Notification};

/// Why a session is not Established.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Why {
    /// Nothing has happened yet.
    NotYet,
    /// Only the peer dials.
    AwaitsPeer,
    /// OPEN or KEEPALIVE of the peer is still to come.
    Negotiates(SessionState),
    Dial(ConnectError, Password),
    /// The ConnectRetryTimer ran out while dialling.
    NoAnswer(Password),
    Closed(CloseReason, SessionState),
    /// The peer said so.
    Received(Notification),
    /// We said so.
    Sent(Notification),
    WrongAs {
        expected: RemoteAs,
        told: Asn,
    },
    DuplicateRouterId(RouterId),
    NoCommonFamily {
        ours: FamilySet,
        theirs: FamilySet,
    },
    /// The two roles do not fit (RFC 9234 §4.2).
    RoleMismatch(Mismatch),
    HoldTimer(SessionState),
    SendHoldTimer(Duration),
    /// The BFD session with the peer went down (RFC 9384).
    BfdDown(Fall),
    TooManyPrefixes {
        limit: u32,
        /// Until it is tried again; never by itself if absent.
        rest: Option<Duration>,
    },
    /// The configuration changed in what makes the session.
    Reconfigured(&'static str),
    /// An operator wants it to begin anew.
    ResetByHand,
    ShutDown,
    /// This node is out of service (RFC 8326).
    Drained,
    /// A peer from a listen range that had to make room for another.
    Crowded,
}

/// Whether the connection is to be signed (RFC 2385): a failure then often means that the passwords differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Password {
    Set,
    None,
}

fn no_answer(password: Password) -> &'static str {
    match password {
        Password::Set => "no answer to SYN: the peer is down, a firewall drops it, or the password is wrong",
        Password::None => "no answer to SYN: the peer is down, a firewall drops it, or the peer wants a password",
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NotYet => f.write_str("connecting for the first time"),
            Why::AwaitsPeer => f.write_str("passive: waiting for the peer to connect"),
            Why::Negotiates(SessionState::OpenSent) => f.write_str("connected, waiting for the peer's OPEN"),
            Why::Negotiates(_) => f.write_str("connected, waiting for the peer's KEEPALIVE"),
            Why::Dial(ConnectError::TimedOut, password) => f.write_str(no_answer(*password)),
            Why::Dial(error, _) => write!(f, "{error}"),
            Why::NoAnswer(password) => f.write_str(no_answer(*password)),
            Why::Closed(reason, SessionState::OpenSent) => {
                write!(f, "{reason} before its OPEN: it may not have this node as a peer")
            }
            Why::Closed(reason, state) => write!(f, "{reason} in {}", state.name()),
            Why::Received(notification) => write!(f, "peer says: {notification}"),
            Why::Sent(notification) => write!(f, "told the peer: {notification}"),
            Why::WrongAs { expected, told } => write!(f, "wrong AS: expected {expected}, peer says {told}"),
            Why::DuplicateRouterId(id) => write!(f, "duplicate router id: the peer has {id} as this node has"),
            Why::NoCommonFamily { ours, theirs } => {
                write!(f, "no common address family: we offer {ours:?}, peer offers {theirs:?}")
            }
            Why::RoleMismatch(Mismatch { ours, theirs }) => {
                write!(f, "role mismatch: we are {ours} to the peer, which ")?;
                match theirs.as_slice() {
                    [] => f.write_str("announces no role"),
                    roles => {
                        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
                        write!(f, "says that it is {}", roles.join(" and "))
                    }
                }
            }
            Why::HoldTimer(state) => write!(f, "hold timer expired in {}: nothing heard from the peer", state.name()),
            Why::SendHoldTimer(time) => write!(f, "the peer has not read for {} s", time.as_secs()),
            Why::BfdDown(fall) => write!(f, "BFD down: {fall}"),
            Why::TooManyPrefixes { limit, rest: Some(rest) } => {
                write!(f, "more than {limit} prefixes received, resting for {} s", rest.as_secs())
            }
            Why::TooManyPrefixes { limit, rest: None } => {
                write!(
                    f,
                    "more than {limit} prefixes received: down until the bound is changed or the session is reset"
                )
            }
            Why::Reconfigured(what) => write!(f, "{what} was changed"),
            Why::ResetByHand => f.write_str("reset by margayctl"),
            Why::ShutDown => f.write_str("shut down"),
            Why::Drained => f.write_str("drained: this node is out of service until it is undrained"),
            Why::Crowded => f.write_str("made room for another peer of its listen range"),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectError::Refused => "connection refused",
            ConnectError::Unreachable => "no route to host",
            ConnectError::TimedOut => "no answer to SYN",
            ConnectError::AddressNotAvailable => "the source address is not on this node",
            ConnectError::Reset => "connection reset while connecting",
            ConnectError::Other(error) => error,
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::Ended => "peer closed the connection",
            CloseReason::Reset => "peer reset the connection",
            CloseReason::TimedOut => "connection timed out",
            CloseReason::Unreachable => "no route to host",
            CloseReason::Other(error) => error,
        })
    }
}
