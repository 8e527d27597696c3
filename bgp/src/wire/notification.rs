//! NOTIFICATION: why a session ends, in numbers for the peer and in words for the operator (RFC 4271 §4.5, §6).

use std::fmt;

use bytes::Bytes;

use super::framer::{MAX_MESSAGE, MessageType, begin_message, end_message};
use super::reader::Reader;

/// An error code and subcode.
pub type Code = (u8, u8);

/// Error codes: the first octet of a NOTIFICATION.
pub mod code {
    /// Message Header Error.
    pub const HEADER: u8 = 1;
    /// OPEN Message Error.
    pub const OPEN: u8 = 2;
    /// UPDATE Message Error.
    pub const UPDATE: u8 = 3;
    /// Hold Timer Expired.
    pub const HOLD_TIMER: u8 = 4;
    /// Finite State Machine Error.
    pub const FSM: u8 = 5;
    /// Cease.
    pub const CEASE: u8 = 6;
    /// ROUTE-REFRESH Message Error (RFC 7313).
    pub const ROUTE_REFRESH: u8 = 7;
    /// Send Hold Timer Expired (RFC 9687).
    pub const SEND_HOLD_TIMER: u8 = 8;
}

/// Message Header Error subcodes (RFC 4271 §6.1).
pub mod header {
    use super::Code;
    /// The marker is not all ones.
    pub const NOT_SYNCHRONIZED: Code = (1, 1);
    /// Length out of range for the type; data: the length.
    pub const BAD_LENGTH: Code = (1, 2);
    /// Unknown type; data: the type.
    pub const BAD_TYPE: Code = (1, 3);
}

/// OPEN Message Error subcodes (RFC 4271 §6.2, RFC 5492, RFC 9234).
pub mod open {
    use super::Code;
    /// Something that no other subcode names.
    pub const UNSPECIFIC: Code = (2, 0);
    /// Data: the highest version supported, two octets.
    pub const UNSUPPORTED_VERSION: Code = (2, 1);
    /// Not the AS that was configured, or 0 (RFC 7607).
    pub const BAD_PEER_AS: Code = (2, 2);
    /// 0, or our own within one AS (RFC 6286).
    pub const BAD_IDENTIFIER: Code = (2, 3);
    /// An optional parameter that is not understood.
    pub const UNSUPPORTED_PARAMETER: Code = (2, 4);
    /// A hold time of 1 or 2 seconds, or one that is not acceptable.
    pub const BAD_HOLD_TIME: Code = (2, 6);
    /// A capability that we require is missing; data: that capability.
    pub const UNSUPPORTED_CAPABILITY: Code = (2, 7);
    /// The two roles do not fit (RFC 9234).
    pub const ROLE_MISMATCH: Code = (2, 11);
}

/// UPDATE Message Error subcodes (RFC 4271 §6.3).
pub mod update {
    use super::Code;
    /// Lengths do not fit the message, or MP_REACH_NLRI or MP_UNREACH_NLRI came twice (RFC 7606 §3g).
    pub const MALFORMED_ATTRIBUTE_LIST: Code = (3, 1);
    /// Data: the attribute.
    pub const ATTRIBUTE_FLAGS: Code = (3, 4);
    /// Data: the attribute.
    pub const ATTRIBUTE_LENGTH: Code = (3, 5);
    /// MP_REACH_NLRI or MP_UNREACH_NLRI cannot be parsed; data: the attribute.
    pub const OPTIONAL_ATTRIBUTE: Code = (3, 9);
    /// A prefix cannot be parsed.
    pub const INVALID_NETWORK: Code = (3, 10);
}

/// Finite State Machine Error subcodes (RFC 6608): a message that the state does not expect.
pub mod fsm {
    use super::Code;
    /// In a state that no other subcode names.
    pub const UNSPECIFIC: Code = (5, 0);
    /// In OpenSent.
    pub const IN_OPEN_SENT: Code = (5, 1);
    /// In OpenConfirm.
    pub const IN_OPEN_CONFIRM: Code = (5, 2);
    /// In Established.
    pub const IN_ESTABLISHED: Code = (5, 3);
}

