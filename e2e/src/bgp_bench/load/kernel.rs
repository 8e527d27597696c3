//! The routes of the contestant's kernel, watched from outside through its own announcements of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dataplane::linux::socket::{Protocol, RawSocket};

use super::seen::Seen;
use super::table::Shape;

/// RTNLGRP_IPV4_ROUTE (linux/rtnetlink.h).
const IPV4_ROUTE: u32 = 7;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTA_DST: u16 = 1;
/// `nlmsghdr` and `rtmsg`.
const HEADERS: usize = 28;
/// Room for the routes of a whole table.
const BUFFER: i32 = 512 << 20;

#[derive(Debug)]
pub(crate) struct KernelWatch {
    socket: RawSocket,
    pub(super) seen: Seen,
    /// Whether the kernel had to drop announcements: the figures are void.
    pub overrun: bool,
}

impl KernelWatch {
    /// Subscribes in the namespace of the calling thread.
    pub fn open(prefixes: usize) -> Result<KernelWatch> {
        let socket = RawSocket::open(Protocol::Route, Duration::from_millis(1), BUFFER)?;
        socket.join(IPV4_ROUTE).context("cannot watch the kernel's routes")?;
        Ok(KernelWatch { socket, seen: Seen::new(prefixes), overrun: false })
    }

    /// Reads all there is.
    pub fn read(&mut self, shape: Shape) -> Result<()> {
        for _ in 0..4096 {
            match self.socket.receive_now() {
                Ok(length) => {
                    let room = self.seen.room();
                    let seen = &mut self.seen;
                    routes(self.socket.datagram(length), |kind, address| match kind {
                        RTM_NEWROUTE => seen.enter(shape.index(address, room)),
                        RTM_DELROUTE => seen.leave(shape.index(address, room)),
                        _ => {}
                    });
                    seen.note(Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.overrun = true,
            }
        }
        Ok(())
    }
}

impl AsFd for KernelWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Every message's type with the IPv4 destination that it names.
fn routes(mut octets: &[u8], mut each: impl FnMut(u16, u32)) {
    while let (Some(length), Some(kind)) = (u32_at(octets, 0), u16_at(octets, 4)) {
        let length = length as usize;
        let Some(message) = octets.get(..length) else { return };
        let mut attributes = message.get(HEADERS..).unwrap_or_default();
        while let (Some(size), Some(name)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
            let size = usize::from(size);
            if let (RTA_DST, Some(Ok(address))) = (name, attributes.get(4..size).map(<[u8; 4]>::try_from)) {
                each(kind, u32::from_be_bytes(address));
            }
            if size < 4 {
                break;
            }
            attributes = attributes.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
        octets = octets.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
    }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}
