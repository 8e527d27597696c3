//! Inputs in any order that no orderly owner or peer would choose: nothing panics, spins, or speaks on a closed connection.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim_support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bgp::speaker::{CloseReason, ConnId, ConnectError};
use bgp::wire::notification::{cease, header};
use bgp::wire::{
    Attributes, Capability, Context, Frame, Framer, Message, NextHop, Nlri, Notification, Open, PeerKind, RefreshKind,
    RouteRefresh, Transmit, attr::Origin, encode,
};
use bgp::{Input, Output, Speaker, SpeakerConfig};
use model::{Family, Prefix, RouterId, Time};
use proptest::prelude::*;
use sim_support::{address, asn, block, config, key, peer_with};

/// One thing that may happen. A connection is named by its place among all that ever were.
#[derive(Debug, Clone)]
enum Act {
    Accept { from: usize },
    Connected { conn: usize },
    ConnectFailed { conn: usize },
    Say { conn: usize, what: What },
    Closed { conn: usize },
    Undecodable { conn: usize },
    Drained { conn: usize, octets: usize },
    Configure(usize),
    Refresh { peer: usize },
    Shutdown,
    Wait { millis: u64 },
}

#[derive(Debug, Clone, Copy)]
enum What {
    Open { asn: u32, id: u32, hold: u16 },
    Keepalive,
    Notification,
    Announce(u8),
    Withdraw(u8),
    EndOfRib,
    Refresh(RefreshKind),
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        (prop_oneof![Just(65001u32), Just(64512), Just(23456)], 1u32..5, prop_oneof![Just(0u16), Just(3), Just(90)])
            .prop_map(|(asn, id, hold)| What::Open { asn, id, hold }),
        (64512u32..65002).prop_map(|asn| What::Open { asn, id: 7, hold: 90 }),
        Just(What::Keepalive),
        Just(What::Keepalive),
        Just(What::Notification),
        any::<u8>().prop_map(What::Announce),
        any::<u8>().prop_map(What::Withdraw),
        Just(What::EndOfRib),
        prop_oneof![Just(RefreshKind::Request), Just(RefreshKind::Begin), Just(RefreshKind::End)]
            .prop_map(What::Refresh),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let conn = || 0usize..12;
    prop_oneof![
        (0usize..4).prop_map(|from| Act::Accept { from }),
        conn().prop_map(|conn| Act::Connected { conn }),
        conn().prop_map(|conn| Act::ConnectFailed { conn }),
        (conn(), what()).prop_map(|(conn, what)| Act::Say { conn, what }),
        (conn(), what()).prop_map(|(conn, what)| Act::Say { conn, what }),
        (conn(), what()).prop_map(|(conn, what)| Act::Say { conn, what }),
        conn().prop_map(|conn| Act::Closed { conn }),
        conn().prop_map(|conn| Act::Undecodable { conn }),
        (conn(), 0usize..5000).prop_map(|(conn, octets)| Act::Drained { conn, octets }),
        (0usize..4).prop_map(Act::Configure),
        (0usize..4).prop_map(|peer| Act::Refresh { peer }),
        Just(Act::Shutdown),
        (0u64..200_000).prop_map(|millis| Act::Wait { millis }),
    ]
}

fn decoded(octets: &[u8]) -> Message {
    let mut framer = Framer::new();
    framer.push(octets);
    let frame: Frame = framer.next_frame().unwrap().unwrap();
    Message::decode(frame, &Context::new(PeerKind::Internal, asn(64512))).unwrap()
}

fn message(what: What) -> Message {
    let prefix = |n: u8| Nlri::plain(block(n.into()));
    let mut octets = Vec::new();
    match what {
        What::Open { asn: number, id, hold } => {
            return Message::Open(Open {
                asn: asn(number),
                hold_seconds: hold,
                router_id: RouterId::new(id).unwrap(),
                capabilities: vec![
                    Capability::FourOctetAs(Some(asn(number))),
                    Capability::EnhancedRouteRefresh,
                    Capability::ExtendedMessage,
                ],
            });
        }
        What::Keepalive => return Message::Keepalive,
        What::Notification => return Message::Notification(Notification::new(cease::ADMINISTRATIVE_RESET)),
        What::Refresh(kind) => return Message::RouteRefresh(RouteRefresh { family: Some(Family::Ipv4), kind }),
        What::Announce(n) => {
            let attributes = Attributes::new(Origin::Igp, NextHop::from(address(n.into())));
            encode::updates(Family::Ipv4, &attributes, [prefix(n)], &Transmit::PLAIN, &mut octets).unwrap();
        }
        What::Withdraw(n) => {
            encode::withdrawals::<Prefix>(Family::Ipv4, [prefix(n)], &Transmit::PLAIN, &mut octets);
        }
        What::EndOfRib => encode::end_of_rib(Family::Ipv4, &mut octets),
    }
    decoded(&octets)
}

