//! The vectors once more, played over an established session: what becomes of the session and of the route.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that meets one has failed

mod wire_support;

use std::collections::BTreeMap;

use bgp::config::Dialling;
use bgp::speaker::{Best, ConnId};
use bgp::wire::{Capability, Context, Framer, Message, Notification, Open, PeerKind};
use bgp::{Input, Output, PeerConfig, PeerKey, Speaker, SpeakerConfig};
use model::api::show::SessionState;
use model::{Family, Prefix, RouterId, Time};
use serde::Deserialize;
use wire_support::{asn, attr, octets};

#[derive(Deserialize)]
struct Vectors {
    ebgp: Vec<Vector>,
    ibgp: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    expect: String,
    prefix: Option<Prefix>,
    hex: String,
}

/// AS 65000 at 10.9.0.1, and a peer at 10.9.0.2 that says what we make it say.
struct Played {
    speaker: Speaker,
    conn: ConnId,
    framer: Framer,
    context: Context,
    sent: Vec<u8>,
    state: Option<SessionState>,
    routes: BTreeMap<Prefix, Best>,
}

/// Nothing here depends on time.
const NOW: Time = Time::START;

impl Played {
    fn established(peer_as: u32) -> Played {
        let mut config = SpeakerConfig::new(RouterId::new(0x0a09_0001).unwrap(), asn(65000));
        let mut peer = PeerConfig::new("tor", asn(peer_as));
        peer.dial = Dialling::Passive;
        config.peers.insert(PeerKey::new("10.9.0.2".parse().unwrap()), peer);
        config.local_ipv6 = Some("2001:db8::1".parse().unwrap());
        let mut speaker = Speaker::new(config, NOW, 1);
        let conn = speaker.new_conn();
        let (local, remote) = ("10.9.0.1:179".parse().unwrap(), "10.9.0.2:40000".parse().unwrap());
        speaker.handle(NOW, Input::Accepted { conn, local, remote });
        let mut played = Played {
            speaker,
            conn,
            framer: Framer::new(),
            context: Context::new(PeerKind::External, asn(peer_as)),
            sent: Vec::new(),
            state: None,
            routes: BTreeMap::new(),
        };
        played.listen();
        let mut open = Vec::new();
        let capabilities = vec![
            Capability::Multiprotocol(Family::Ipv4.into()),
            Capability::Multiprotocol(Family::Ipv6.into()),
            Capability::RouteRefresh,
            Capability::FourOctetAs(Some(asn(peer_as))),
        ];
        let router_id = RouterId::new(0x0a09_0002).unwrap();
        Open { asn: asn(peer_as), hold_seconds: 90, router_id, capabilities }.encode(&mut open);
        bgp::wire::message::encode_keepalive(&mut open);
        played.say(&open);
        assert_eq!(played.state, Some(SessionState::Established));
        played
    }

    /// Hands octets over as the session's task would.
    fn say(&mut self, octets: &[u8]) {
        self.framer.push(octets);
        loop {
            let input = match self.framer.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => match Message::decode(frame, &self.context) {
                    Ok(message) => Input::Message { conn: self.conn, message },
                    Err(notification) => Input::DecodeError { conn: self.conn, notification },
                },
                Err(notification) => Input::DecodeError { conn: self.conn, notification },
            };
            let over = matches!(input, Input::DecodeError { .. });
            self.speaker.handle(NOW, input);
            self.listen();
            if over {
                return;
            }
        }
    }

    fn listen(&mut self) {
        while let Some(output) = self.speaker.poll(NOW) {
            match output {
                Output::SetContext { context, .. } => self.context = context,
                Output::Send { bytes, .. } => self.sent.extend_from_slice(&bytes),
                Output::Peer(change) => self.state = change.state,
                Output::Route(change) => match change.best {
                    Some(best) => drop(self.routes.insert(change.prefix, best)),
                    None => drop(self.routes.remove(&change.prefix)),
                },
                _ => {}
            }
        }
    }

    /// The NOTIFICATION that we sent last, if it was the last word.
    fn last_word(&self) -> Option<Notification> {
        let mut framer = Framer::new();
        framer.push(&self.sent);
        let mut last = None;
        while let Ok(Some(frame)) = framer.next_frame() {
            last = Message::decode(frame, &self.context).ok();
        }
        match last {
            Some(Message::Notification(notification)) => Some(notification),
            _ => None,
        }
    }
}

/// A route to the prefix by 10.9.0.77, to be told from what a vector says.
fn good_route(prefix: &Prefix, external: Option<u32>) -> Vec<u8> {
    let std::net::IpAddr::V4(address) = prefix.address() else { panic!("the vectors' prefixes are IPv4") };
    let path = external.map_or(vec![], |asn| [&[2, 1][..], &asn.to_be_bytes()].concat());
    let attributes = [attr(0x40, 1, &[0]), attr(0x40, 2, &path), attr(0x40, 3, &[10, 9, 0, 77])].concat();
    let length = prefix.length();
    let nlri = [&[length][..], &address.octets()[..usize::from(length).div_ceil(8)]].concat();
    wire_support::update(&[], &attributes, &nlri)
}

fn outcome(vector: &Vector, peer_as: u32, external: Option<u32>) -> String {
    let mut played = Played::established(peer_as);
    if let Some(prefix) = &vector.prefix {
        played.say(&good_route(prefix, external));
        assert!(played.routes.contains_key(prefix), "the good route to {prefix} is taken");
    }
    played.say(&octets(&vector.hex));
    if played.state != Some(SessionState::Established) {
        let told = played.last_word().expect("the session ends with a NOTIFICATION");
        assert!(played.routes.is_empty(), "routes go with their session");
        return format!("session-reset {}/{}", told.code, told.subcode);
    }
    let best = vector.prefix.map(|prefix| played.routes.get(&prefix));
    match best {
        None => "accept".to_string(),
        Some(None) => "treat-as-withdraw".to_string(),
        Some(Some(best)) => match best.next_hops.first().map(|hop| hop.address.to_string()).as_deref() {
            Some("10.9.0.2") => "accept".to_string(),
            _ => "ignored".to_string(),
        },
    }
}

fn check(vectors: &[Vector], peer_as: u32, external: Option<u32>) {
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|v| {
            let got = outcome(v, peer_as, external);
            // What an attribute's discard leaves is a route like others.
            let expected = if v.expect == "attribute-discard" { "accept" } else { &v.expect };
            (!got.starts_with(expected)).then(|| format!("{}: expected {}, got {got}", v.name, v.expect))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/rfc7606.json")).unwrap()
}

#[test]
fn rfc7606_an_external_session_and_its_routes_fare_as_every_vector_says() {
    check(&vectors().ebgp, 65001, Some(65001));
}

#[test]
fn rfc7606_an_internal_session_and_its_routes_fare_as_every_vector_says() {
    check(&vectors().ibgp, 65000, None);
}
