//! A speaker and one peer whose every octet a test chooses. The speaker is node 0 in AS 64512, the peer is node 1.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bgp::config::Dialling;
use bgp::speaker::{CloseReason, ConnId, StationOutput};
use bgp::wire::attr::Origin;
use bgp::wire::capability::{GracefulFamily, GracefulRestart};
use bgp::wire::{
    Attributes, Capability, Context, Framer, Message, NextHop, Nlri, Notification, Open, PeerKind, RouteRefresh,
    Transmit, encode, message,
};
use bgp::{Input, Output, PeerConfig, Speaker, SpeakerConfig};
use model::api::show::{PeerView, SessionState};
use model::{Asn, Family, RouterId, Time};

use super::sim_support::{address, asn, block, config, key, peer_with};

/// A message of the speaker, with its length in octets.
#[derive(Debug)]
pub struct Said {
    pub message: Message,
    pub octets: usize,
}

/// The speaker, and the peer's end of the connection.
pub struct Peer {
    pub speaker: Speaker,
    pub now: Time,
    pub conn: ConnId,
    /// Whether the connection is there.
    pub open: bool,
    /// What the speaker has said since the last look.
    pub said: Vec<Said>,
    /// Prefixes with a best path that the speaker has learned.
    pub routes: BTreeSet<String>,
    /// What stations were to get since the last look.
    pub monitored: Vec<StationOutput>,
    remote_as: Asn,
    framer: Framer,
    context: Context,
    heard: Framer,
}

/// A graceful restart of IPv4, with the bits of RFC 4724 and RFC 8538 by their letters: R, N, F.
pub fn restart(flags: &str) -> Capability {
    Capability::GracefulRestart(GracefulRestart {
        restarting: flags.contains('R'),
        notification: flags.contains('N'),
        restart_seconds: 120,
        families: vec![GracefulFamily { family: Family::Ipv4.into(), forwarding_kept: flags.contains('F') }],
    })
}

/// Attributes of a route of the peer.
pub fn attributes(path: &[u32]) -> Attributes {
    let mut draft = Attributes::new(Origin::Igp, NextHop::from(address(1))).edit();
    draft.set_as_path(&path.iter().map(|n| asn(*n)).collect::<Vec<_>>());
    draft.build()
}

impl Peer {
    /// A speaker that waits for a peer in this AS, with this change to what it has configured.
    pub fn new(remote_as: u32, change: impl FnOnce(&mut PeerConfig)) -> Peer {
        let mut config = config(0, 64512);
        peer_with(&mut config, 1, remote_as);
        config.peers.values_mut().for_each(|peer| peer.dial = Dialling::Passive);
        change(config.peers.get_mut(&key(1)).unwrap());
        Peer::of(config, remote_as)
    }

    /// A speaker with this configuration.
    pub fn of(config: SpeakerConfig, remote_as: u32) -> Peer {
        let mut speaker = Speaker::new(config, Time::START, 1);
        let conn = speaker.new_conn();
        let context = Context::new(PeerKind::External, Asn::TRANS);
        let mut heard = Framer::new();
        heard.extend_messages();
        let (framer, now) = (Framer::new(), Time::START);
        let (said, routes, remote_as) = (Vec::new(), BTreeSet::new(), asn(remote_as));
        let monitored = Vec::new();
        let open = false;
        let mut peer = Peer { speaker, now, conn, open, said, routes, monitored, remote_as, framer, context, heard };
        peer.outputs();
        peer
    }

    pub fn outputs(&mut self) {
        while let Some(output) = self.speaker.poll(self.now) {
            match output {
                Output::Route(change) => {
                    let prefix = change.prefix.to_string();
                    let _there_or_not = match change.best {
                        Some(_) => self.routes.insert(prefix),
                        None => self.routes.remove(&prefix),
                    };
                }
                Output::SetContext { conn, context } if conn == self.conn => {
                    self.framer.follow(&context);
                    self.context = context;
                }
                Output::Station { output, .. } => self.monitored.push(output),
                Output::Close { conn } if conn == self.conn => self.open = false,
                Output::Send { conn, bytes } if conn == self.conn => {
                    self.speaker.handle(self.now, Input::Drained { conn, octets: bytes.len() });
                    self.heard.push(&bytes);
                    while let Some(frame) = self.heard.next_frame().unwrap() {
                        let octets = frame.message_length();
                        let context = Context::new(PeerKind::Internal, asn(64512));
                        self.said.push(Said { message: Message::decode(frame, &context).unwrap(), octets });
                    }
                }
                _ => {}
            }
        }
    }

