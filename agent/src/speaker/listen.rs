//! Listening for peers: one socket for each family and address, with every peer's key on it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bgp::config::{BGP_PORT, Secret, SpeakerConfig};
use model::{Family, Prefix};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::run::Event;
use super::sockopt;

/// Connections that may wait to be accepted: a whole cluster may come back at once.
const BACKLOG: i32 = 4096;
/// Rest after `accept` failed (out of descriptors, most likely): the condition passes or it does not.
const ACCEPT_REST: Duration = Duration::from_millis(200);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The TCP port.
    pub port: u16,
    /// On these addresses only; on all of both families if empty.
    pub addresses: Vec<IpAddr>,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen { port: BGP_PORT, addresses: Vec::new() }
    }
}

impl Listen {
    fn sockets(&self) -> Vec<SocketAddr> {
        let anywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = if self.addresses.is_empty() { &anywhere[..] } else { &self.addresses[..] };
        addresses.iter().map(|a| SocketAddr::new(*a, self.port)).collect()
    }
}

/// One listening socket. Its task ends with it.
struct Listener {
    /// A second handle to the socket that the task accepts on, for its options.
    socket: Socket,
    accepting: AbortHandle,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// All listening sockets.
pub(super) struct Listeners {
    inbox: mpsc::Sender<Event>,
    listeners: BTreeMap<SocketAddr, Listener>,
    keys: BTreeMap<Prefix, Secret>,
    /// Within how many hops all peers of a family are, where each has to be within some.
    distances: [(Family, Option<u8>); 2],
    /// Where listening failed, and why.
    problems: BTreeMap<SocketAddr, String>,
}

impl Listeners {
    pub(super) fn new(inbox: mpsc::Sender<Event>) -> Listeners {
        Listeners {
            inbox,
            listeners: BTreeMap::new(),
            keys: BTreeMap::new(),
            distances: Family::ALL.map(|f| (f, None)),
            problems: BTreeMap::new(),
        }
    }

    /// Listens as wished, with the keys of these peers. Sockets that stay as they are are not touched.
    pub(super) fn apply(&mut self, listen: &Listen, config: &SpeakerConfig) {
        let wanted = listen.sockets();
        self.listeners.retain(|address, _| wanted.contains(address));
        self.problems.retain(|address, _| wanted.contains(address));
        self.set_keys(config);
        self.set_distances(config);
        for address in wanted {
            self.open(address);
        }
    }

    /// Tries again where listening failed.
    pub(super) fn retry(&mut self) {
        for address in self.problems.keys().copied().collect::<Vec<_>>() {
            self.open(address);
        }
    }

    /// Whether listening failed somewhere.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// What stands in the way of listening, one sentence each.
    pub(super) fn problems(&self) -> Vec<String> {
        self.problems.values().cloned().collect()
    }

    fn open(&mut self, address: SocketAddr) {
        if self.listeners.contains_key(&address) {
            return;
        }
        let opened = listen_on(address).and_then(|socket| {
            for (peer, key) in self.keys.iter().filter(|(peer, _)| same_family(peer, &address)) {
                set_key(&socket, *peer, Some(key));
            }
            for (family, distance) in self.distances.iter().filter(|(family, _)| *family == Family::of(address.ip())) {
                sockopt::set_least_ttl(&socket, *family, *distance)?;
            }
            let listener = TcpListener::from_std(socket.try_clone()?.into())?;
            let accepting = tokio::spawn(accept(listener, self.inbox.clone())).abort_handle();
            Ok(Listener { socket, accepting })
        });
        match opened {
            Ok(listener) => {
                info!(%address, "listening for peers");
                self.listeners.insert(address, listener);
                self.problems.remove(&address);
            }
            // A node without IPv6 is a node without IPv6.
            Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) && address.ip().is_unspecified() => {
                self.problems.remove(&address);
            }
            Err(error) => {
                let hint = match error.kind() {
                    io::ErrorKind::AddrInUse => ": another BGP speaker runs on this node",
                    _ => "",
                };
                let problem = format!("cannot listen for peers on {address}: {error}{hint}");
                if self.problems.insert(address, problem.clone()).as_ref() != Some(&problem) {
                    warn!("{problem}");
                }
            }
        }
    }

