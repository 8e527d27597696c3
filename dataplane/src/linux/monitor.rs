//! What happens in the kernel, as events: a blocking reader for a thread of its own.
//!
//! It subscribes first and reads everything after, so that nothing falls between. Where the kernel is silent (it takes
//! IPv4 routes away with their link, or with the last address of one, and nexthop objects with their link's signal, and
//! says nothing of it) the routes are read again.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::attribute::{Message, attributes, messages, text, u8_at};
use super::decode;
use super::links;
use super::netlink::{NLM_F_REPLACE, Netlink, NetlinkError, rtm};
use super::nexthops;
use super::routes::{self, Whose};
use super::socket::{Protocol, RawSocket, wait};
use crate::actual::{Address, KernelEvent, Link, NftChange, Snapshot};
use crate::nexthop;
use crate::ours::Marked;

/// RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE (linux/rtnetlink.h).
const ROUTE_GROUPS: [u32; 5] = [1, 5, 7, 9, 11];
/// RTNLGRP_NEXTHOP; refused before Linux 5.3.
const NEXTHOP_GROUP: u32 = 32;
/// NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const NFT_GROUP: u32 = 7;
/// Room for some 40,000 events: a bulk change of ours is one of many.
const BUFFER: i32 = 32 << 20;
/// Datagrams read from one socket before the other gets its turn.
const TURN: usize = 1024;
/// A link that goes down is often one of several: their losses are read together.
const GATHER: Duration = Duration::from_millis(30);
/// Reading the routes again takes at most one part in so many of the time.
const REST: u32 = 10;
/// After a table that would not hold still.
const AGAIN: Duration = Duration::from_millis(100);

/// Ends a [`Monitor`] when dropped.
#[derive(Debug)]
pub struct Stopper(UnixStream);

impl Drop for Stopper {
    fn drop(&mut self) {
        // Markers may be left; a monitor that has ended already does not mind.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Stopper {
    /// Who may mark a moment among the events.
    pub fn marker(&self) -> io::Result<Marker> {
        self.0.try_clone().map(Marker)
    }
}

/// Marks moments among a [`Monitor`]'s events.
#[derive(Debug)]
pub struct Marker(UnixStream);

impl Marker {
    /// A [`KernelEvent::Marked`] follows, after everything that happened before this call.
    pub fn mark(&self) -> io::Result<()> {
        (&self.0).write_all(&[0])
    }
}

/// Subscribed to the kernel's events in one network namespace.
#[derive(Debug)]
pub struct Monitor {
    events: RawSocket,
    /// None where the kernel has no nftables; whoever programs a table there hears the reason.
    nft: Option<RawSocket>,
    asks: Netlink,
    stop: UnixStream,
    links: BTreeMap<u32, Link>,
    /// When the routes are to be read again, if they are.
    reread: Option<Instant>,
    /// When they may be read again at the earliest.
    rested: Instant,
    /// What the nftables transaction now being told means for our table.
    nft_change: Option<NftChange>,
}

impl Monitor {
    /// Subscribes in the network namespace of the calling thread.
    pub fn open() -> Result<(Monitor, Stopper), NetlinkError> {
        Monitor::with_buffer(BUFFER)
    }

    /// Leaves out what becomes of routes and nexthop objects by the requests of one conversation, whose owner knows.
    ///
    /// A full table is a hundred thousand such events; the kernel sorts them out. What others do meanwhile is told in no
    /// order with what is left out: see [`Marker`].
    pub fn without(self, port: u32) -> Result<Monitor, NetlinkError> {
        let kinds = [rtm::NEWROUTE, rtm::DELROUTE, rtm::NEWNEXTHOP, rtm::DELNEXTHOP];
        let failed = |error| NetlinkError::Socket { doing: "leave out own events", error };
        self.events.leave_out(port, &kinds).map_err(failed)?;
        Ok(self)
    }

    /// Leaves out what becomes of packet rules by the requests of one conversation: what is still told of our table is
    /// another's doing.
    pub fn without_rules_of(self, port: u32) -> Result<Monitor, NetlinkError> {
        let failed = |error| NetlinkError::Socket { doing: "leave out own events", error };
        self.nft.iter().try_for_each(|nft| nft.leave_out(port, &[])).map_err(failed)?;
        Ok(self)
    }

    /// With room for `bytes` of events that wait to be read.
    pub fn with_buffer(bytes: i32) -> Result<(Monitor, Stopper), NetlinkError> {
        let failed = |error| NetlinkError::Socket { doing: "subscribe to the kernel's events", error };
        let events = subscribe(Protocol::Route, &ROUTE_GROUPS, bytes).map_err(failed)?;
        // Without objects there is nothing to hear of them.
        let _ = events.join(NEXTHOP_GROUP);
        let nft = subscribe(Protocol::Netfilter, &[NFT_GROUP], bytes).ok();
        let (stop, stopper) = UnixStream::pair().map_err(failed)?;
        let monitor = Monitor {
            events,
            nft,
            asks: Netlink::route()?,
            stop,
            links: BTreeMap::new(),
            reread: None,
            rested: Instant::now(),
            nft_change: None,
        };
        Ok((monitor, Stopper(stopper)))
    }

