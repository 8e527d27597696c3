//! A speaker, a peer and a station: what the station makes of what it hears, to hold against what the speaker says itself.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bgp::Input;
use bgp::bmp::{Flags, Kind, Message, PeerHeader, Station, Table, length};
use bgp::config::{Dialling, Origination};
use bgp::speaker::{StationInput, StationOutput, StationState};
use bgp::wire::{Attributes, Context, Framer, Nlri, PeerKind, Transmit, Update, encode};
use model::api::show::{AsPathItem, BgpRoutes, BgpTable, RouteView};
use model::{Family, Prefix};

use super::peer_support::{Peer, attributes};
use super::sim_support::{asn, block, config, key, peer_with, seconds};

pub const STATION: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 9, 9)), 11019);
/// The time of day at which stations connect that connect at once.
pub const TODAY: Duration = Duration::from_secs(1_700_000_000);

/// What a station knows.
#[derive(Default)]
pub struct Picture {
    up: BTreeSet<(Option<IpAddr>, u32)>,
    /// By table and peer, the path of each prefix.
    routes: BTreeMap<(Table, Option<IpAddr>), BTreeMap<Prefix, String>>,
    /// Tables whose End-of-RIB has come.
    pub complete: BTreeSet<(Table, Family)>,
}

impl Picture {
    pub fn learn(&mut self, messages: &[Message]) {
        for message in messages {
            match message {
                Message::Initiation(_) => *self = Picture::default(),
                Message::PeerUp(up) => assert!(self.up.insert(who(&up.peer)), "up twice"),
                Message::PeerDown { peer, .. } => {
                    assert!(self.up.remove(&who(peer)), "down before it was up");
                    self.routes.retain(|(_, of), _| *of != who(peer).0);
                }
                Message::RouteMonitoring { peer, update } => {
                    assert!(self.up.contains(&who(peer)), "a route of {peer:?}, which is not up");
                    self.route(peer, update);
                }
                Message::Statistics { .. } | Message::Termination(_) => {}
            }
        }
    }

    fn route(&mut self, peer: &PeerHeader, update: &[u8]) {
        let mut framer = Framer::new();
        framer.extend_messages();
        framer.push(update);
        let body = framer.next_frame().unwrap().unwrap().body;
        let update = Update::decode(&body, &Context::new(PeerKind::Internal, asn(64512))).unwrap();
        assert_eq!(update.errors.iter().filter(|e| e.verdict >= bgp::wire::Verdict::Withdraw).count(), 0);
        let table = table(peer);
        let routes = self.routes.entry((table, who(peer).0)).or_default();
        for nlri in update.withdrawn.iter().flat_map(|block| block.iter()) {
            routes.remove(&nlri.prefix);
        }
        for reachable in &update.reachable {
            let path = reachable.attributes.as_path().to_string();
            routes.extend(reachable.nlri.iter().map(|nlri| (nlri.prefix, path.clone())));
        }
        self.complete.extend(update.end_of_rib.map(|family| (table, family)));
    }

    /// What is in a table, all peers together, as `prefix path`.
    pub fn table(&self, table: Table) -> BTreeSet<String> {
        let of = self.routes.iter().filter(|((of, _), _)| *of == table);
        of.flat_map(|(_, routes)| routes.iter().map(|(prefix, path)| format!("{prefix} {path}"))).collect()
    }
}

fn who(peer: &PeerHeader) -> (Option<IpAddr>, u32) {
    match peer.kind {
        Kind::LocRib => (None, peer.bgp_id),
        _ => (Some(peer.address), peer.bgp_id),
    }
}

fn table(peer: &PeerHeader) -> Table {
    match peer.kind {
        Kind::LocRib => Table::Loc,
        _ if peer.flags.contain(Flags::ADJ_RIB_OUT) => Table::AdjOut,
        _ if peer.flags.contain(Flags::POST_POLICY) => Table::AdjInPost,
        _ => Table::AdjInPre,
    }
}

pub struct Watched {
    pub peer: Peer,
    pub picture: Picture,
    /// Whether the station takes what it is sent.
    pub reads: bool,
    /// Whether the speaker has given the station up.
    pub closed: bool,
}

impl Watched {
    /// A speaker with a passive peer in AS 65001 and a station that is told these tables.
    pub fn new(tables: impl IntoIterator<Item = Table>) -> Watched {
        let mut config = config(0, 64512);
        peer_with(&mut config, 1, 65001);
        config.peers.get_mut(&key(1)).unwrap().dial = Dialling::Passive;
        config.monitoring.name = "node-0".into();
        config.monitoring.stations.insert(STATION, Station { tables: tables.into_iter().collect() });
        let peer = Peer::of(config, 65001);
        Watched { peer, picture: Picture::default(), reads: true, closed: false }
    }

    pub fn station(&mut self, input: StationInput) {
        self.peer.input(Input::Station { station: STATION, input });
    }

