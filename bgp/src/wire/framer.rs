//! Cuts the octets of a connection into messages and checks their headers (RFC 4271 §4.1, §6.1).

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::context::Context;
use super::notification::{Notification, header};
use super::reader::Reader;

/// Octets of marker, length and type.
pub const HEADER: usize = 19;
/// Longest message in octets, header included (RFC 4271 §4.1).
pub const MAX_MESSAGE: usize = 4096;
/// Longest message in octets once both sides announced extended messages (RFC 8654); never for OPEN and KEEPALIVE.
pub const MAX_EXTENDED_MESSAGE: usize = 65535;

/// The type octet of a message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// 1, RFC 4271 §4.2.
    Open,
    /// 2, RFC 4271 §4.3.
    Update,
    /// 3, RFC 4271 §4.5.
    Notification,
    /// 4, RFC 4271 §4.4.
    Keepalive,
    /// 5, RFC 2918 §3.
    RouteRefresh,
}

impl MessageType {
    /// The type octet.
    pub const fn value(self) -> u8 {
        match self {
            MessageType::Open => 1,
            MessageType::Update => 2,
            MessageType::Notification => 3,
            MessageType::Keepalive => 4,
            MessageType::RouteRefresh => 5,
        }
    }
    const fn from_value(value: u8) -> Option<MessageType> {
        Some(match value {
            1 => MessageType::Open,
            2 => MessageType::Update,
            3 => MessageType::Notification,
            4 => MessageType::Keepalive,
            5 => MessageType::RouteRefresh,
            _ => return None,
        })
    }
    /// The lengths that the header may give, where the longest message of the session is `longest`.
    ///
    /// A short ROUTE-REFRESH passes: it has an error of its own (RFC 7313 §5), found when it is decoded.
    const fn lengths(self, longest: usize) -> (usize, usize) {
        match self {
            MessageType::Open => (29, MAX_MESSAGE),
            MessageType::Update => (23, longest),
            MessageType::Notification => (21, longest),
            MessageType::Keepalive => (HEADER, HEADER),
            MessageType::RouteRefresh => (HEADER, longest),
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageType::Open => "OPEN",
            MessageType::Update => "UPDATE",
            MessageType::Notification => "NOTIFICATION",
            MessageType::Keepalive => "KEEPALIVE",
            MessageType::RouteRefresh => "ROUTE-REFRESH",
        })
    }
}

/// One whole message whose header is right; the body is not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// From the header.
    pub kind: MessageType,
    /// What follows the header.
    pub body: Bytes,
}

impl Frame {
    /// Length of the whole message in octets, header included.
    pub fn message_length(&self) -> usize {
        HEADER + self.body.len()
    }
}

/// Takes octets as they arrive, gives messages.
///
/// It holds what was put in and not yet taken out: read at most [`MAX_EXTENDED_MESSAGE`] octets at a time and take all frames
/// before reading on, and it never holds more than two messages' worth.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    longest: usize,
}

impl Default for Framer {
    fn default() -> Framer {
        Framer { buffer: BytesMut::new(), longest: MAX_MESSAGE }
    }
}

impl Framer {
    /// A framer for a new connection: messages of at most [`MAX_MESSAGE`] octets.
    pub fn new() -> Framer {
        Framer::default()
    }
    /// From now on UPDATE, NOTIFICATION and ROUTE-REFRESH may be as long as [`MAX_EXTENDED_MESSAGE`] (RFC 8654 §4).
    pub fn extend_messages(&mut self) {
        self.longest = MAX_EXTENDED_MESSAGE;
    }
    /// From now on messages may be as long as the session's OPENs have agreed (RFC 8654 §4).
    pub fn follow(&mut self, context: &Context) {
        self.longest = context.max_message.clamp(MAX_MESSAGE, MAX_EXTENDED_MESSAGE);
    }
    /// Appends octets that arrived.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }
    /// Room for at least `octets` more, to read a socket into directly.
    pub fn space(&mut self, octets: usize) -> &mut (impl BufMut + use<>) {
        self.buffer.reserve(octets);
        &mut self.buffer
    }
    /// Gives back the room in which nothing waits.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
    /// Octets that wait for the rest of their message.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }
    /// The next whole message; nothing while it is incomplete; the NOTIFICATION to send once its header is wrong.
    ///
    /// A wrong header is told as soon as it is there, without waiting for a body that may never come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Notification> {
        let mut reader = Reader::new(&self.buffer);
        let Ok(marker) = reader.array::<16>() else {
            return Ok(None);
        };
        if marker != [0xff; 16] {
            return Err(Notification::new(header::NOT_SYNCHRONIZED));
        }
        let (Ok(length), Ok(kind)) = (reader.u16(), reader.u8()) else {
            return Ok(None);
        };
        let bad_length = || Notification::with_data(header::BAD_LENGTH, &length.to_be_bytes());
        let whole = usize::from(length);
        if whole < HEADER || whole > self.longest {
            return Err(bad_length());
        }
        let kind = MessageType::from_value(kind).ok_or_else(|| Notification::with_data(header::BAD_TYPE, &[kind]))?;
        let (shortest, longest) = kind.lengths(self.longest);
        if whole < shortest || whole > longest {
            return Err(bad_length());
        }
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let mut message = self.buffer.split_to(whole).freeze();
        message.advance(HEADER);
        Ok(Some(Frame { kind, body: message }))
    }
}

/// Appends a header to `out` with room for the length, which [`end_message`] fills in. Returns where the message begins.
pub(crate) fn begin_message(kind: MessageType, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&[0, 0, kind.value()]);
    start
}

/// Writes the length of the message that began at `start`. Messages never reach 65536 octets: who writes them counts.
pub(crate) fn end_message(start: usize, out: &mut [u8]) {
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    patch_u16(start + 16, length, out);
}

/// Overwrites two octets at `at`, which were written before as a place holder.
pub(crate) fn patch_u16(at: usize, value: u16, out: &mut [u8]) {
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