    /// Hands every event to `each`, the first being a [`KernelEvent::Snapshot`], until the [`Stopper`] is dropped.
    pub fn run(mut self, mut each: impl FnMut(KernelEvent)) -> Result<(), NetlinkError> {
        self.snapshot(&mut each)?;
        loop {
            let now = Instant::now();
            let until = self.reread.map(|at| at.max(self.rested).saturating_duration_since(now));
            if until == Some(Duration::ZERO) {
                self.read_routes(&mut each)?;
                continue;
            }
            let mut descriptors = vec![self.stop.as_fd(), self.events.as_fd()];
            descriptors.extend(self.nft.as_ref().map(AsFd::as_fd));
            let ready = wait(&descriptors, until)
                .map_err(|error| NetlinkError::Socket { doing: "wait for the kernel's events", error })?;
            let is_ready = |at: usize| ready.get(at).copied().unwrap_or_default();
            // Before the events: what happened before a mark is told before it.
            let marks = if is_ready(0) { self.marks() } else { Some(0) };
            let Some(marks) = marks else { return Ok(()) };
            if is_ready(1) || marks > 0 {
                while self.read_events(&mut each)? && marks > 0 {}
            }
            (0..marks).for_each(|_| each(KernelEvent::Marked));
            if is_ready(2) {
                self.read_nft(&mut each)?;
            }
        }
    }

    /// How many marks are made since the last look; none if it is time to stop.
    fn marks(&mut self) -> Option<usize> {
        let mut marks = [0; 64];
        match (&self.stop).read(&mut marks) {
            Ok(0) | Err(_) => None,
            Ok(count) => Some(count),
        }
    }

    /// Reads everything. What changes meanwhile is told after it, once more perhaps.
    fn snapshot(&mut self, each: &mut impl FnMut(KernelEvent)) -> Result<(), NetlinkError> {
        let links = until_still(|| links::read(&mut self.asks))?;
        let addresses = until_still(|| links::addresses(&mut self.asks))?;
        let nexthops = until_still(|| nexthops::read(&mut self.asks))?;
        let routes = until_still(|| routes::read(&mut self.asks, Whose::All))?;
        self.links = links.iter().map(|link| (link.index, link.clone())).collect();
        self.reread = None;
        each(KernelEvent::Snapshot(Snapshot { links, addresses, routes, nexthops }));
        Ok(())
    }

    /// Reads the routes and their objects, as some went silently.
    fn read_routes(&mut self, each: &mut impl FnMut(KernelEvent)) -> Result<(), NetlinkError> {
        let begun = Instant::now();
        let nexthops = until_still(|| nexthops::read(&mut self.asks))?;
        let routes = until_still(|| routes::read(&mut self.asks, Whose::All))?;
        self.reread = None;
        self.rested = Instant::now() + begun.elapsed() * REST;
        nexthops.into_iter().for_each(|nexthops| each(KernelEvent::Nexthops(nexthops)));
        each(KernelEvent::Routes(routes));
        Ok(())
    }

    /// Tells what waits, but not more than is fair; says whether there is more.
    fn read_events(&mut self, each: &mut impl FnMut(KernelEvent)) -> Result<bool, NetlinkError> {
        for _ in 0..TURN {
            match self.events.receive_now() {
                Ok(length) => {
                    let datagram = self.events.datagram(length);
                    let told: Vec<Told> = messages(datagram).filter_map(|message| Told::read(&message)).collect();
                    told.into_iter().for_each(|told| self.tell(told, each));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    each(KernelEvent::Overrun);
                    drain(&mut self.events)?;
                    return self.snapshot(each).map(|()| false);
                }
                Err(error) => return Err(NetlinkError::Socket { doing: "receive events", error }),
            }
        }
        Ok(true)
    }

    fn tell(&mut self, told: Told, each: &mut impl FnMut(KernelEvent)) {
        match told {
            Told::Link(link) => {
                let before = self.links.insert(link.index, link.clone());
                if before.as_ref() == Some(&link) {
                    return;
                }
                let fell = |is: fn(&Link) -> bool| !is(&link) && before.as_ref().is_some_and(is);
                if fell(|link| link.up) || fell(nexthop::carries) {
                    self.lost(&link);
                }
                each(KernelEvent::Link(link));
            }
            Told::LinkGone(link) => {
                self.links.remove(&link.index);
                self.lost(&link);
                each(KernelEvent::LinkGone { index: link.index, name: link.name });
            }
            Told::AddressGone(address) => {
                if let Some(link) = self.links.get(&address.index).cloned() {
                    self.lost(&link);
                }
                each(KernelEvent::AddressGone(address));
            }
            Told::Event(event) => each(event),
        }
    }

