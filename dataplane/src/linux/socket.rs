//! A netlink socket: the system calls, and nothing else.
//!
//! Every receive is bounded by a time; what does not come from the kernel itself is dropped.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A datagram larger than this is cut by the kernel; its own dumps stay below 32 KiB per datagram.
const DATAGRAM: usize = 1 << 17;

/// Which subsystem of the kernel answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// NETLINK_ROUTE: links, addresses, routes, neighbours.
    Route,
    /// NETLINK_NETFILTER: nftables.
    Netfilter,
}

impl Protocol {
    fn number(self) -> libc::c_int {
        match self {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
        }
    }
}

/// A bound netlink socket with strict checking, capped and extended acknowledgements.
#[derive(Debug)]
pub struct RawSocket {
    fd: OwnedFd,
    buffer: Vec<u8>,
    /// Octets that were asked for.
    send_buffer: i32,
}

impl RawSocket {
    /// Opens one in the calling thread's network namespace, where it stays whatever the thread does later.
    ///
    /// `answer_within` bounds each receive; `buffer_bytes` is asked for in both directions, beyond the system's limit
    /// where CAP_NET_ADMIN allows that, and up to it otherwise.
    pub fn open(protocol: Protocol, answer_within: Duration, buffer_bytes: i32) -> io::Result<RawSocket> {
        RawSocket::open_at(0, protocol, answer_within, buffer_bytes)
    }