    pub fn connect(&mut self) {
        self.closed = false;
        // What was under way in the connection before is lost with it.
        self.peer.monitored.clear();
        self.station(StationInput::Connected { today: TODAY });
    }

    pub fn is_connected(&self) -> bool {
        self.peer.speaker.stations()[0].state != StationState::Away
    }

    /// What the station reads now, if it reads.
    pub fn messages(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while self.reads && !self.peer.monitored.is_empty() {
            for output in std::mem::take(&mut self.peer.monitored) {
                let StationOutput::Send(octets) = output else {
                    self.closed = true;
                    continue;
                };
                let mut rest = &octets[..];
                while !rest.is_empty() {
                    let (message, tail) = rest.split_at(length(rest).unwrap().unwrap());
                    all.push(Message::decode(message).unwrap());
                    rest = tail;
                }
                self.station(StationInput::Drained(octets.len()));
            }
        }
        all
    }

    pub fn learn(&mut self) -> &Picture {
        let messages = self.messages();
        self.picture.learn(&messages);
        &self.picture
    }

    pub fn drain(&mut self) {
        self.learn();
    }

    /// What the station knows is what the speaker has.
    pub fn holds_the_truth(&mut self) {
        self.learn();
        let tables = self.peer.speaker.stations()[0].tables.clone();
        for table in tables {
            let truth = match table {
                Table::AdjInPre => self.rows(BgpTable::Received, |row| !row.stale),
                Table::AdjInPost => self.rows(BgpTable::Accepted, |row| row.peer.is_some() && !row.stale),
                Table::AdjOut => self.rows(BgpTable::Advertised, |_| true),
                Table::Loc => self.rows(BgpTable::Best, |row| row.best),
            };
            assert_eq!(self.picture.table(table), truth, "{table:?}");
        }
    }

    fn rows(&self, table: BgpTable, wanted: impl Fn(&RouteView) -> bool) -> BTreeSet<String> {
        let mut question = BgpRoutes { table, peer: None, within: None, after: None };
        let mut all = BTreeSet::new();
        loop {
            let page = self.peer.speaker.routes(&question);
            all.extend(page.routes.iter().filter(|row| wanted(row)).map(line));
            question.after = page.next;
            if question.after.is_none() {
                return all;
            }
        }
    }

    pub fn announce(&mut self, attributes: &Attributes, prefixes: &[Prefix]) {
        let mut octets = Vec::new();
        let nlri = prefixes.iter().map(|prefix| Nlri::plain(*prefix));
        encode::updates(Family::Ipv4, attributes, nlri, &Transmit::PLAIN, &mut octets).unwrap();
        self.peer.send(&octets);
    }

    pub fn withdraw(&mut self, blocks: &[usize]) {
        let mut octets = Vec::new();
        let nlri = blocks.iter().map(|n| Nlri::plain(block(*n)));
        encode::withdrawals(Family::Ipv4, nlri, &Transmit::PLAIN, &mut octets);
        self.peer.send(&octets);
    }

    pub fn originate(&mut self, blocks: &[usize]) {
        let mut config = self.peer.speaker.config().clone();
        config.originate = [0].iter().chain(blocks).map(|n| (block(*n), Origination::default())).collect();
        self.peer.input(Input::Configure(Box::new(config)));
    }

    /// One thing of many.
    pub fn happen(&mut self, dice: &mut Dice) {
        let blocks = [dice.roll(30), dice.roll(30), dice.roll(30)];
        match dice.roll(12) {
            0..=2 if self.peer.open => {
                let ours = if dice.roll(4) == 0 { 64512 } else { 64999 };
                self.peer.announce(&attributes(&[65001, 1 + dice.roll(3) as u32, ours]), &blocks);
            }
            3 | 4 if self.peer.open => self.withdraw(&blocks),
            5 if self.peer.open => self.peer.lose(),
            5 | 6 if !self.peer.open => {
                self.peer.pass(seconds(60));
                self.peer.establish(vec![]);
            }
            7 if self.is_connected() => self.station(StationInput::Closed),
            7 | 8 if !self.is_connected() => {
                self.reads = true;
                self.connect();
            }
            9 => self.reads = !self.reads,
            10 => self.originate(&blocks),
            11 if self.peer.open => self.peer.end_of_rib(),
            _ => self.drain(),
        }
        if self.closed {
            self.peer.monitored.clear();
        }
    }
}

fn line(row: &RouteView) -> String {
    format!("{} {}", row.prefix, path(row))
}

/// AS_PATH as text.
pub fn path(row: &RouteView) -> String {
    let path: Vec<String> = row
        .as_path
        .iter()
        .map(|item| match item {
            AsPathItem::As(asn) => asn.to_string(),
            AsPathItem::Set(_) => panic!("a set"),
        })
        .collect();
    path.join(" ")
}

/// Numbers that look like chance (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % below as u64) as usize
    }
}
