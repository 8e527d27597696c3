//! What BFD needs of the kernel: datagrams with the TTL they came with, source ports, a thread that is run first.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use bgp::bfd::{Distance, FIRST_SOURCE_PORT};
use model::Family;
use socket2::{Domain, MaybeUninitSlice, MsgHdrMut, Protocol, SockAddr, Socket, Type};

use crate::speaker::sockopt;

/// More than the longest packet that is understood.
const PAYLOAD: usize = 64;
/// Room for one control message, and then some.
const CONTROL: usize = 64;
/// The lowest of the kernel's realtime priorities: before everything that is not realtime, after all else that is.
const REALTIME_PRIORITY: i32 = 1;
/// The best of what is left without one.
const NICE: i32 = -20;

/// Where the packets of one family and kind of session arrive.
#[derive(Debug)]
pub(crate) struct Receiver {
    socket: Socket,
}

/// What came.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub from: IpAddr,
    /// TTL or hop limit on arrival.
    pub ttl: u8,
    payload: [u8; PAYLOAD],
    length: usize,
}

impl Datagram {
    pub(crate) fn payload(&self) -> &[u8] {
        self.payload.get(..self.length).unwrap_or(&self.payload)
    }
}

impl Receiver {
    pub(super) fn open(family: Family, distance: Distance) -> io::Result<Receiver> {
        let socket = datagrams(family)?;
        sockopt::set_receive_ttl(&socket, family)?;
        socket.bind(&SocketAddr::new(unspecified(family), distance.port()).into())?;
        Ok(Receiver { socket })
    }

    /// Of any socket of datagrams that says with which TTL they came.
    pub(crate) fn of(socket: Socket) -> Receiver {
        Receiver { socket }
    }

    /// The next datagram, if one waits. One without address or TTL, which the kernel does not deliver, is an error.
    pub(crate) fn next(&self) -> io::Result<Option<Datagram>> {
        let mut payload = [MaybeUninit::new(0); PAYLOAD];
        let mut control = [MaybeUninit::new(0); CONTROL];
        // As large as either family's.
        let mut from = SockAddr::from(SocketAddr::new(unspecified(Family::Ipv6), 0));
        let mut buffers = [MaybeUninitSlice::new(&mut payload)];
        let mut message = MsgHdrMut::new().with_addr(&mut from).with_buffers(&mut buffers).with_control(&mut control);
        let length = match self.socket.recvmsg(&mut message, 0) {
            Ok(length) => length,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Ok(None),
            Err(e) => return Err(e),
        };
        let controlled = message.control_len();
        let (payload, control) = (read(payload), read(control));
        let ttl = ttl(control.get(..controlled).unwrap_or_default());
        let from = from.as_socket().map(|address| address.ip());
        let (Some(from), Some(ttl)) = (from, ttl) else { return Err(io::ErrorKind::InvalidData.into()) };
        Ok(Some(Datagram { from, ttl, payload, length }))
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket to send one session's packets from: TTL 255, a source port of its own (RFC 5881 §4).
pub(super) fn sender(family: Family, local: Option<IpAddr>) -> io::Result<Socket> {
    let socket = datagrams(family)?;
    sockopt::set_ttl(&socket, family, sockopt::TTL_MAX)?;
    // An address that comes later is no reason to fail now.
    match family {
        Family::Ipv4 => socket.set_freebind_v4(true)?,
        Family::Ipv6 => socket.set_freebind_v6(true)?,
    }
    let address = local.unwrap_or(unspecified(family));
    for port in FIRST_SOURCE_PORT..=u16::MAX {
        match socket.bind(&SocketAddr::new(address, port).into()) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
            other => return other.map(|()| socket),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn datagrams(family: Family) -> io::Result<Socket> {
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = match family {
        Family::Ipv4 => Socket::new(Domain::IPV4, kind, Some(Protocol::UDP))?,
        Family::Ipv6 => {
            let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::UDP))?;
            socket.set_only_v6(true)?;
            socket
        }
    };
    sockopt::set_priority(&socket, family)?;
    Ok(socket)
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[allow(unsafe_code)]
fn read<const N: usize>(octets: [MaybeUninit<u8>; N]) -> [u8; N] {
    // SAFETY: the callers fill the arrays with zeros before the kernel writes into them: every octet is initialised.
    octets.map(|octet| unsafe { octet.assume_init() })
}

/// The TTL or hop limit among control messages: `struct cmsghdr` of bits/socket.h, each padded to the size of a `long`.
fn ttl(mut control: &[u8]) -> Option<u8> {
    const WORD: usize = size_of::<usize>();
    loop {
        let (length, rest) = control.split_first_chunk::<WORD>()?;
        let (level, rest) = rest.split_first_chunk::<4>()?;
        let (kind, data) = rest.split_first_chunk::<4>()?;
        let kind = (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind));
        if [(libc::IPPROTO_IP, libc::IP_TTL), (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)].contains(&kind) {
            return u8::try_from(i32::from_ne_bytes(*data.first_chunk()?)).ok();
        }
        let length = usize::from_ne_bytes(*length);
        // A length that leads nowhere would be read for ever.
        let next = length.checked_next_multiple_of(WORD).filter(|next| *next >= WORD + 8)?;
        control = control.get(next..)?;
    }
}

/// Asks that the calling thread be run before others. Says what became of it.
#[allow(unsafe_code)]
pub(super) fn hurry() -> String {
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // `struct sched_param`, linux/sched/types.h. Asked of the kernel itself: musl's sched_setscheduler always refuses.
    let wish: i32 = REALTIME_PRIORITY;
    // SAFETY: the kernel reads one live, initialised integer and keeps no pointer to it; 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const wish) };
    if result == 0 {
        return "SCHED_FIFO".into();
    }
    let refused = io::Error::last_os_error();
    match rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        Ok(()) => format!("nice {NICE}, as SCHED_FIFO is refused: {refused}"),
        Err(error) => format!("none: SCHED_FIFO is refused: {refused}; nice {NICE} is refused: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let length = size_of::<usize>() + 8 + data.len();
        let mut octets = length.to_ne_bytes().to_vec();
        octets.extend(level.to_ne_bytes());
        octets.extend(kind.to_ne_bytes());
        octets.extend(data);
        octets.resize(length.next_multiple_of(size_of::<usize>()), 0);
        octets
    }

    #[test]
    fn the_ttl_is_found_among_other_control_messages() {
        let other = message(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[9; 12]);
        let v4 = message(libc::IPPROTO_IP, libc::IP_TTL, &255_i32.to_ne_bytes());
        let v6 = message(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &64_i32.to_ne_bytes());
        assert_eq!(ttl(&[other.clone(), v4].concat()), Some(255));
        assert_eq!(ttl(&v6), Some(64));
        assert_eq!(ttl(&other), None);
        assert_eq!(ttl(&[0; 64]), None, "a length of 0");
        assert_eq!(ttl(&[]), None);
    }
}
