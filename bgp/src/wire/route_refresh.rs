//! ROUTE-REFRESH: "send me that family again" and the marks round the answer (RFC 2918, RFC 7313).

use std::fmt;

use bytes::Bytes;
use model::Family;

use super::capability::{family_of, put_family};
use super::framer::{MessageType, begin_message, end_message};
use super::notification::{self, Notification};
use super::reader::Reader;

/// The message subtype (RFC 7313 §3.2), reserved and 0 in RFC 2918.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefreshKind {
    /// 0: a request.
    Request,
    /// 1: what follows is the answer, from the beginning.
    Begin,
    /// 2: the answer is complete; what was not sent again is gone.
    End,
    /// Another value: to be ignored (RFC 7313 §5).
    Unknown(u8),
}

/// A ROUTE-REFRESH message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteRefresh {
    /// The family; nothing for one that we do not carry, to be ignored (RFC 2918 §4).
    pub family: Option<Family>,
    /// Request, begin or end.
    pub kind: RefreshKind,
}

impl RouteRefresh {
    /// A request for a family.
    pub const fn request(family: Family) -> RouteRefresh {
        RouteRefresh { family: Some(family), kind: RefreshKind::Request }
    }

    /// The body of the message. Any length but 4 is an error that carries the whole message (RFC 7313 §5): we announce no
    /// outbound route filter (RFC 5291), the one thing that would make it longer. What an unknown subtype looks like
    /// nobody can say: it is to be ignored, whatever its length.
    pub fn decode(body: &Bytes) -> Result<RouteRefresh, Notification> {
        let mut reader = Reader::new(body);
        let (afi, subtype) = (reader.u16(), reader.u8());
        if let Ok(other @ 3..) = subtype
            && body.len() != 4
        {
            return Ok(RouteRefresh { family: None, kind: RefreshKind::Unknown(other) });
        }
        let (Ok(afi), Ok(subtype), Ok(safi), true) = (afi, subtype, reader.u8(), reader.is_empty()) else {
            let mut whole = Vec::with_capacity(19 + body.len());
            let start = begin_message(MessageType::RouteRefresh, &mut whole);
            whole.extend_from_slice(body);
            end_message(start, &mut whole);
            return Err(Notification::with_data(notification::route_refresh::BAD_LENGTH, &whole));
        };
        let kind = match subtype {
            0 => RefreshKind::Request,
            1 => RefreshKind::Begin,
            2 => RefreshKind::End,
            other => RefreshKind::Unknown(other),
        };
        Ok(RouteRefresh { family: family_of(afi, safi), kind })
    }

    /// Appends the whole message to `out`; nothing without a family.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Some(family) = self.family else {
            return;
        };
        let subtype = match self.kind {
            RefreshKind::Request => 0,
            RefreshKind::Begin => 1,
            RefreshKind::End => 2,
            RefreshKind::Unknown(value) => value,
        };
        let start = begin_message(MessageType::RouteRefresh, out);
        put_family(family, subtype, out);
        end_message(start, out);
    }
}

impl fmt::Display for RouteRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RefreshKind::Request => f.write_str("refresh request")?,
            RefreshKind::Begin => f.write_str("begin of refresh")?,
            RefreshKind::End => f.write_str("end of refresh")?,
            RefreshKind::Unknown(value) => write!(f, "refresh message of unknown subtype {value}")?,
        }
        match self.family {
            Some(family) => write!(f, " for {family}"),
            None => f.write_str(" for a family that is not carried"),
        }
    }
}
