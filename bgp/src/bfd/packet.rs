//! The BFD control packet (RFC 5880 §4.1).

use std::fmt;

use model::api::show::BfdState;

use crate::wire::reader::{Reader, Short};

/// Octets of a packet without authentication: all that is sent.
pub const LENGTH: usize = 24;
/// The shortest packet with an authentication section.
const LENGTH_WITH_AUTHENTICATION: usize = 26;
const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// A control packet. Intervals are in microseconds, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's state changed last.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: BfdState,
    /// P: an answer with [`Packet::fin`] is wanted at once.
    pub poll: bool,
    /// F: the answer to P.
    pub fin: bool,
    /// C: the sender's BFD lives on when its control plane does not.
    pub control_plane_independent: bool,
    /// D: the sender wants to hear nothing periodically while both are Up.
    pub demand: bool,
    /// Detect Mult, at least 1.
    pub multiplier: u8,
    /// My Discriminator, never 0.
    pub my_discriminator: u32,
    /// Your Discriminator; 0 while the sender does not know it.
    pub your_discriminator: u32,
    /// Desired Min TX Interval.
    pub min_tx: u32,
    /// Required Min RX Interval; 0 for "send me nothing periodically".
    pub min_rx: u32,
    /// Required Min Echo RX Interval; 0 for "no echo".
    pub min_echo_rx: u32,
}

/// Diag (RFC 5880 §4.1): five bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing has happened.
    pub const NONE: Diagnostic = Diagnostic(0);
    /// Nothing was heard for the detection time.
    pub const DETECTION_TIME_EXPIRED: Diagnostic = Diagnostic(1);
    /// The other side says that it is Down, or AdminDown.
    pub const NEIGHBOR_DOWN: Diagnostic = Diagnostic(3);
    /// The session is taken away by its operator.
    pub const ADMINISTRATIVELY_DOWN: Diagnostic = Diagnostic(7);

    const fn from_bits(octet: u8) -> Diagnostic {
        Diagnostic(octet & 0x1f)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            other => return write!(f, "diagnostic {other}"),
        })
    }
}

/// Why octets are no packet (RFC 5880 §6.8.6, as far as it can be told without a session).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer octets than a packet has.
    #[error("shorter than a control packet")]
    Short,
    /// Not version 1.
    #[error("version {0}, not 1")]
    Version(u8),
    /// A Length that no packet has.
    #[error("Length {0} is less than that of a control packet")]
    Length(u8),
    /// A Length beyond the end of the datagram.
    #[error("Length {0} is more than there is")]
    Truncated(u8),
    /// Detect Mult 0.
    #[error("Detect Mult is 0")]
    Multiplier,
    /// The M bit.
    #[error("the Multipoint bit is set")]
    Multipoint,
    /// My Discriminator 0.
    #[error("My Discriminator is 0")]
    MyDiscriminator,
    /// The A bit: no session here uses authentication.
    #[error("authentication is not in use here")]
    Authentication,
    /// Your Discriminator 0 from a sender that is beyond Down.
    #[error("Your Discriminator is 0 in state {}", .0.name())]
    YourDiscriminator(BfdState),
}

impl From<Short> for Malformed {
    fn from(_: Short) -> Malformed {
        Malformed::Short
    }
}

impl Packet {
    /// Reads the payload of a datagram, in the order of checks of RFC 5880 §6.8.6. What comes after Length is ignored.
    ///
    /// # Errors
    /// What makes it no packet; it is to be dropped in silence.
    pub fn decode(datagram: &[u8]) -> Result<Packet, Malformed> {
        let mut reader = Reader::new(datagram);
        let [first, flags, multiplier, length] = reader.array()?;
        if first >> 5 != VERSION {
            return Err(Malformed::Version(first >> 5));
        }
        let authenticated = flags & AUTHENTICATION != 0;
        let least = if authenticated { LENGTH_WITH_AUTHENTICATION } else { LENGTH };
        if usize::from(length) < least {
            return Err(Malformed::Length(length));
        }
        if usize::from(length) > datagram.len() {
            return Err(Malformed::Truncated(length));
        }
        if multiplier == 0 {
            return Err(Malformed::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Malformed::Multipoint);
        }
        let packet = Packet {
            diagnostic: Diagnostic::from_bits(first),
            state: state(flags >> 6),
            poll: flags & POLL != 0,
            fin: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            my_discriminator: reader.u32()?,
            your_discriminator: reader.u32()?,
            min_tx: reader.u32()?,
            min_rx: reader.u32()?,
            min_echo_rx: reader.u32()?,
        };
        if packet.my_discriminator == 0 {
            return Err(Malformed::MyDiscriminator);
        }
        if packet.your_discriminator == 0 && !matches!(packet.state, BfdState::Down | BfdState::AdminDown) {
            return Err(Malformed::YourDiscriminator(packet.state));
        }
        if authenticated {
            return Err(Malformed::Authentication);
        }
        Ok(packet)
    }

    /// The payload of a datagram.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = state_bits(self.state) << 6
            | flag(self.poll, POLL)
            | flag(self.fin, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        let head = u32::from_be_bytes([VERSION << 5 | self.diagnostic.0, flags, self.multiplier, 24]);
        let words = [head, self.my_discriminator, self.your_discriminator, self.min_tx, self.min_rx, self.min_echo_rx];
        let mut out = [0; LENGTH];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

const fn state(bits: u8) -> BfdState {
    match bits & 3 {
        0 => BfdState::AdminDown,
        1 => BfdState::Down,
        2 => BfdState::Init,
        _ => BfdState::Up,
    }
}

const fn state_bits(state: BfdState) -> u8 {
    match state {
        BfdState::AdminDown => 0,
        BfdState::Down => 1,
        BfdState::Init => 2,
        BfdState::Up => 3,
    }
}
