//! Whom sessions are with: a peer at an address, and whoever connects from inside a listen range.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use model::Asn;
use serde::{Deserialize, Serialize};

use crate::config::{BGP_PORT, Dialling, PeerConfig};
use crate::wire::PeerKind;

/// Whom a session is with. Two peers may share an address and differ in the port, or in the source address that is
/// theirs alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerKey {
    /// The peer's address.
    pub address: IpAddr,
    /// The link on which a link-local address is meant, as the interface's index (RFC 4007 §11); of others absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<NonZeroU32>,
    /// The port to dial. A connection from the peer may come from any port.
    pub port: u16,
    /// Our end, where it tells this peer from another at the same address: only a connection to it is this peer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

impl PeerKey {
    /// The peer at this address on port 179.
    pub const fn new(address: IpAddr) -> PeerKey {
        PeerKey { address, scope: None, port: BGP_PORT, source: None }
    }
    /// The same on another port.
    pub const fn on_port(self, port: u16) -> PeerKey {
        PeerKey { port, ..self }
    }
    /// The same on the link of this interface.
    pub const fn on_link(self, interface: NonZeroU32) -> PeerKey {
        PeerKey { scope: Some(interface), ..self }
    }
    /// The same, and only as seen from this address of ours.
    pub const fn from_source(self, source: IpAddr) -> PeerKey {
        PeerKey { source: Some(source), ..self }
    }
    /// Whoever is at the other end of a connection, as if it had dialled from port 179.
    pub fn at(remote: SocketAddr) -> PeerKey {
        let key = PeerKey::new(remote.ip().to_canonical());
        match remote {
            SocketAddr::V6(v6) if is_link_local(key.address) => {
                PeerKey { scope: NonZeroU32::new(v6.scope_id()), ..key }
            }
            _ => key,
        }
    }
    /// All peers with this address, on this link.
    pub(crate) fn neighbours(self) -> RangeInclusive<PeerKey> {
        let greatest = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));
        PeerKey { port: 0, source: None, ..self }..=PeerKey { port: u16::MAX, source: Some(greatest), ..self }
    }
    /// Where to dial.
    pub fn socket_address(self) -> SocketAddr {
        match (self.address, self.scope) {
            (IpAddr::V6(address), Some(scope)) => SocketAddrV6::new(address, self.port, 0, scope.get()).into(),
            (address, _) => SocketAddr::new(address, self.port),
        }
    }
}

/// Whether an address means something on its link only (RFC 4291 §2.5.6).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The address alone where the port is 179, else as a socket address: `10.0.0.1`, `10.0.0.1:1790`, `fe80::1%3`.
impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.scope) {
            (BGP_PORT, None) => self.address.fmt(f)?,
            (BGP_PORT, Some(scope)) => write!(f, "{}%{scope}", self.address)?,
            _ => self.socket_address().fmt(f)?,
        }
        match self.source {
            Some(source) => write!(f, " from {source}"),
            None => Ok(()),
        }
    }
}

/// The AS that a peer must say it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RemoteAs {
    /// This one. The session is internal if it is ours.
    Is(Asn),
    /// Any but ours: what is on the other end of a link need not be known beforehand.
    External,
}

impl RemoteAs {
    /// The AS, where it is known beforehand.
    pub const fn asn(self) -> Option<Asn> {
        match self {
            RemoteAs::Is(asn) => Some(asn),
            RemoteAs::External => None,
        }
    }
    /// On which side of the border of our AS the peer is.
    pub fn kind(self, local_as: Asn) -> PeerKind {
        if self == RemoteAs::Is(local_as) { PeerKind::Internal } else { PeerKind::External }
    }
    /// Whether a peer in this AS is meant (RFC 4271 §6.2, Bad Peer AS).
    pub(crate) fn admits(self, told: Asn, local_as: Asn) -> bool {
        match self {
            RemoteAs::Is(asn) => told == asn,
            RemoteAs::External => told != local_as,
        }
    }
}

impl From<Asn> for RemoteAs {
    fn from(asn: Asn) -> RemoteAs {
        RemoteAs::Is(asn)
    }
}

impl fmt::Display for RemoteAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteAs::Is(asn) => asn.fmt(f),
            RemoteAs::External => f.write_str("any other than ours"),
        }
    }
}

/// Peers that are not known by address: whoever connects from inside a prefix. They dial, we never do. Such a peer is born
/// with its first connection and dies when its session is over and its routes are kept no longer (RFC 4724 §4.2).
#[derive(Debug, Clone, PartialEq)]
pub struct ListenRange {
    peer: Arc<PeerConfig>,
    most: usize,
}

impl ListenRange {
    /// Peers like this one, only that they dial and we do not; at most so many at a time. Above that a newcomer takes
    /// the place of one that has not come so far as to have a session, or is refused.
    pub fn new(mut peer: PeerConfig, most: usize) -> ListenRange {
        peer.dial = Dialling::Passive;
        ListenRange { peer: Arc::new(peer), most }
    }
    /// What each of them is.
    pub fn peer(&self) -> &Arc<PeerConfig> {
        &self.peer
    }
    /// How many there may be at a time.
    pub fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_on_port_179_is_written_as_its_address() {
        let key = PeerKey::new(IpAddr::from([10, 0, 0, 1]));
        assert_eq!(key.to_string(), "10.0.0.1");
        assert_eq!(key.on_port(1790).to_string(), "10.0.0.1:1790");
        assert_eq!(key.from_source([10, 0, 0, 2].into()).to_string(), "10.0.0.1 from 10.0.0.2");
    }

    #[test]
    fn rfc4007_11_a_link_local_peer_is_told_by_its_link_and_no_other_peer_is() {
        let remote = |text: &str| PeerKey::at(text.parse().unwrap());
        assert_eq!(remote("[fe80::1%3]:40000").to_string(), "fe80::1%3");
        assert_ne!(remote("[fe80::1%3]:40000"), remote("[fe80::1%4]:40000"));
        assert_eq!(remote("[2001:db8::1%3]:40000"), PeerKey::new("2001:db8::1".parse().unwrap()));
        assert_eq!(remote("[fe80::1%3]:40000").socket_address().to_string(), "[fe80::1%3]:179");
    }
}
