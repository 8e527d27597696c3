//! What the HostEndpoints of this node say of one packet: the rules that [`Hosts`] lays, asked in the kernel's order.

use std::net::IpAddr;

use model::api::show::{JudgedView, PolicyVerdict};
use policy::program::{Chains, Program};
use policy::{Direction, Head, Packet};

use super::hosts::{FIRST, Hosts, LOCAL_IN, LOCAL_OUT, RAW_IN, RAW_OUT, Stage, THROUGH_IN, THROUGH_OUT};
use crate::plan::judged::{judge_by, plain};

/// The links that a packet comes and leaves by.
#[derive(Debug, Clone, Copy)]
pub enum Passage<'a> {
    /// By a link to the node itself.
    In(&'a str),
    /// By a link to the node itself, from a pod that no HostEndpoint's policies are asked about there.
    InUnasked(&'a str),
    /// From the node itself by a link.
    Out(&'a str),
    /// By one link and on by another.
    Through(&'a str, &'a str),
}

/// What the policies about a link say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The link.
    pub link: String,
    /// Their verdict.
    pub judged: JudgedView,
}

impl Hosts {
    /// What is said of a packet that opens a connection, up to the first refusal; nothing, where no link has policies.
    pub fn ask(&self, program: &Program, packet: &Packet, passage: Passage<'_>) -> Vec<Answer> {
        let mut asking = Asking { hosts: self, program, packet, answers: Vec::new() };
        // A refusal has been noted, and nothing follows it.
        let _ = asking.go(passage);
        asking.answers
    }

    fn of_link(&self, link: &str) -> Option<&Chains> {
        self.named.get(link).or(self.all.as_ref())
    }

    /// Why no policy closes the node to a packet, or a peer's port to the node.
    fn opened(&self, direction: Direction, packet: &Packet) -> Option<&'static str> {
        let Head::Ports { destination: port, .. } = packet.head else { return None };
        let (ports, other): (_, IpAddr) = match direction {
            Direction::Ingress => (&self.inbound, packet.from),
            Direction::Egress => (&self.outbound, packet.to),
        };
        if self.sessions.have(direction, other, (packet.protocol, port)) {
            return Some("a session of the node's with its peer: no policy closes it");
        }
        let is_open = ports.iter().any(|open| {
            (open.protocol, open.port) == (packet.protocol, port) && open.net.is_none_or(|net| net.contains(other))
        });
        is_open.then_some("a failsafe port: no policy closes it")
    }
}

/// The packet has ended.
struct Ended;

/// How a packet goes on.
#[derive(Debug, Clone, Copy)]
enum On {
    /// A rule has allowed it.
    Allowed,
    /// No policy may close it, and why.
    Opened(&'static str),
    /// Nobody minds.
    Unasked,
}

struct Asking<'a> {
    hosts: &'a Hosts,
    program: &'a Program,
    packet: &'a Packet,
    answers: Vec<Answer>,
}

impl Asking<'_> {
    fn go(&mut self, passage: Passage<'_>) -> Result<(), Ended> {
        match passage {
            Passage::In(link) => match self.enter(link)? {
                On::Allowed => {}
                On::Opened(why) => self.open(LOCAL_IN, link, why),
                On::Unasked => _ = self.judge(LOCAL_IN, link)?,
            },
            Passage::InUnasked(link) => _ = self.enter(link)?,
            Passage::Out(link) => self.leave(link)?,
            Passage::Through(from, to) => {
                if !matches!(self.enter(from)?, On::Allowed) {
                    self.judge(THROUGH_IN, from)?;
                }
                self.judge(THROUGH_OUT, to)?;
            }
        }
        Ok(())
    }

    /// Before it is known where the packet goes. What is allowed here is asked about no more where it comes in.
    fn enter(&mut self, link: &str) -> Result<On, Ended> {
        if let Some(why) = self.hosts.opened(Direction::Ingress, self.packet) {
            return Ok(On::Opened(why));
        }
        match self.judge(RAW_IN, link)? {
            On::Unasked => self.judge(FIRST, link),
            on => Ok(on),
        }
    }

    fn leave(&mut self, link: &str) -> Result<(), Ended> {
        if let Some(why) = self.hosts.opened(Direction::Egress, self.packet) {
            self.open(LOCAL_OUT, link, why);
            return Ok(());
        }
        match self.judge(RAW_OUT, link)? {
            On::Unasked => self.judge(LOCAL_OUT, link).map(drop),
            _ => Ok(()),
        }
    }

    /// Notes that a packet is not asked about, where it would be.
    fn open(&mut self, stage: Stage, link: &str, why: &str) {
        if self.hosts.of_link(link).is_some_and(|chains| stage.chain(chains).is_some()) {
            self.note(link, plain(PolicyVerdict::Allowed, why));
        }
    }

    fn judge(&mut self, stage: Stage, link: &str) -> Result<On, Ended> {
        let key = self.hosts.of_link(link).and_then(|chains| stage.chain(chains));
        let Some(chain) = key.and_then(|key| self.program.chains.get(key)) else { return Ok(On::Unasked) };
        let judged = judge_by(self.program, chain, self.packet);
        let (denied, by_rule) = (judged.verdict == PolicyVerdict::Denied, judged.rule.is_some());
        // Where only a rule's word counts, silence says nothing.
        if denied || by_rule || !stage.is_early() {
            self.note(link, judged);
        }
        match () {
            () if denied => Err(Ended),
            () if by_rule => Ok(On::Allowed),
            () => Ok(On::Unasked),
        }
    }

    fn note(&mut self, link: &str, judged: JudgedView) {
        self.answers.push(Answer { link: link.into(), judged });
    }
}
