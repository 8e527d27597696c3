//! What can be wrong with an attribute, and how bad that is (RFC 7606 §2).

use std::fmt;

use super::super::notification::{Code, update};
use super::table;

/// What becomes of a message with a faulty attribute. Ordered: of several the worst counts (RFC 7606 §3h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The attribute goes, the route stays.
    Discard,
    /// The route is treated as withdrawn.
    Withdraw,
    /// The session ends.
    Reset,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Discard => "attribute discarded",
            Verdict::Withdraw => "treated as withdrawn",
            Verdict::Reset => "session reset",
        })
    }
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The Optional or Transitive bit is not as the attribute has it.
    #[error("flags are {0:#04x}, which conflict with its definition")]
    Flags(u8),
    /// The value has a length it cannot have.
    #[error("length {0} is not possible")]
    Length(usize),
    /// The value is not one of those defined.
    #[error("value {0} is not defined")]
    Value(u8),
    /// The attribute does not end within the message's attributes, or its header does not.
    #[error("runs past the end of the attributes")]
    Overrun,
    /// It came before; the first one counts.
    #[error("appears more than once")]
    Repeated,
    /// A mandatory attribute is not there.
    #[error("is missing")]
    Missing,
    /// Not optional, and not known to us.
    #[error("is well-known by its flags, but not known")]
    UnknownWellKnown,
    /// An internal attribute from an external peer.
    #[error("must not come from an external peer")]
    FromExternal,
    /// For peers with 2-octet AS numbers only.
    #[error("must not come from a peer with 4-octet AS numbers")]
    FromFourOctet,
    /// A path segment type other than AS_SET and AS_SEQUENCE.
    #[error("has a segment of type {0}")]
    SegmentType(u8),
    /// A path segment without an AS.
    #[error("has an empty segment")]
    EmptySegment,
    /// A path segment that is cut off, or octets behind the last one.
    #[error("has a segment that does not fit its length")]
    SegmentLength,
    /// AS 0 (RFC 7607).
    #[error("holds AS 0")]
    AsZero,
    /// The leftmost AS of an external peer's path is not the peer.
    #[error("does not begin with the peer's AS")]
    FirstAs,
    /// A next hop that no packet can be sent to, or that is ourselves.
    #[error("is not the address of another host")]
    NotAHost,
    /// The next hop's length is not one that the family has, or reaches past the attribute.
    #[error("has a next hop of {0} octets")]
    NextHopLength(u8),
    /// The prefixes inside cannot be parsed.
    #[error("holds a prefix that cannot be parsed: {0}")]
    Nlri(super::super::nlri::NlriError),
}

/// A fault of one attribute of one message, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttrError {
    /// Its type code.
    pub attribute: u8,
    /// What was done.
    pub verdict: Verdict,
    /// What was wrong.
    pub reason: Fault,
}

impl AttrError {
    /// Code and subcode for a session that ends by it (RFC 4271 §6.3).
    pub(crate) fn notification_code(&self) -> Code {
        match self.reason {
            Fault::Flags(_) => update::ATTRIBUTE_FLAGS,
            Fault::Overrun | Fault::Repeated => update::MALFORMED_ATTRIBUTE_LIST,
            Fault::UnknownWellKnown => (3, 2),
            Fault::Missing => (3, 3),
            Fault::Nlri(_) => update::INVALID_NETWORK,
            _ => match self.attribute {
                super::code::ORIGIN if matches!(self.reason, Fault::Value(_)) => (3, 6),
                super::code::AS_PATH => (3, 11),
                super::code::NEXT_HOP if self.reason == Fault::NotAHost => (3, 8),
                super::code::MP_REACH_NLRI | super::code::MP_UNREACH_NLRI => update::OPTIONAL_ATTRIBUTE,
                _ if matches!(self.reason, Fault::Length(_)) => update::ATTRIBUTE_LENGTH,
                _ => update::OPTIONAL_ATTRIBUTE,
            },
        }
    }
}

impl fmt::Display for AttrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match table::row(self.attribute) {
            Some(row) => f.write_str(row.name)?,
            None => write!(f, "attribute {}", self.attribute)?,
        }
        write!(f, " {}: {}", self.reason, self.verdict)
    }
}
