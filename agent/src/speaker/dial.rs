//! Dialling a peer: source address, options, and errors in the words of the speaker.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bgp::speaker::{ConnectError, Dial};
use model::{Family, Prefix};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::sockopt;

/// The speaker's ConnectRetryTimer gives up long before; this is for one that never does.
const LONGEST: Duration = Duration::from_secs(120);

/// Dials.
pub(super) async fn dial(dial: Dial) -> Result<TcpStream, ConnectError> {
    let socket = prepare(&dial).map_err(|e| connect_error(&e))?;
    let connected = timeout(LONGEST, socket.connect(dial.peer.socket_address())).await;
    connected.map_err(|_| ConnectError::TimedOut)?.map_err(|e| connect_error(&e))
}

fn prepare(dial: &Dial) -> io::Result<TcpSocket> {
    let family = Family::of(dial.peer.address);
    let domain = match family {
        Family::Ipv4 => Domain::IPV4,
        Family::Ipv6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    sockopt::set_common(&socket, family)?;
    sockopt::set_distance(&socket, family, dial.ttl_security)?;
    if dial.password.is_some() {
        sockopt::set_password(&socket, Prefix::host(dial.peer.address), dial.password.as_ref())?;
    }
    if let Some(local) = dial.local {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

fn connect_error(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectError::Unreachable,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        io::ErrorKind::AddrNotAvailable => ConnectError::AddressNotAvailable,
        io::ErrorKind::ConnectionReset => ConnectError::Reset,
        _ => ConnectError::Other(error.to_string()),
    }
}