/// Cease subcodes (RFC 4486, RFC 8538, RFC 9384).
pub mod cease {
    use super::Code;
    /// More prefixes than allowed; data: AFI, SAFI, bound.
    pub const MAXIMUM_PREFIXES: Code = (6, 1);
    /// By an operator's hand; data: a message (RFC 9003).
    pub const ADMINISTRATIVE_SHUTDOWN: Code = (6, 2);
    /// The peer was removed from the configuration.
    pub const PEER_DECONFIGURED: Code = (6, 3);
    /// By an operator's hand; data: a message (RFC 9003).
    pub const ADMINISTRATIVE_RESET: Code = (6, 4);
    /// Not now.
    pub const CONNECTION_REJECTED: Code = (6, 5);
    /// The configuration changed in a way that needs a new session.
    pub const OTHER_CONFIGURATION_CHANGE: Code = (6, 6);
    /// This connection lost against another one (RFC 4271 §6.8).
    pub const COLLISION: Code = (6, 7);
    /// Memory or other means ran out.
    pub const OUT_OF_RESOURCES: Code = (6, 8);
    /// Do not keep my routes (RFC 8538); data: the code, subcode and data of the reason.
    pub const HARD_RESET: Code = (6, 9);
    /// BFD says that the path is down (RFC 9384).
    pub const BFD_DOWN: Code = (6, 10);
}

/// ROUTE-REFRESH Message Error subcodes (RFC 7313 §5).
pub mod route_refresh {
    use super::Code;
    /// Data: the whole message.
    pub const BAD_LENGTH: Code = (7, 1);
}

/// Hold Timer Expired (RFC 4271 §6.5).
pub const HOLD_TIMER_EXPIRED: Code = (code::HOLD_TIMER, 0);
/// Send Hold Timer Expired (RFC 9687).
pub const SEND_HOLD_TIMER_EXPIRED: Code = (code::SEND_HOLD_TIMER, 0);

/// Longest shutdown message that is sent, in octets (RFC 9003 §2).
const SHUTDOWN_MESSAGE: usize = 255;

/// The last message of a session: code, subcode, data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Notification {
    /// See [`code`].
    pub code: u8,
    /// Depends on the code.
    pub subcode: u8,
    /// Depends on code and subcode; often the part of the message that was wrong.
    pub data: Bytes,
}

