//! Bidirectional Forwarding Detection without a network: RFC 5880, single hop (RFC 5881) and multihop (RFC 5883).
//!
//! `packet` is the codec, `session` the state machine of one session, [`Sessions`] all of them: whose a packet is, when to
//! send, and who has gone silent. Its owner calls [`Sessions::receive`] with what came, [`Sessions::tick`] when
//! [`Sessions::deadline`] has come, and after either [`Sessions::poll`] until it returns `None`.

mod packet;
mod session;
mod sessions;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use self::packet::{Diagnostic, LENGTH, Malformed, Packet};
pub use self::sessions::{Arrival, Discarded, Output, Sessions};

/// The UDP port of single-hop sessions (RFC 5881 §4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// The UDP port of multihop sessions (RFC 5883 §5).
pub const MULTIHOP_PORT: u16 = 4784;
/// The lowest source port (RFC 5881 §4).
pub const FIRST_SOURCE_PORT: u16 = 49152;

/// What a session is told to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// bfd.DesiredMinTxInterval while Up: how often to send at most.
    pub min_tx: Duration,
    /// bfd.RequiredMinRxInterval: how often the peer may send.
    pub min_rx: Duration,
    /// bfd.DetectMult: so many packets lost are a failure. At least 1.
    pub multiplier: u8,
    /// How far the peer is.
    pub distance: Distance,
}

impl Default for Config {
    fn default() -> Config {
        let interval = Duration::from_millis(300);
        Config { min_tx: interval, min_rx: interval, multiplier: 3, distance: Distance::SingleHop }
    }
}

/// How far the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distance {
    /// On a common link: nothing that was forwarded is believed (RFC 5881 §5).
    SingleHop,
    /// Anywhere (RFC 5883).
    Multihop,
}

impl Distance {
    /// Where its packets go to.
    pub const fn port(self) -> u16 {
        match self {
            Distance::SingleHop => SINGLE_HOP_PORT,
            Distance::Multihop => MULTIHOP_PORT,
        }
    }
}

/// Why a session is Up no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// Nothing was heard for this long, the detection time.
    Silence(Duration),
    /// The peer says that it is Down, with its diagnostic.
    Signaled(Diagnostic),
    /// The peer says AdminDown: its operator took the session away, which says nothing of the path (RFC 5882 §3.2).
    AdminDown,
}

impl fmt::Display for Fall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fall::Silence(time) => {
                write!(f, "{}: nothing heard for {} ms", Diagnostic::DETECTION_TIME_EXPIRED, time.as_millis())
            }
            Fall::Signaled(Diagnostic::NONE) => Diagnostic::NEIGHBOR_DOWN.fmt(f),
            Fall::Signaled(theirs) => write!(f, "{}: {theirs}", Diagnostic::NEIGHBOR_DOWN),
            Fall::AdminDown => f.write_str("the peer took its BFD session away"),
        }
    }
}