    pub fn input(&mut self, input: Input) {
        self.speaker.handle(self.now, input);
        self.outputs();
    }

    /// Lets time pass, without a word of the peer but the KEEPALIVEs that it owes.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.silence(Duration::from_secs(10).min(end.since(self.now)));
            if self.open {
                self.keepalive();
            }
        }
    }

    /// Lets time pass in which the peer is dumb.
    pub fn silence(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.speaker.deadline().map_or(end, |due| due.clamp(self.now, end));
            self.speaker.tick(self.now);
            self.outputs();
        }
    }

    /// The peer dials and says its OPEN.
    pub fn dial(&mut self, mut capabilities: Vec<Capability>) {
        self.conn = self.speaker.new_conn();
        self.open = true;
        self.framer = Framer::new();
        let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(address(1), 4000));
        self.input(Input::Accepted { conn: self.conn, local, remote });
        capabilities.push(Capability::FourOctetAs(Some(self.remote_as)));
        let router_id = RouterId::new(0x0a00_0002).unwrap();
        let mut octets = Vec::new();
        Open { asn: self.remote_as, hold_seconds: 90, router_id, capabilities }.encode(&mut octets);
        self.send(&octets);
    }

    /// The session comes up.
    pub fn establish(&mut self, capabilities: Vec<Capability>) {
        self.dial(capabilities);
        self.keepalive();
        assert_eq!(self.view().state, SessionState::Established, "{}", self.view().reason);
    }

    pub fn keepalive(&mut self) {
        let mut octets = Vec::new();
        message::encode_keepalive(&mut octets);
        self.send(&octets);
    }

    /// Octets as the agent's connection takes them: framed and decoded under the latest context.
    pub fn send(&mut self, octets: &[u8]) {
        self.framer.push(octets);
        while self.open {
            let decoded = match self.framer.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => Message::decode(frame, &self.context),
                Err(notification) => Err(notification),
            };
            let conn = self.conn;
            self.input(match decoded {
                Ok(message) => Input::Message { conn, message },
                Err(notification) => Input::DecodeError { conn, notification },
            });
        }
    }

    pub fn announce(&mut self, attributes: &Attributes, blocks: &[usize]) {
        let prefixes = blocks.iter().map(|n| Nlri::plain(block(*n)));
        let mut octets = Vec::new();
        encode::updates(Family::Ipv4, attributes, prefixes, &Transmit::PLAIN, &mut octets).unwrap();
        self.send(&octets);
    }

    pub fn refresh(&mut self, message: RouteRefresh) {
        let mut octets = Vec::new();
        message.encode(&mut octets);
        self.send(&octets);
    }

    pub fn end_of_rib(&mut self) {
        let mut octets = Vec::new();
        encode::end_of_rib(Family::Ipv4, &mut octets);
        self.send(&octets);
    }

    pub fn notify(&mut self, notification: &Notification) {
        let mut octets = Vec::new();
        notification.encode(&mut octets);
        self.send(&octets);
    }

    /// The connection is reset.
    pub fn lose(&mut self) {
        self.open = false;
        self.input(Input::Closed { conn: self.conn, reason: CloseReason::Reset });
    }

    pub fn knows(&self, n: usize) -> bool {
        self.routes.contains(&block(n).to_string())
    }

    pub fn view(&self) -> PeerView {
        self.speaker.peers().remove(0).view
    }

    /// The NOTIFICATION that the speaker has sent.
    pub fn told(&self) -> Option<&Notification> {
        self.said.iter().find_map(|said| match &said.message {
            Message::Notification(told) => Some(told),
            _ => None,
        })
    }

    /// The OPEN that the speaker has sent.
    pub fn their_open(&self) -> &Open {
        let open = self.said.iter().find_map(|said| match &said.message {
            Message::Open(open) => Some(open),
            _ => None,
        });
        open.unwrap_or_else(|| panic!("no OPEN"))
    }
}