impl Notification {
    /// Without data.
    pub const fn new((code, subcode): Code) -> Notification {
        Notification { code, subcode, data: Bytes::new() }
    }
    /// With data, cut to what fits into a message.
    pub fn with_data((code, subcode): Code, data: &[u8]) -> Notification {
        let data = data.get(..MAX_MESSAGE - 21).unwrap_or(data);
        Notification { code, subcode, data: Bytes::copy_from_slice(data) }
    }
    /// A Cease with a message for the peer's operator (RFC 9003), cut to 255 octets between characters.
    pub fn shutdown(reason: Code, message: &str) -> Notification {
        let end = message.floor_char_boundary(SHUTDOWN_MESSAGE);
        let text = message.get(..end).unwrap_or_default();
        let mut data = vec![u8::try_from(text.len()).unwrap_or(0)];
        data.extend_from_slice(text.as_bytes());
        Notification::with_data(reason, &data)
    }
    /// Wraps it so that the peer does not keep our routes (RFC 8538 §3).
    pub fn hard_reset(self) -> Notification {
        let mut data = vec![self.code, self.subcode];
        data.extend_from_slice(&self.data);
        Notification::with_data(cease::HARD_RESET, &data)
    }
    /// Whether the sender wants its routes forgotten although graceful restart was agreed (RFC 8538 §3).
    pub fn is_hard_reset(&self) -> bool {
        self.is(cease::HARD_RESET)
    }
    /// The reason inside a hard reset.
    pub fn hard_reset_reason(&self) -> Option<Notification> {
        if !self.is_hard_reset() {
            return None;
        }
        let mut inner = Reader::new(&self.data);
        let (code, subcode) = (inner.u8().ok()?, inner.u8().ok()?);
        Some(Notification { code, subcode, data: self.data.slice(2..) })
    }
    /// Whether code and subcode are these.
    pub fn is(&self, (code, subcode): Code) -> bool {
        self.code == code && self.subcode == subcode
    }
    /// The operator's message of a shutdown or reset (RFC 9003), safe to print: control characters are replaced.
    pub fn shutdown_message(&self) -> Option<String> {
        if !self.is(cease::ADMINISTRATIVE_SHUTDOWN) && !self.is(cease::ADMINISTRATIVE_RESET) {
            return None;
        }
        let mut reader = Reader::new(&self.data);
        let length = usize::from(reader.u8().ok()?);
        let text = String::from_utf8_lossy(reader.take(length).ok()?).into_owned();
        (!text.is_empty()).then(|| printable(&text))
    }
    /// The body of a NOTIFICATION message. The framer has seen to the two octets; a shorter body reads as code 0.
    pub fn decode(body: &Bytes) -> Notification {
        let mut reader = Reader::new(body);
        let (Ok(code), Ok(subcode)) = (reader.u8(), reader.u8()) else {
            return Notification::new((0, 0));
        };
        Notification { code, subcode, data: body.slice(2..) }
    }
    /// Appends the whole message to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin_message(MessageType::Notification, out);
        out.extend_from_slice(&[self.code, self.subcode]);
        out.extend_from_slice(self.data.get(..MAX_MESSAGE - 21).unwrap_or(&self.data));
        end_message(start, out);
    }
    /// Code and subcode in words, without the data.
    pub fn meaning(&self) -> &'static str {
        match (self.code, self.subcode) {
            (1, 1) => "header: connection not synchronized",
            (1, 2) => "header: bad message length",
            (1, 3) => "header: bad message type",
            (1, _) => "header error",
            (2, 1) => "OPEN: unsupported version number",
            (2, 2) => "OPEN: bad peer AS",
            (2, 3) => "OPEN: bad BGP identifier",
            (2, 4) => "OPEN: unsupported optional parameter",
            (2, 5) => "OPEN: authentication failure",
            (2, 6) => "OPEN: unacceptable hold time",
            (2, 7) => "OPEN: unsupported capability",
            (2, 11) => "OPEN: role mismatch",
            (2, _) => "OPEN: malformed",
            (3, 1) => "UPDATE: malformed attribute list",
            (3, 2) => "UPDATE: unrecognized well-known attribute",
            (3, 3) => "UPDATE: missing well-known attribute",
            (3, 4) => "UPDATE: attribute flags error",
            (3, 5) => "UPDATE: attribute length error",
            (3, 6) => "UPDATE: invalid ORIGIN",
            (3, 7) => "UPDATE: AS routing loop",
            (3, 8) => "UPDATE: invalid NEXT_HOP",
            (3, 9) => "UPDATE: optional attribute error",
            (3, 10) => "UPDATE: invalid network field",
            (3, 11) => "UPDATE: malformed AS_PATH",
            (3, _) => "UPDATE error",
            (4, _) => "hold timer expired",
            (5, 1) => "unexpected message in OpenSent",
            (5, 2) => "unexpected message in OpenConfirm",
            (5, 3) => "unexpected message in Established",
            (5, _) => "finite state machine error",
            (6, 1) => "cease: maximum number of prefixes reached",
            (6, 2) => "cease: administrative shutdown",
            (6, 3) => "cease: peer de-configured",
            (6, 4) => "cease: administrative reset",
            (6, 5) => "cease: connection rejected",
            (6, 6) => "cease: other configuration change",
            (6, 7) => "cease: connection collision resolution",
            (6, 8) => "cease: out of resources",
            (6, 9) => "cease: hard reset",
            (6, 10) => "cease: BFD down",
            (6, _) => "cease",
            (7, 1) => "ROUTE-REFRESH: invalid message length",
            (7, _) => "ROUTE-REFRESH error",
            (8, _) => "send hold timer expired",
            _ => "unknown error",
        }
    }
}

/// The text with every control character replaced by `?`: what a peer sends must not move a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) { c } else { '?' }).collect()
}

/// Neither a control character nor one that turns the direction of writing.
fn is_harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.meaning(), self.code, self.subcode)?;
        if let Some(text) = self.shutdown_message() {
            return write!(f, ": {text:?}");
        }
        if let Some(reason) = self.hard_reset_reason() {
            return match reason.is_hard_reset() {
                true => Ok(()), // one inside another says nothing more, and could go on
                false => write!(f, " because {reason}"),
            };
        }
        if !self.data.is_empty() {
            f.write_str(", data ")?;
            for octet in self.data.iter().take(32) {
                write!(f, "{octet:02x}")?;
            }
            if self.data.len() > 32 {
                write!(f, "… ({} octets)", self.data.len())?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notification({self})")
    }
}

impl std::error::Error for Notification {}
