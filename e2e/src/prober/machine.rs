//! The sockets of one machine: what it answers with, and what it asks from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result};
use socket2::{Domain, SockAddr, Socket, Type};

use super::sctp::{Kind, Packet};
use crate::netns::Netns;

/// Source ports begin here and are not used twice before [`PORTS`] rounds have passed.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;
/// Connections that wait to be taken; all probes of a round come at once.
const BACKLOG: i32 = 4096;

/// One machine.
#[derive(Debug)]
pub struct Machine {
    /// For people.
    pub name: String,
    /// Where its sockets are opened.
    pub netns: Netns,
    /// Ports it answers on.
    pub ports: Vec<u16>,
    /// Answer by their handshake.
    pub tcp: Vec<TcpListener>,
    /// Echo.
    pub udp: Vec<UdpSocket>,
    /// IPv4 and IPv6.
    pub sctp: [Socket; 2],
}

impl Machine {
    /// Opens what it answers with.
    pub fn open(name: &str, netns: &Netns, ports: &[u16]) -> Result<Self> {
        let machine = netns.run(|| {
            let (mut tcp, mut udp) = (Vec::new(), Vec::new());
            for port in ports {
                for domain in [Domain::IPV4, Domain::IPV6] {
                    let listener = bound(domain, Type::STREAM, *port)?;
                    listener.listen(BACKLOG)?;
                    tcp.push(listener.into());
                    udp.push(bound(domain, Type::DGRAM, *port)?.into());
                }
            }
            let (name, netns, ports) = (name.to_owned(), netns.clone(), ports.to_vec());
            Ok(Self { name, netns, ports, tcp, udp, sctp: [raw(Domain::IPV4)?, raw(Domain::IPV6)?] })
        });
        machine.with_context(|| format!("opening the sockets of {name}"))
    }

    /// The source port of a round.
    pub fn source_port(round: u16) -> u16 {
        FIRST_PORT + round % PORTS
    }

    /// Sockets that ask by UDP, in the given round: IPv4 and IPv6.
    pub fn askers(&self, round: u16) -> Result<[UdpSocket; 2]> {
        let open = |domain| bound(domain, Type::DGRAM, Self::source_port(round));
        self.netns.run(|| Ok([open(Domain::IPV4)?.into(), open(Domain::IPV6)?.into()]))
    }

    /// Begins a handshake with each.
    pub fn connect(&self, targets: &[SocketAddr]) -> Result<Vec<Socket>> {
        self.netns.run(|| targets.iter().map(|target| begun(*target)).collect())
    }

    /// Sends an SCTP packet; one that cannot be sent is one that is lost.
    pub fn send(&self, to: IpAddr, packet: &Packet) {
        let [v4, v6] = &self.sctp;
        let socket = if to.is_ipv4() { v4 } else { v6 };
        socket.send_to(&packet.bytes(), &SockAddr::from(SocketAddr::new(to, 0))).ok();
    }

    /// The answer to a question that reached a port it answers on.
    pub fn answer(&self, packet: &Packet) -> Option<Packet> {
        let asked = packet.kind == Kind::Init && self.ports.contains(&packet.destination);
        let (source, destination) = (packet.destination, packet.source);
        asked.then_some(Packet { kind: Kind::InitAck, source, destination, token: packet.token })
    }
}

fn bound(domain: Domain, kind: Type, port: u16) -> Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    socket.set_nonblocking(true)?;
    let any: IpAddr = if domain == Domain::IPV4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SocketAddr::new(any, port).into()).with_context(|| format!("port {port}"))?;
    Ok(socket)
}

fn raw(domain: Domain) -> Result<Socket> {
    let socket = Socket::new(domain, Type::RAW, Some(i32::from(model::Protocol::SCTP.0).into()))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// It ends with a reset, which leaves nothing behind on either side.
fn begun(target: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_linger(Some(std::time::Duration::ZERO))?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Err(error).with_context(|| format!("connecting to {target}"))
        }
        _ => Ok(socket),
    }
}
