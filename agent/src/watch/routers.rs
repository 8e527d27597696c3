//! Routers on links: hears who advertises itself, and advertises this node to them (RFC 4861).
//!
//! What unnumbered peering stands on: two routers on a link learn each other's link-local address from these messages, and
//! from nothing else. This node says that it is no default router (lifetime 0), so that no host turns to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::Family;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::bfd::kernel::Receiver;
use crate::fact::Fact;
use crate::speaker::sockopt;
use crate::world::ROUTERS_OF_A_LINK;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// ICMPv6 types (RFC 4861 §4.1, §4.2).
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// From one advertisement to the next, and how soon one may follow another (RFC 4861 §6.2.1, MIN_DELAY_BETWEEN_RAS).
const INTERVAL: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_secs(3);
/// How many come at the shortest interval at first (MAX_INITIAL_RTR_ADVERTISEMENTS).
const INITIAL: u32 = 3;
/// How long to wait before a link that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a router is believed to be there that says nothing: the default of AdvDefaultLifetime (RFC 4861 §6.2.1).
const LIFETIME: Duration = Duration::from_secs(1800);

/// The links that are watched, each by a thread of its own.
#[derive(Debug)]
pub struct Routers {
    facts: mpsc::Sender<Fact>,
    /// By interface; the flag ends the thread.
    watched: BTreeMap<NonZeroU32, Arc<AtomicBool>>,
}

impl Routers {
    /// Watches nothing yet.
    pub fn new(facts: mpsc::Sender<Fact>) -> Routers {
        Routers { facts, watched: BTreeMap::new() }
    }

    /// Watches the links of these interfaces and no others.
    pub fn want(&mut self, links: &BTreeSet<NonZeroU32>) {
        self.watched.retain(|link, ended| {
            let kept = links.contains(link);
            ended.store(!kept, Ordering::Relaxed);
            kept
        });
        for link in links {
            if self.watched.contains_key(link) {
                continue;
            }
            let ended = Arc::new(AtomicBool::new(false));
            let (watch, flag) = (Watch::new(*link, self.facts.clone()), ended.clone());
            let thread = std::thread::Builder::new().name(format!("routers-{link}"));
            match thread.spawn(move || watch.run(&flag)) {
                Ok(_) => drop(self.watched.insert(*link, ended)),
                Err(error) => warn!(%error, "the routers on a link cannot be watched"),
            }
        }
    }
}

impl Drop for Routers {
    fn drop(&mut self) {
        self.watched.values().for_each(|ended| ended.store(true, Ordering::Relaxed));
    }
}

/// One link.
struct Watch {
    link: NonZeroU32,
    facts: mpsc::Sender<Fact>,
    /// Routers, and when each was heard last.
    heard: BTreeMap<Ipv6Addr, Instant>,
    /// Why the link could not be listened to, as was last said.
    problem: Option<String>,
}

impl Watch {
    fn new(link: NonZeroU32, facts: mpsc::Sender<Fact>) -> Watch {
        Watch { link, facts, heard: BTreeMap::new(), problem: None }
    }

    /// Until the flag says so; it is looked at when something is due.
    fn run(mut self, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            // The interface is down or not there any more: the plan will say.
            if let Err(error) = self.converse(ended) {
                let problem = error.to_string();
                if self.problem.as_ref() != Some(&problem) {
                    warn!(link = self.link, %error, "the routers on a link cannot be heard");
                }
                self.problem = Some(problem);
                std::thread::sleep(AGAIN);
            }
        }
    }

    fn converse(&mut self, ended: &AtomicBool) -> io::Result<()> {
        let socket = open(self.link)?;
        let link = self.link.get();
        let to = |group: Ipv6Addr| SocketAddrV6::new(group, 0, 0, link).into();
        // Type, code, checksum (the kernel's business), reserved.
        socket.send_to(&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0], &to(ALL_ROUTERS))?;
        let (mut sent, mut due) = (0, Instant::now());
        let receiver = Receiver::of(socket.try_clone()?);
        if self.problem.take().is_some() {
            info!(link = self.link, "the routers on a link can be heard again");
        }
        while !ended.load(Ordering::Relaxed) {
            let now = Instant::now();
            if due <= now {
                self.forget_silent(now);
                // Hop limit and flags unspecified, lifetime 0, timers unspecified.
                socket.send_to(&[ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &to(ALL_NODES))?;
                sent += 1;
                due = now + if sent < INITIAL { SHORTEST } else { INTERVAL };
            }
            socket.set_read_timeout(Some(due.saturating_duration_since(now).max(Duration::from_millis(1))))?;
            let Some(datagram) = receiver.next()? else { continue };
            // From further away, or from no address of the link: forged (RFC 4861 §6.1).
            let (255, IpAddr::V6(from)) = (datagram.ttl, datagram.from) else { continue };
            match datagram.payload().first() {
                Some(&SOLICITATION) => due = due.min(Instant::now() + SHORTEST),
                Some(&ADVERTISEMENT) if from.is_unicast_link_local() => self.hear(from),
                _ => {}
            }
        }
        Ok(())
    }

    fn hear(&mut self, from: Ipv6Addr) {
        let (now, room) = (Instant::now(), self.heard.len() < ROUTERS_OF_A_LINK);
        match self.heard.get_mut(&from) {
            Some(last) => *last = now,
            None if room => {
                self.heard.insert(from, now);
                self.tell(Fact::Router { interface: self.link, address: from });
            }
            None => {}
        }
    }

    fn forget_silent(&mut self, now: Instant) {
        let silent: Vec<Ipv6Addr> = self
            .heard
            .extract_if(.., |_, last| now.duration_since(*last) > LIFETIME)
            .map(|(router, _)| router)
            .collect();
        silent.into_iter().for_each(|address| self.tell(Fact::RouterGone { interface: self.link, address }));
    }

    fn tell(&self, fact: Fact) {
        // Nobody listens any more: the agent is ending.
        drop(self.facts.blocking_send(fact));
    }
}

/// A socket for these two types of ICMPv6, on this link only, with the hop limit that they must have.
fn open(link: NonZeroU32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW.cloexec(), Some(Protocol::ICMPV6))?;
    sockopt::set_icmpv6_types(&socket, &[SOLICITATION, ADVERTISEMENT])?;
    sockopt::set_receive_ttl(&socket, Family::Ipv6)?;
    socket.bind_device_by_index_v6(Some(link))?;
    socket.set_multicast_if_v6(link.get())?;
    socket.set_multicast_hops_v6(u32::from(u8::MAX))?;
    socket.set_multicast_loop_v6(false)?;
    socket.join_multicast_v6(&ALL_ROUTERS, link.get())?;
    Ok(socket)
}
