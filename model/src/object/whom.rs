//! Whom a BGPPeer is about, and from where: addresses, other nodes, listen ranges, interfaces.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::parse::Invalid;
use crate::filter::PeerType;
use crate::kernel::is_interface_name;
use crate::selector::Selector;
use crate::{Family, Prefix};

/// How many peers a listen range may have where `maxDynamicPeers` does not say.
const MAX_DYNAMIC_PEERS: u32 = 1000;
/// The most that `maxDynamicPeers` may say: what a speaker can tell apart.
const MOST_DYNAMIC_PEERS: u32 = 60_000;

/// Whom to peer with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Whom {
    /// `peerIP`: a router.
    Address(PeerAddress),
    /// `peerSelector`: other nodes.
    Nodes(Selector),
    /// `listenRange`: whoever connects from inside a prefix, `maxDynamicPeers` at a time. Margay's own.
    Range {
        /// The prefix.
        prefix: Prefix,
        /// At most so many at a time.
        most: u32,
    },
    /// `peerInterface`: the router on the link of an interface, by its link-local address. Margay's own.
    Interface(String),
}

impl Whom {
    /// The address, where it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Whom::Address(peer) => Some(peer.address),
            Whom::Nodes(_) | Whom::Range { .. } | Whom::Interface(_) => None,
        }
    }
    /// Over which family the session is, where that is known.
    pub fn family(&self) -> Option<Family> {
        match self {
            Whom::Address(peer) => Some(Family::of(peer.address)),
            Whom::Nodes(_) => None,
            Whom::Range { prefix, .. } => Some(prefix.family()),
            Whom::Interface(_) => Some(Family::Ipv6),
        }
    }
}

/// `peerIP`: `address`, `address:port` or `[address]:port`; a link-local address as `fe80::1%eth0` (RFC 4007 §11).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface on whose link a link-local address is; of others absent.
    pub interface: Option<String>,
    /// The port, where one is given.
    pub port: Option<u16>,
}

/// `sourceAddress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceAddress {
    /// The node's address.
    #[default]
    UseNodeIP,
    /// What the kernel chooses.
    None,
    /// This address of the node. Two BGPPeers with two of them make two sessions with one router. Margay's own.
    Address(IpAddr),
}

impl FromStr for SourceAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<SourceAddress, String> {
        match text {
            "" | "UseNodeIP" => Ok(SourceAddress::UseNodeIP),
            "None" => Ok(SourceAddress::None),
            other => other
                .parse()
                .map(SourceAddress::Address)
                .map_err(|_| format!("{other:?} is neither UseNodeIP nor None nor an address of the node")),
        }
    }
}
impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceAddress::UseNodeIP => f.write_str("UseNodeIP"),
            SourceAddress::None => f.write_str("None"),
            SourceAddress::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<PeerAddress, String> {
        let bad = || format!("{text:?} is not an address, address:port or [address]:port");
        if let Some((address, interface)) = scoped(text) {
            return Ok(PeerAddress { address, interface, port: None });
        }
        let (address, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bracketed = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
        let (address, interface) = scoped(bracketed.unwrap_or(address)).ok_or_else(bad)?;
        if address.is_ipv6() && bracketed.is_none() {
            return Err(bad());
        }
        let port: u16 = port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?;
        Ok(PeerAddress { address, interface, port: Some(port) })
    }
}

/// `address` or `address%interface`.
fn scoped(text: &str) -> Option<(IpAddr, Option<String>)> {
    match text.split_once('%') {
        None => Some((text.parse().ok()?, None)),
        Some((address, interface)) if is_interface(interface) => {
            Some((address.parse().ok()?, Some(interface.to_string())))
        }
        Some(_) => None,
    }
}

/// Whether it can be the name of an interface of a peer. One with a `%` would be read as an address on a link.
fn is_interface(name: &str) -> bool {
    is_interface_name(name) && !name.contains('%')
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interface = self.interface.as_ref().map(|name| format!("%{name}")).unwrap_or_default();
        match (self.port, self.address) {
            (None, address) => write!(f, "{address}{interface}"),
            (Some(port), IpAddr::V6(address)) => write!(f, "[{address}{interface}]:{port}"),
            (Some(port), IpAddr::V4(address)) => write!(f, "{address}:{port}"),
        }
    }
}