/// Two peers, one external and one internal; variants differ in what a change of them resets.
fn wanted(variant: usize) -> SpeakerConfig {
    let mut config = config(0, 64512);
    for node in 1..=2 {
        peer_with(&mut config, node, if node == 1 { 65001 } else { 64512 });
    }
    if variant == 1 {
        config.peers.remove(&key(2));
    }
    if variant == 2 {
        for peer in config.peers.values_mut() {
            (peer.ttl_security, peer.max_prefixes) = (Some(1), Some(1.into()));
        }
        config.originate.clear();
    }
    if variant == 3 {
        config.router_id = RouterId::new(99).unwrap();
    }
    config
}

/// A speaker and the connections that its owner would have.
struct Owner {
    speaker: Speaker,
    now: Time,
    all: Vec<ConnId>,
    open: BTreeSet<ConnId>,
    dials: BTreeSet<ConnId>,
}

impl Owner {
    fn outputs(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..10_000 {
            let Some(output) = self.speaker.poll(self.now) else { return Ok(()) };
            match output {
                Output::Connect(dial) => {
                    self.all.push(dial.conn);
                    self.dials.insert(dial.conn);
                }
                Output::Close { conn } => {
                    let was = self.open.remove(&conn) || self.dials.remove(&conn);
                    prop_assert!(was, "closes {:?}, which is gone", conn);
                }
                Output::Send { conn, .. } | Output::SetContext { conn, .. } => {
                    prop_assert!(self.open.contains(&conn), "speaks on {:?}, which is gone", conn);
                }
                _ => {}
            }
        }
        Err(TestCaseError::fail("outputs without end"))
    }

    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        let local = SocketAddr::new(address(0), 179);
        let conn = |n: usize| self.all.get(n).copied();
        let input = match *act {
            Act::Accept { from } => {
                let conn = self.speaker.new_conn();
                self.all.push(conn);
                self.open.insert(conn);
                Some(Input::Accepted { conn, local, remote: SocketAddr::new(address(from), 5000) })
            }
            Act::Connected { conn: n } => conn(n).filter(|conn| self.dials.remove(conn)).map(|conn| {
                self.open.insert(conn);
                Input::Connected { conn, local, remote: SocketAddr::new(address(1), 179) }
            }),
            Act::ConnectFailed { conn: n } => conn(n)
                .filter(|conn| self.dials.remove(conn))
                .map(|conn| Input::ConnectFailed { conn, reason: ConnectError::Refused }),
            // Late messages of closed connections are as likely as others.
            Act::Say { conn: n, what } => conn(n).map(|conn| Input::Message { conn, message: message(what) }),
            Act::Closed { conn: n } => conn(n)
                .filter(|conn| self.open.remove(conn))
                .map(|conn| Input::Closed { conn, reason: CloseReason::Reset }),
            Act::Undecodable { conn: n } => conn(n)
                .map(|conn| Input::DecodeError { conn, notification: Notification::new(header::NOT_SYNCHRONIZED) }),
            Act::Drained { conn: n, octets } => conn(n).map(|conn| Input::Drained { conn, octets }),
            Act::Configure(variant) => Some(Input::Configure(Box::new(wanted(variant)))),
            Act::Refresh { peer } => Some(Input::Refresh { peer: key(peer) }),
            Act::Shutdown => Some(Input::Shutdown { message: "bye".into() }),
            Act::Wait { millis } => {
                self.now = self.now + Duration::from_millis(millis);
                None
            }
        };
        if let Some(input) = input {
            self.speaker.handle(self.now, input);
            self.outputs()?;
        }
        self.speaker.tick(self.now);
        self.outputs()?;
        let deadline = self.speaker.deadline();
        prop_assert!(
            deadline.is_none_or(|at| at > self.now),
            "{:?} is not after {:?}: it would spin",
            deadline,
            self.now
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_spins_or_speaks_on_a_closed_connection(
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 0..120),
    ) {
        let speaker = Speaker::new(wanted(0), Time::START, seed);
        let mut owner =
            Owner { speaker, now: Time::START, all: Vec::new(), open: BTreeSet::new(), dials: BTreeSet::new() };
        owner.outputs()?;
        for act in &acts {
            owner.act(act)?;
        }
        owner.act(&Act::Configure(0))?;
        prop_assert!(owner.open.len() + owner.dials.len() <= 2 * owner.speaker.peers().len(), "connections are bounded");
        owner.speaker.peers();
    }
}