    /// Where every peer is protected by its distance, nothing from further away gets as far as a connection.
    fn set_distances(&mut self, config: &SpeakerConfig) {
        let distances = Family::ALL.map(|family| (family, distance(config, family)));
        if distances == self.distances {
            return;
        }
        self.distances = distances;
        for (address, listener) in &self.listeners {
            for (family, distance) in distances.iter().filter(|(family, _)| *family == Family::of(address.ip())) {
                if let Err(error) = sockopt::set_least_ttl(&listener.socket, *family, *distance) {
                    warn!(%address, %error, "cannot set the least TTL of the listener");
                }
            }
        }
    }

    fn set_keys(&mut self, config: &SpeakerConfig) {
        let peers = config.peers.iter().map(|(key, peer)| (Prefix::host(key.address), &peer.password));
        let ranges = config.ranges.iter().map(|(prefix, range)| (*prefix, &range.peer().password));
        let keys: BTreeMap<Prefix, Secret> =
            ranges.chain(peers).filter_map(|(prefix, password)| Some((prefix, password.clone()?))).collect();
        let gone = self.keys.keys().filter(|peer| !keys.contains_key(peer)).map(|peer| (*peer, None));
        let new = keys.iter().filter(|(peer, key)| self.keys.get(peer) != Some(key)).map(|(p, k)| (*p, Some(k)));
        for (peer, key) in gone.chain(new) {
            for (_, listener) in self.listeners.iter().filter(|(address, _)| same_family(&peer, address)) {
                set_key(&listener.socket, peer, key);
            }
        }
        self.keys = keys;
    }
}

/// Without its key the listener takes a peer's segments unsigned. The key is set again on each accepted connection, which
/// is refused where that fails: so it is no session without its password, whatever happens here.
fn set_key(listener: &Socket, peer: Prefix, key: Option<&Secret>) {
    if let Err(error) = sockopt::set_password(listener, peer, key) {
        let hint = match error.raw_os_error() {
            Some(libc::ENOMEM) => "raise the sysctl net.core.optmem_max: each password takes some of it",
            Some(libc::ENOPROTOOPT) => "this kernel has no TCP-MD5",
            _ => "",
        };
        warn!(%peer, %error, hint, "cannot set the peer's TCP-MD5 password on the listener");
    }
}

fn same_family(peer: &Prefix, address: &SocketAddr) -> bool {
    peer.family() == Family::of(address.ip())
}

/// The greatest distance that any peer of the family may have (RFC 5082); `None` if one may be anywhere.
fn distance(config: &SpeakerConfig, family: Family) -> Option<u8> {
    let peers = config.peers.iter().map(|(key, peer)| (Family::of(key.address), peer.ttl_security));
    let ranges = config.ranges.iter().map(|(prefix, range)| (prefix.family(), range.peer().ttl_security));
    let mut distances = peers.chain(ranges).filter(|(of, _)| *of == family).map(|(_, distance)| distance);
    let first = distances.next()?;
    distances.fold(first, |most, distance| Some(most?.max(distance?)))
}

fn listen_on(address: SocketAddr) -> io::Result<Socket> {
    let family = Family::of(address.ip());
    let domain = match family {
        Family::Ipv4 => Domain::IPV4,
        Family::Ipv6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // An address that is not there yet (a link still down, IPv6 still tentative) is no reason not to listen.
    match family {
        Family::Ipv4 => socket.set_freebind_v4(true)?,
        Family::Ipv6 => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    sockopt::set_common(&socket, family)?;
    sockopt::set_ttl(&socket, family, sockopt::TTL_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, inbox: mpsc::Sender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if inbox.send(Event::Accepted { stream, remote }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}
