//! A million prefixes through one speaker: one feeder, one receiver, and what it costs in time and memory.
//!
//! `cargo run --release -p bgp --example million [PREFIXES] [FEEDERS] [RECEIVERS]`. Octets are framed and decoded as a
//! session's task would do it, in batches, the way the agent drives the speaker; no socket is involved.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bgp::config::{ExportPolicy, ImportPolicy};
use bgp::speaker::ConnId;
use bgp::wire::attr::Origin;
use bgp::wire::{
    AsWidth, Attributes, Capability, Context, Framer, Message, NextHop, Nlri, Open, PeerKind, Prefix4, Transmit,
    encode, message,
};
use bgp::{Input, Output, PeerConfig, PeerKey, Speaker, SpeakerConfig};
use model::{Asn, Family, RouterId, Time};

const PER_ATTRIBUTES: usize = 100;

fn address(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

/// The session of one feeder or receiver, as its task would keep it.
struct Session {
    conn: ConnId,
    framer: Framer,
    context: Context,
    octets: usize,
    updates: usize,
}

struct Bench {
    speaker: Speaker,
    sessions: Vec<Session>,
    routes: usize,
    now: Time,
}

impl Bench {
    fn outputs(&mut self) {
        while let Some(output) = self.speaker.poll(self.now) {
            match output {
                Output::Send { conn, bytes } => {
                    if let Some(session) = self.sessions.iter_mut().find(|session| session.conn == conn) {
                        session.octets += bytes.len();
                        session.updates += 1;
                    }
                    self.speaker.handle(self.now, Input::Drained { conn, octets: bytes.len() });
                }
                Output::SetContext { conn, context } => {
                    if let Some(session) = self.sessions.iter_mut().find(|session| session.conn == conn) {
                        session.context = context;
                    }
                }
                Output::Route(_) => self.routes += 1,
                _ => {}
            }
        }
    }

    fn receive(&mut self, session: usize, octets: &[u8]) {
        for chunk in octets.chunks(16384) {
            let Some(session) = self.sessions.get_mut(session) else { return };
            session.framer.push(chunk);
            while let Ok(Some(frame)) = session.framer.next_frame() {
                match Message::decode(frame, &session.context) {
                    Ok(message) => self.speaker.handle(self.now, Input::Message { conn: session.conn, message }),
                    Err(notification) => panic!("{notification}"),
                }
            }
            self.outputs();
        }
    }
}

fn open(asn: u32, n: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    Open {
        asn: Asn::new(asn).unwrap_or(Asn::TRANS),
        hold_seconds: 90,
        router_id: RouterId::new(0x0a00_0000 + n).unwrap_or_else(|| unreachable!()),
        capabilities: vec![Capability::Multiprotocol(Family::Ipv4.into()), Capability::FourOctetAs(Asn::new(asn))],
    }
    .encode(&mut octets);
    message::encode_keepalive(&mut octets);
    octets
}

/// What a feeder sends: prefixes of its own, a hundred to each set of attributes.
fn feed(feeder: usize, count: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    let transmit = Transmit { as_width: AsWidth::Four, ..Transmit::PLAIN };
    for (group, start) in (0..count).step_by(PER_ATTRIBUTES).enumerate() {
        let hop = NextHop::from(address(2 + feeder as u32));
        let mut draft = Attributes::new(Origin::Igp, hop).edit();
        let path = [65001 + feeder as u32, 100_000 + group as u32, 3356].map(|n| Asn::new(n).unwrap_or(Asn::TRANS));
        draft.set_as_path(&path);
        let prefixes = (start..count.min(start + PER_ATTRIBUTES)).filter_map(|n| {
            let bits = (1 << 24) + ((feeder * count + n) << 8) as u32;
            Prefix4::new(bits, 24).map(Nlri::plain)
        });
        if let Err(error) = encode::updates(Family::Ipv4, &draft.build(), prefixes, &transmit, &mut octets) {
            panic!("{error}");
        }
    }
    octets
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut next = |default: usize| numbers.next().unwrap_or(default);
    let (prefixes, feeders, receivers) = (next(1_000_000), next(1), next(1));
    let mut config =
        SpeakerConfig::new(RouterId::new(0x0a00_0001).unwrap_or_else(|| unreachable!()), Asn::CALICO_DEFAULT);
    for n in 0..feeders + receivers {
        let mut peer = PeerConfig::new(format!("peer {n}"), Asn::new(65001 + n as u32).unwrap_or(Asn::TRANS));
        (peer.import, peer.dial) = (ImportPolicy::All, bgp::config::Dialling::Passive);
        peer.export = if n < feeders { ExportPolicy::Nothing } else { ExportPolicy::All };
        config.peers.insert(PeerKey::new(address(2 + n as u32)), peer);
    }
    let now = Time::START;
    let mut bench = Bench { speaker: Speaker::new(config, now, 1), sessions: Vec::new(), routes: 0, now };
    for n in 0..feeders + receivers {
        let conn = bench.speaker.new_conn();
        let (local, remote) = (SocketAddr::new(address(1), 179), SocketAddr::new(address(2 + n as u32), 4000));
        let context = Context::new(PeerKind::External, Asn::TRANS);
        bench.sessions.push(Session { conn, framer: Framer::new(), context, octets: 0, updates: 0 });
        bench.speaker.handle(now, Input::Accepted { conn, local, remote });
        bench.outputs();
        let opening = open(65001 + n as u32, 2 + n as u32);
        // The KEEPALIVE must be decoded after the OPEN was handled.
        bench.receive(n, &opening);
    }
    let before = status("VmRSS");
    let each = prefixes / feeders.max(1);
    let start = Instant::now();
    let mut spent_feeding = std::time::Duration::ZERO;
    for feeder in 0..feeders {
        // In pieces, so that the feed itself does not count as memory.
        let making = Instant::now();
        let octets = feed(feeder, each);
        spent_feeding += making.elapsed();
        bench.receive(feeder, &octets);
    }
    let took = start.elapsed() - spent_feeding;
    let sent: usize = bench.sessions.iter().skip(feeders).map(|session| session.octets).sum();
    println!(
        "{} prefixes, {feeders} feeders, {receivers} receivers: {:.3} s, {:.0} ns a prefix; {} routes reported, {sent} octets sent",
        bench.speaker.prefixes(Family::Ipv4),
        took.as_secs_f64(),
        took.as_nanos() as f64 / prefixes as f64,
        bench.routes,
    );
    println!(
        "resident: {} MiB before, {} MiB after, {} MiB at most; {} sets of attributes",
        before / 1024,
        status("VmRSS") / 1024,
        status("VmHWM") / 1024,
        bench.speaker.attribute_sets(),
    );
    let start = Instant::now();
    for session in 0..feeders {
        let Some(conn) = bench.sessions.get(session).map(|session| session.conn) else { continue };
        let reason = bgp::speaker::CloseReason::Reset;
        bench.speaker.handle(now, Input::Closed { conn, reason });
        bench.outputs();
    }
    println!(
        "all feeders lost and withdrawn: {:.3} s; {} prefixes left",
        start.elapsed().as_secs_f64(),
        bench.speaker.prefixes(Family::Ipv4)
    );
}
