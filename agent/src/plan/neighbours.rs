//! Whom a BGPPeer is about: peers by address and on a link, and whoever comes from a listen range.

use std::collections::btree_map::Entry;
use std::net::IpAddr;

use bgp::PeerKey;
use bgp::config::{BGP_PORT, ListenRange, PeerConfig, RemoteAs};
use model::Prefix;
use model::api::show::PeerKind;
use model::filter::PeerType;
use model::object::{BgpPeer, PeerAddress, SourceAddress, Whom};

use super::bgp::Peers;

impl Peers<'_> {
    /// The peers, or the range, that a BGPPeer for this node is about; its `peerSelector` is another's business.
    pub(super) fn add_whom(&mut self, peer: &BgpPeer, kind: PeerKind) {
        let Some(remote) = self.remote_as(peer) else { return };
        match &peer.whom {
            Whom::Nodes(_) => {}
            Whom::Address(address) => {
                if let Some(key) = self.key_of(peer, address) {
                    let config = self.by_object(peer, kind, key.address, remote);
                    match &address.interface {
                        Some(interface) => self.add_on_link(peer, key, config, interface),
                        None => self.add(key, config, Some(peer)),
                    }
                }
            }
            Whom::Range { prefix, most } => self.add_range(peer, kind, *prefix, *most, remote),
            Whom::Interface(name) => self.add_link(peer, kind, name, remote),
        }
    }

    /// The AS that a peer must say it is in, where the object has a say in it.
    fn remote_as(&self, peer: &BgpPeer) -> Option<RemoteAs> {
        match (peer.as_number, peer.peer_type) {
            (Some(asn), _) => Some(asn.into()),
            (None, Some(PeerType::Internal)) => Some(peer.local_as_number.unwrap_or(self.local_as).into()),
            (None, Some(PeerType::External)) => Some(RemoteAs::External),
            (None, None) => None,
        }
    }

    /// What tells the session from others: its address and port, its link, and a source address that the object names.
    fn key_of(&mut self, peer: &BgpPeer, to: &PeerAddress) -> Option<PeerKey> {
        let mut key = PeerKey::new(to.address).on_port(to.port.unwrap_or(BGP_PORT));
        if let SourceAddress::Address(source) = peer.source_address {
            key = key.from_source(source);
        }
        let Some(interface) = &to.interface else { return Some(key) };
        let scope = self.world.kernel.scope(interface);
        if scope.is_none() {
            let name = &peer.meta.name;
            self.problems
                .push(format!("BGPPeer/{name}: spec.peerIP: there is no interface {interface}: no session with {to}"));
        }
        Some(key.on_link(scope?))
    }

    /// A peer for each router that has advertised itself on the link.
    fn add_link(&mut self, peer: &BgpPeer, kind: PeerKind, interface: &str, remote: RemoteAs) {
        let problem = |what: String| format!("BGPPeer/{}: spec.peerInterface: {what}", peer.meta.name);
        let Some(scope) = self.world.kernel.scope(interface) else {
            return self.problems.push(problem(format!("there is no interface {interface}: no session")));
        };
        self.solicit.insert(scope);
        let of_link = self.world.routers.iter().filter(|(link, _)| *link == scope);
        let others = of_link.filter(|(_, router)| self.world.kernel.link_with((*router).into()).is_none());
        let routers: Vec<IpAddr> = others.map(|(_, router)| (*router).into()).collect();
        if routers.is_empty() {
            self.problems.push(problem(format!("no router has advertised itself on {interface} yet")));
        }
        for router in routers {
            let config = self.by_object(peer, kind, router, remote);
            self.add_on_link(peer, PeerKey::new(router).on_link(scope), config, interface);
        }
    }

    fn add_range(&mut self, peer: &BgpPeer, kind: PeerKind, prefix: Prefix, most: u32, remote: RemoteAs) {
        let config = self.by_object(peer, kind, prefix.address(), remote);
        let Some(config) = self.complete(config, Some(peer), &format!("peers from {prefix}")) else { return };
        match self.ranges.entry(prefix) {
            Entry::Vacant(entry) => {
                entry.insert(ListenRange::new(config, usize::try_from(most).unwrap_or(usize::MAX)));
            }
            Entry::Occupied(first) => {
                let (name, first) = (&config.name, &first.get().peer().name);
                self.problems.push(format!("BGPPeer/{name}: {prefix} is listened for by BGPPeer/{first}: not used"));
            }
        }
    }

    /// Whether an address means something on its link only.
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
    }

    /// A peer on a link. BFD tells its sessions by addresses alone, which on another link are another's.
    fn add_on_link(&mut self, peer: &BgpPeer, key: PeerKey, mut config: PeerConfig, interface: &str) {
        config.interface = Some(interface.to_string());
        if config.bfd.take().is_some() {
            let name = &peer.meta.name;
            self.problems
                .push(format!("BGPPeer/{name}: spec.bfd: is not done with link-local peers: {key} goes without"));
        }
        self.add(key, config, Some(peer));
    }

    /// Our end of a session with this address, as far as the object or the node names it.
    pub(super) fn source(&self, peer: &BgpPeer, address: IpAddr) -> Option<IpAddr> {
        let on_link = self.is_on_link(address);
        match peer.source_address {
            SourceAddress::Address(source) => Some(source),
            SourceAddress::UseNodeIP if !on_link => self.node.address(model::Family::of(address)).map(|a| a.address),
            SourceAddress::UseNodeIP | SourceAddress::None => None,
        }
    }
}
