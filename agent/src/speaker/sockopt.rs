//! Options of BGP's and BFD's sockets that the standard library does not know: TCP-MD5, GTSM, marking.

use std::io;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use bgp::config::Secret;
use model::{Family, Prefix};
use socket2::SockRef;

/// What routers send with: packets of routing protocols go first (DSCP CS6, RFC 4594 §3.2).
const DSCP_CS6: u32 = 0xc0;
/// TTL of sessions without GTSM: Linux's default, as Calico's peers are `multihop`.
const TTL: u32 = 64;
/// TTL of sessions with GTSM, and of every SYN-ACK: a dialling peer may want it (RFC 5082 §3).
pub const TTL_MAX: u32 = 255;

/// The key is for all addresses of a prefix (linux/tcp.h).
const TCP_MD5SIG_FLAG_PREFIX: u8 = 1;

/// `struct tcp_md5sig`, linux/tcp.h.
#[repr(C, align(8))]
struct TcpMd5Sig {
    /// `struct sockaddr_storage`: family in the host's order, then port, then for IPv6 the flow label, then the address.
    address: [u8; 128],
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    ifindex: i32,
    key: [u8; libc::TCP_MD5SIG_MAXKEYLEN],
}

impl TcpMd5Sig {
    fn new(peers: Prefix, key: &[u8]) -> io::Result<TcpMd5Sig> {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "a TCP-MD5 password has at most 80 octets");
        let mut sig = TcpMd5Sig {
            address: [0; 128],
            flags: TCP_MD5SIG_FLAG_PREFIX,
            prefix_length: peers.length(),
            key_length: u16::try_from(key.len()).map_err(|_| too_long())?,
            ifindex: 0,
            key: [0; libc::TCP_MD5SIG_MAXKEYLEN],
        };
        sig.key.get_mut(..key.len()).ok_or_else(too_long)?.copy_from_slice(key);
        let (family, at, octets) = match peers.address() {
            IpAddr::V4(a) => (libc::AF_INET, 4, a.octets().to_vec()),
            IpAddr::V6(a) => (libc::AF_INET6, 8, a.octets().to_vec()),
        };
        let family = u16::try_from(family).unwrap_or_default().to_ne_bytes();
        for (place, octet) in sig.address.iter_mut().zip(family) {
            *place = octet;
        }
        for (place, octet) in sig.address.iter_mut().skip(at).zip(octets) {
            *place = octet;
        }
        Ok(sig)
    }
}

/// Signs all that goes to these peers over this socket, and drops all from them that is not signed so (RFC 2385). On a
/// listener it is one of many keys, of which the longest prefix counts; without a password the peers' key is removed.
///
/// # Errors
/// Where the kernel has no TCP-MD5 (`CONFIG_TCP_MD5SIG`) or the password has more than 80 octets.
pub fn set_password(socket: &impl AsFd, peers: Prefix, password: Option<&Secret>) -> io::Result<()> {
    let sig = TcpMd5Sig::new(peers, password.map_or("", Secret::expose).as_bytes())?;
    match set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &sig) {
        // Nothing to remove.
        Err(e) if password.is_none() && e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// How near a peer has to be: GTSM (RFC 5082) over at most so many hops, or any distance.
///
/// # Errors
/// Those of `setsockopt`.
pub fn set_distance(socket: &impl AsFd, family: Family, hops: Option<u8>) -> io::Result<()> {
    let ttl = if hops.is_some() { TTL_MAX } else { TTL };
    set_ttl(socket, family, ttl)?;
    set_least_ttl(socket, family, hops)
}

/// Drops what comes from further away than so many hops (RFC 5082 §3); on a listener the SYN already.
///
/// # Errors
/// Those of `setsockopt`.
pub fn set_least_ttl(socket: &impl AsFd, family: Family, hops: Option<u8>) -> io::Result<()> {
    let least = hops.map_or(0, |hops| i32::from(u8::MAX) - i32::from(hops.max(1)) + 1);
    let (level, option) = match family {
        Family::Ipv4 => (libc::IPPROTO_IP, libc::IP_MINTTL),
        Family::Ipv6 => (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT),
    };
    set(socket, level, option, &least)
}

/// The TTL, or hop limit, of what is sent.
pub fn set_ttl(socket: &impl AsFd, family: Family, ttl: u32) -> io::Result<()> {
    match family {
        Family::Ipv4 => SockRef::from(socket).set_ttl_v4(ttl),
        Family::Ipv6 => SockRef::from(socket).set_unicast_hops_v6(ttl),
    }
}

/// Has each datagram say with which TTL, or hop limit, it came (`IP_RECVTTL`, `IPV6_RECVHOPLIMIT`).
pub fn set_receive_ttl(socket: &impl AsFd, family: Family) -> io::Result<()> {
    let on: i32 = 1;
    match family {
        Family::Ipv4 => set(socket, libc::IPPROTO_IP, libc::IP_RECVTTL, &on),
        Family::Ipv6 => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &on),
    }
}

/// Lets only these types of ICMPv6 through to a raw socket (`struct icmp6_filter`, linux/icmpv6.h: a bit blocks).
pub fn set_icmpv6_types(socket: &impl AsFd, types: &[u8]) -> io::Result<()> {
    const ICMPV6_FILTER: i32 = 1;
    let mut filter = [u32::MAX; 8];
    for kind in types {
        if let Some(word) = filter.get_mut(usize::from(kind / 32)) {
            *word &= !(1 << (kind % 32));
        }
    }
    set(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &filter)
}

/// What every session's socket has: no Nagle delay, DSCP CS6.
pub fn set_common(socket: &impl AsFd, family: Family) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)?;
    set_priority(socket, family)
}

/// DSCP CS6.
pub fn set_priority(socket: &impl AsFd, family: Family) -> io::Result<()> {
    let socket = SockRef::from(socket);
    match family {
        Family::Ipv4 => socket.set_tos_v4(DSCP_CS6),
        Family::Ipv6 => socket.set_tclass_v6(DSCP_CS6),
    }
}

/// Lets the process have as many sockets as it may: a reflector's clients are a descriptor each, and the usual soft limit
/// is 1024. Says how many there may be.
///
/// # Errors
/// Those of `getrlimit` and `setrlimit`.
#[allow(unsafe_code)]
pub fn raise_descriptors() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit` into a live one, and keeps no pointer to it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one live, initialised `rlimit`, and keeps no pointer to it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[allow(unsafe_code)]
fn set<T>(socket: &impl AsFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open as long as it is borrowed; the kernel reads `length` octets at `value`, which is a
    // live, initialised `repr(C)` value (or an integer) of exactly this size, and keeps no pointer to it.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const *value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_md5sig_is_laid_out_as_in_linux_tcp_h() {
        assert_eq!(size_of::<TcpMd5Sig>(), 216);
        let sig = TcpMd5Sig::new(Prefix::host([10, 0, 0, 1].into()), b"secret").expect("short enough");
        assert_eq!(sig.address[..8], [2, 0, 0, 0, 10, 0, 0, 1]);
        assert_eq!((sig.key_length, &sig.key[..7]), (6, &b"secret\0"[..]));
    }

    #[test]
    fn there_may_be_as_many_sockets_as_the_hard_limit_says() {
        let most = raise_descriptors().expect("limits");
        let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[3], words[4]), (most.to_string().as_str(), most.to_string().as_str()), "{line}");
    }

    #[test]
    fn a_password_of_more_than_80_octets_is_refused() {
        assert!(TcpMd5Sig::new(Prefix::host([10, 0, 0, 1].into()), &[b'x'; 81]).is_err());
    }
}