    /// Like [`RawSocket::open`], at a port that was another socket's before; 0 leaves the choice to the kernel.
    pub fn open_at(port: u32, protocol: Protocol, answer_within: Duration, buffer_bytes: i32) -> io::Result<RawSocket> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: socket(2) takes plain numbers; the result is checked before it is owned.
        #[allow(unsafe_code)]
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol.number()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh from socket(2) and nobody else owns it.
        #[allow(unsafe_code)]
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = RawSocket { fd, buffer: vec![0; DATAGRAM], send_buffer: buffer_bytes };
        socket.bind(port)?;
        for (forced, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
            socket
                .set_option(libc::SOL_SOCKET, forced, &buffer_bytes)
                .or_else(|_| socket.set_option(libc::SOL_SOCKET, plain, &buffer_bytes))?;
        }
        for option in [libc::NETLINK_CAP_ACK, libc::NETLINK_EXT_ACK] {
            socket.set_option(libc::SOL_NETLINK, option, &1i32)?;
        }
        if protocol == Protocol::Route {
            // Linux 4.20. Without it the kernel ignores the filter of a dump.
            socket.set_option(libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, &1i32)?;
        }
        socket.answer_within(answer_within)?;
        Ok(socket)
    }

    fn bind(&self, port: u32) -> io::Result<()> {
        // SAFETY: sockaddr_nl is plain numbers, for which all zero bits are a value.
        #[allow(unsafe_code)]
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_pid = port;
        let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: the pointer and the length describe `address`, which outlives the call.
        #[allow(unsafe_code)]
        let result = unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), length) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The port, which the kernel names in each event that follows from a request of this socket.
    pub fn port(&self) -> io::Result<u32> {
        // SAFETY: sockaddr_nl is plain numbers, for which all zero bits are a value.
        #[allow(unsafe_code)]
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: the pointer and the length describe `address`, which outlives the call and is ours to write.
        #[allow(unsafe_code)]
        let result = unsafe { libc::getsockname(self.fd.as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(address.nl_pid) }
    }

    /// Has the kernel leave out messages of these kinds, or of every kind where none is named, that follow from requests of
    /// the socket at a port.
    pub fn leave_out(&self, port: u32, kinds: &[u16]) -> io::Result<()> {
        /// Offsets in `struct nlmsghdr`. A filter loads numbers as big-endian, and they are in host order.
        const KIND: u32 = 4;
        const PORT: u32 = 12;
        let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
        let load = |size: u32, offset: u32| step(libc::BPF_LD | libc::BPF_ABS | size, offset, 0, 0);
        let equal = |value: u32, jt: u8, jf: u8| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, jt, jf);
        let end = |octets: u32| step(libc::BPF_RET | libc::BPF_K, octets, 0, 0);
        let count = u8::try_from(kinds.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let from = u32::from_be_bytes(port.to_ne_bytes());
        let mut program = vec![load(libc::BPF_W, PORT)];
        if kinds.is_empty() {
            program.push(equal(from, 1, 0));
        } else {
            program.extend([equal(from, 0, count + 1), load(libc::BPF_H, KIND)]);
        }
        for (at, kind) in (0..count).zip(kinds) {
            program.push(equal(u32::from(u16::from_be_bytes(kind.to_ne_bytes())), count - at, 0));
        }
        program.extend([end(u32::MAX), end(0)]);
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // The pointer inside is to `program`, which outlives the call; the kernel copies what it points to.
        self.set_option(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
    }

    fn set_option<T>(&self, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
        let length = size_of::<T>() as libc::socklen_t;
        // SAFETY: the pointer and the length describe `value`, which outlives the call.
        #[allow(unsafe_code)]
        let result =
            unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Bounds each receive from now on. A duration of zero is taken as one microsecond, for zero would mean for ever.
    pub fn answer_within(&self, time: Duration) -> io::Result<()> {
        let time = time.max(Duration::from_micros(1));
        let value = libc::timeval {
            tv_sec: i32::try_from(time.as_secs()).unwrap_or(i32::MAX).into(),
            tv_usec: i32::try_from(time.subsec_micros()).unwrap_or_default().into(),
        };
        self.set_option(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &value)
    }

    /// Leaves room for so many octets, or as little as the kernel allows.
    #[cfg(test)]
    pub(super) fn receive_buffer(&self, bytes: i32) {
        self.set_option(libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes).unwrap();
    }

    /// Has room for a datagram of so many octets to be sent, beyond what was asked for when it was opened.
    pub fn leave_room_for(&mut self, octets: usize) -> io::Result<()> {
        let Ok(octets) = i32::try_from(octets) else { return Err(io::Error::from(io::ErrorKind::InvalidInput)) };
        // The kernel takes 32 octets of it for itself.
        let needed = octets.saturating_add(4096);
        if needed <= self.send_buffer {
            return Ok(());
        }
        self.set_option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &needed)?;
        self.send_buffer = needed;
        Ok(())
    }

    /// Joins a multicast group by its number (RTNLGRP_…, NFNLGRP_…).
    pub fn join(&self, group: u32) -> io::Result<()> {
        self.set_option(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &group)
    }

    /// Sends one datagram to the kernel, which has worked through all its messages when this returns.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            // SAFETY: the pointer and the length describe `bytes`, which outlives the call.
            #[allow(unsafe_code)]
            let sent = unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
            match usize::try_from(sent) {
                Ok(n) if n == bytes.len() => return Ok(()),
                Ok(_) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// What was received last, by the length that receiving it told.
    pub fn datagram(&self, length: usize) -> &[u8] {
        self.buffer.get(..length).unwrap_or_default()
    }

    /// Waits for the next datagram from the kernel and tells its length. `WouldBlock` when the time is up; ENOBUFS when the kernel had to drop some.
    pub fn receive(&mut self) -> io::Result<usize> {
        self.receive_with(0)
    }

    /// Like [`RawSocket::receive`], without waiting.
    pub fn receive_now(&mut self) -> io::Result<usize> {
        self.receive_with(libc::MSG_DONTWAIT)
    }

    fn receive_with(&mut self, flags: libc::c_int) -> io::Result<usize> {
        loop {
            // SAFETY: sockaddr_nl is plain numbers, for which all zero bits are a value.
            #[allow(unsafe_code)]
            let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
            let mut from_length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            // SAFETY: both pointer and length pairs describe memory that outlives the call and is ours to write.
            #[allow(unsafe_code)]
            let received = unsafe {
                libc::recvfrom(
                    self.fd.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    flags | libc::MSG_TRUNC,
                    (&raw mut from).cast(),
                    &raw mut from_length,
                )
            };
            let Ok(received) = usize::try_from(received) else {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            };
            if received > self.buffer.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a netlink datagram larger than 128 KiB"));
            }
            // Any process may send to a netlink socket's port; only port 0 is the kernel.
            if from.nl_pid == 0 {
                return Ok(received);
            }
        }
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until one of the descriptors can be read or has an error, or the time is up; says which, in their order.
pub fn wait(descriptors: &[BorrowedFd<'_>], at_most: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> =
        descriptors.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    // Rounded up, so that the time is really up; -1 is for ever.
    let timeout = at_most.map_or(-1, |time| i32::try_from(time.as_millis() + 1).unwrap_or(i32::MAX));
    let count = polled.len() as libc::nfds_t;
    // SAFETY: the pointer and the count describe `polled`, which outlives the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(polled.iter().map(|fd| fd.revents != 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_beyond_the_buffer_is_sent_once_there_is_room_for_it() {
        let mut socket = RawSocket::open(Protocol::Netfilter, Duration::from_secs(1), 1).unwrap();
        // No message at all, which the kernel takes without a word.
        let large = vec![0; 1 << 20];
        assert_eq!(socket.send(&large).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
        socket.leave_room_for(large.len()).unwrap();
        socket.send(&large).unwrap();
    }
}
