//! Reads BMP messages: what a station would see. For tests and tools; the agent itself only writes.

use bytes::Bytes;

use super::message::{DownReason, Information, Message, PeerUp, Statistic, VERSION, kind};
use super::peer::{PeerHeader, address};
use crate::wire::reader::{Reader, Short};

/// The longest message that is read, in octets.
pub const MAX_LENGTH: usize = 1 << 20;
/// Octets of the common header.
const HEADER: usize = 6;

/// Why octets are not a BMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not 3.
    #[error("version {0} instead of 3")]
    Version(u8),
    /// Less than a header or more than [`MAX_LENGTH`].
    #[error("a length of {0} octets")]
    Length(u32),
    /// A message type that is not known.
    #[error("unknown message type {0}")]
    Type(u8),
    /// A peer type or a reason that is not known.
    #[error("a peer type or reason that is not known")]
    Unknown,
    /// What is inside is no BGP message of the kind that belongs there.
    #[error("no BGP message of type {0} where one should be")]
    Inner(u8),
    /// The parts are longer than the whole.
    #[error("parts that are longer than the whole")]
    Short,
    /// The parts leave something over.
    #[error("octets left over")]
    Long,
}

impl From<Short> for DecodeError {
    fn from(_: Short) -> DecodeError {
        DecodeError::Short
    }
}

/// How many octets the message has that begins here; none while its header is not whole.
pub fn length(octets: &[u8]) -> Result<Option<usize>, DecodeError> {
    let mut r = Reader::new(octets);
    let Ok(version) = r.u8() else { return Ok(None) };
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let Ok(length) = r.u32() else { return Ok(None) };
    match usize::try_from(length) {
        Ok(whole) if (HEADER..=MAX_LENGTH).contains(&whole) => Ok(Some(whole)),
        _ => Err(DecodeError::Length(length)),
    }
}

impl Message {
    /// A whole message, as long as [`length`] says.
    pub fn decode(octets: &[u8]) -> Result<Message, DecodeError> {
        if length(octets)? != Some(octets.len()) {
            return Err(DecodeError::Short);
        }
        let mut r = Reader::new(octets);
        let [.., kind] = r.array::<HEADER>()?;
        let message = match kind {
            kind::ROUTE_MONITORING => Message::RouteMonitoring { peer: peer(&mut r)?, update: bgp(&mut r, 2)? },
            kind::STATISTICS => Message::Statistics { peer: peer(&mut r)?, statistics: statistics(&mut r)? },
            kind::PEER_DOWN => Message::PeerDown { peer: peer(&mut r)?, reason: reason(&mut r)? },
            kind::PEER_UP => {
                let peer = peer(&mut r)?;
                let local_address = address(peer.family(), r.array()?);
                let (local_port, remote_port) = (r.u16()?, r.u16()?);
                let (sent, received) = (bgp(&mut r, 1)?, bgp(&mut r, 1)?);
                let information = information(&mut r)?;
                let up = PeerUp { peer, local_address, local_port, remote_port, sent, received, information };
                Message::PeerUp(Box::new(up))
            }
            kind::INITIATION => Message::Initiation(information(&mut r)?),
            kind::TERMINATION => Message::Termination(information(&mut r)?),
            other => return Err(DecodeError::Type(other)),
        };
        if r.is_empty() { Ok(message) } else { Err(DecodeError::Long) }
    }
}

fn peer(r: &mut Reader<'_>) -> Result<PeerHeader, DecodeError> {
    PeerHeader::read(r)?.ok_or(DecodeError::Unknown)
}

/// A BGP message of this type, header included.
fn bgp(r: &mut Reader<'_>, kind: u8) -> Result<Bytes, DecodeError> {
    let mut header = *r;
    let marker: [u8; 16] = header.array()?;
    let (length, is) = (header.u16()?, header.u8()?);
    if marker != [0xff; 16] || is != kind || length < 19 {
        return Err(DecodeError::Inner(kind));
    }
    Ok(Bytes::copy_from_slice(r.take(length.into())?))
}

fn reason(r: &mut Reader<'_>) -> Result<DownReason, DecodeError> {
    Ok(match r.u8()? {
        1 => DownReason::LocalNotification(bgp(r, 3)?),
        2 => DownReason::LocalEvent(r.u16()?),
        3 => DownReason::RemoteNotification(bgp(r, 3)?),
        4 => DownReason::RemoteClosed,
        5 => DownReason::Deconfigured,
        6 => DownReason::LocalClosed(information(r)?),
        _ => return Err(DecodeError::Unknown),
    })
}

fn information(r: &mut Reader<'_>) -> Result<Vec<Information>, DecodeError> {
    let mut all = Vec::new();
    while !r.is_empty() {
        let (kind, length) = (r.u16()?, r.u16()?);
        all.push(Information { kind, value: Bytes::copy_from_slice(r.take(length.into())?) });
    }
    Ok(all)
}

/// As many as the count says: it must not make room for more than there is.
fn statistics(r: &mut Reader<'_>) -> Result<Vec<Statistic>, DecodeError> {
    let count = r.u32()?;
    let mut all = Vec::new();
    for _ in 0..count {
        let (kind, length) = (r.u16()?, r.u16()?);
        let value = r.take(length.into())?;
        let mut inner = Reader::new(value);
        let gauge = |r: &mut Reader<'_>| r.array().map(u64::from_be_bytes);
        let known = match (kind, length) {
            (7, 8) => Statistic::AdjIn(gauge(&mut inner)?),
            (8, 8) => Statistic::Loc(gauge(&mut inner)?),
            (9, 11) => Statistic::AdjInOf(inner.u16()?, inner.u8()?, gauge(&mut inner)?),
            (11, 4) => Statistic::TreatedAsWithdrawn(inner.u32()?),
            (15, 8) => Statistic::AdjOutPost(gauge(&mut inner)?),
            _ => Statistic::Other(kind, Bytes::copy_from_slice(value)),
        };
        all.push(known);
    }
    Ok(all)
}