macro_rules! as_text {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(PeerAddress);
as_text!(SourceAddress);

/// The fields that say whom, as they are written.
pub(super) struct WhomSpec {
    pub(super) peer_ip: Option<String>,
    pub(super) peer_selector: Option<Selector>,
    pub(super) listen_range: Option<Prefix>,
    pub(super) max_dynamic_peers: Option<u32>,
    pub(super) peer_interface: Option<String>,
}

impl WhomSpec {
    /// One of the four; `peerInterface` may also say where a link-local `peerIP` is.
    pub(super) fn check(self) -> Result<Whom, Invalid> {
        let peer_ip = self.peer_ip.map(|t| t.parse().map_err(|e: String| Invalid::field("spec.peerIP", e)));
        let mut peer_ip: Option<PeerAddress> = peer_ip.transpose()?;
        let mut interface = self.peer_interface;
        if let Some(name) = interface.as_ref().filter(|name| !is_interface(name)) {
            return Err(Invalid::field("spec.peerInterface", format!("{name:?} is not an interface's name")));
        }
        if let Some(peer) = &mut peer_ip {
            match (is_link_local(peer.address), &peer.interface, interface.take()) {
                (false, _, Some(_)) => {
                    return Err(Invalid::field("spec.peerInterface", "excludes a spec.peerIP that is not link-local"));
                }
                (false, Some(name), None) => {
                    return Err(Invalid::field("spec.peerIP", format!("only a link-local address is on {name} alone")));
                }
                (true, None, None) => {
                    return Err(Invalid::field("spec.peerIP", "is link-local: say on which interface (fe80::1%eth0)"));
                }
                (true, Some(own), Some(other)) if *own != other => {
                    return Err(Invalid::field("spec.peerInterface", format!("is not {own}, as spec.peerIP says")));
                }
                (true, None, given) => peer.interface = given,
                _ => {}
            }
        }
        if self.max_dynamic_peers.is_some() && self.listen_range.is_none() {
            return Err(Invalid::field("spec.maxDynamicPeers", "is for a spec.listenRange only"));
        }
        let most = self.max_dynamic_peers.unwrap_or(MAX_DYNAMIC_PEERS);
        if !(1..=MOST_DYNAMIC_PEERS).contains(&most) {
            return Err(Invalid::field("spec.maxDynamicPeers", format!("must be 1 to {MOST_DYNAMIC_PEERS}")));
        }
        if self.listen_range.is_some_and(|prefix| is_link_local(prefix.address())) {
            return Err(Invalid::field(
                "spec.listenRange",
                "is link-local: spec.peerInterface is for whom is on a link",
            ));
        }
        let whom = [
            ("spec.peerIP", peer_ip.map(Whom::Address)),
            ("spec.peerSelector", self.peer_selector.map(Whom::Nodes)),
            ("spec.listenRange", self.listen_range.map(|prefix| Whom::Range { prefix, most })),
            ("spec.peerInterface", interface.map(Whom::Interface)),
        ];
        let mut given = whom.into_iter().filter_map(|(field, whom)| Some((field, whom?)));
        match (given.next(), given.next()) {
            (None, _) => Err(Invalid::field(
                "spec.peerIP",
                "is missing (or spec.peerSelector, spec.listenRange, spec.peerInterface)",
            )),
            (Some((first, _)), Some((second, _))) => Err(Invalid::field(second, format!("excludes {first}"))),
            (Some((_, whom)), None) => Ok(whom),
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// `peerType`: on which side of the border of our AS a peer is, where its AS number need not be known.
pub(super) fn peer_type(text: Option<&str>) -> Result<Option<PeerType>, Invalid> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let known = PeerType::NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, peer_type)| peer_type);
    let wrong = || Invalid::field("spec.peerType", format!("must be eBGP or iBGP, not {text:?}"));
    known.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for text in ["10.0.0.1", "10.0.0.1:1790", "fd00::1", "[fd00::1]:1790", "fe80::1%eth0", "[fe80::1%eth0]:1790"] {
            assert_eq!(text.parse::<PeerAddress>().map(|a| a.to_string()), Ok(text.to_string()));
        }
        for text in ["fd00::1:x", "10.0.0.1:0", "fe80::1%", "fe80::1%a/b", "fe80::1%an-interface-too-long", "%eth0", ""]
        {
            assert!(text.parse::<PeerAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_address_is_calicos_words_or_an_address() {
        for text in ["UseNodeIP", "None", "10.0.0.2", "fd00::2"] {
            assert_eq!(text.parse::<SourceAddress>().map(|a| a.to_string()), Ok(text.to_string()));
        }
        assert_eq!("".parse(), Ok(SourceAddress::UseNodeIP));
        assert!("eth0".parse::<SourceAddress>().is_err());
    }
}