    /// Routes may have gone with a link. A pod's carries its own route and no other, which needs no reading.
    fn lost(&mut self, link: &Link) {
        if !link.is_ours() {
            self.reread.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }

    fn read_nft(&mut self, each: &mut impl FnMut(KernelEvent)) -> Result<(), NetlinkError> {
        let Some(nft) = &mut self.nft else { return Ok(()) };
        for _ in 0..TURN {
            match nft.receive_now() {
                Ok(length) => {
                    for message in messages(nft.datagram(length)) {
                        read_nft_message(&message, &mut self.nft_change, each);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    drain(nft)?;
                    self.nft_change = None;
                    each(KernelEvent::NftTable(NftChange::Changed));
                }
                Err(error) => return Err(NetlinkError::Socket { doing: "receive nftables events", error }),
            }
        }
        Ok(())
    }
}

/// A message of the route groups, read.
enum Told {
    Link(Link),
    LinkGone(Link),
    AddressGone(Address),
    Event(KernelEvent),
}

impl Told {
    fn read(message: &Message<'_>) -> Option<Told> {
        Some(match message.kind {
            rtm::NEWLINK => Told::Link(decode::link(message)?),
            rtm::DELLINK => Told::LinkGone(decode::link(message)?),
            rtm::NEWADDR => Told::Event(KernelEvent::Address(decode::interface_address(message)?)),
            rtm::DELADDR => Told::AddressGone(decode::interface_address(message)?),
            rtm::NEWROUTE if message.flags & NLM_F_REPLACE != 0 => {
                Told::Event(KernelEvent::RouteReplaced(decode::route(message)?))
            }
            rtm::NEWROUTE => Told::Event(KernelEvent::Route(decode::route(message)?)),
            rtm::NEWNEXTHOP => Told::Event(KernelEvent::Nexthop(decode::nexthop(message)?)),
            rtm::DELNEXTHOP => Told::Event(KernelEvent::NexthopGone(decode::nexthop(message)?.id)),
            rtm::DELROUTE => Told::Event(KernelEvent::RouteGone(decode::route(message)?)),
            _ => return None,
        })
    }
}

/// Notes what an nftables message means for our table; a generation's message ends the transaction and tells it.
fn read_nft_message(message: &Message<'_>, change: &mut Option<NftChange>, each: &mut impl FnMut(KernelEvent)) {
    const NEWTABLE: u16 = libc::NFT_MSG_NEWTABLE as u16;
    const DELTABLE: u16 = libc::NFT_MSG_DELTABLE as u16;
    const NEWGEN: u16 = libc::NFT_MSG_NEWGEN as u16;
    const SUBSYSTEM: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;
    /// The table's name is attribute 1 of tables, chains, rules, sets and elements alike.
    const TABLE_NAME: u16 = 1;
    if message.kind >> 8 != SUBSYSTEM {
        return;
    }
    let kind = message.kind & 0xff;
    if kind == NEWGEN {
        if let Some(change) = change.take() {
            each(KernelEvent::NftTable(change));
        }
        return;
    }
    // `struct nfgenmsg` is 4 octets, of which the first is the family.
    let inet = u8_at(message.payload, 0).map(i32::from) == Some(libc::NFPROTO_INET);
    let mut attributes = attributes(message.payload.get(4..).unwrap_or_default());
    let table = attributes.find(|(kind, _)| *kind == TABLE_NAME).map(|(_, name)| text(name));
    if !inet || table.as_deref() != Some(model::kernel::NFT_TABLE) {
        return;
    }
    *change = Some(match (kind, *change) {
        (DELTABLE, _) => NftChange::Gone,
        (NEWTABLE, _) | (_, None) => NftChange::Changed,
        (_, Some(before)) => before,
    });
}

fn subscribe(protocol: Protocol, groups: &[u32], bytes: i32) -> io::Result<RawSocket> {
    let socket = RawSocket::open(protocol, AGAIN, bytes)?;
    groups.iter().try_for_each(|group| socket.join(*group))?;
    Ok(socket)
}

/// Throws away what waits: it is older than what will be read next.
fn drain(socket: &mut RawSocket) -> Result<(), NetlinkError> {
    loop {
        match socket.receive_now() {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(NetlinkError::Socket { doing: "receive events", error }),
        }
    }
}

/// Reads again while the table changes under the reading. Reading goes faster than any change we know of.
fn until_still<T>(mut read: impl FnMut() -> Result<T, NetlinkError>) -> Result<T, NetlinkError> {
    loop {
        match read() {
            Err(NetlinkError::Interrupted) => std::thread::sleep(AGAIN),
            result => return result,
        }
    }
}
