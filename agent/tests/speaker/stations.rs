//! BMP stations on real sockets: dialled, told all, lost, told all again.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bgp::bmp::{Message, Station, Table, length};
use bgp::config::Origination;
use bgp::wire::{Context, Framer, PeerKind, Update};
use model::Prefix;
use model::api::show::{SessionState, StationState, StationView};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::net::{Node, PATIENCE, alone, asn, ip, sh};

const NODE: &str = "198.51.100.1";
const PEER: &str = "198.51.100.2";

fn address() -> SocketAddr {
    SocketAddr::new(ip("198.51.100.9"), 11019)
}

/// What a station reads, message by message.
struct Reader {
    stream: TcpStream,
    octets: Vec<u8>,
}

impl Reader {
    async fn accept(listener: &TcpListener) -> Reader {
        let accepted = timeout(PATIENCE, listener.accept()).await.expect("dialled in time");
        Reader { stream: accepted.expect("a connection").0, octets: Vec::new() }
    }

    async fn next(&mut self) -> Message {
        loop {
            if let Some(whole) = length(&self.octets).expect("a header").filter(|whole| self.octets.len() >= *whole) {
                let message: Vec<u8> = self.octets.drain(..whole).collect();
                return Message::decode(&message).expect("a message");
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.octets)).await.expect("something in time");
            assert!(read.expect("no error") > 0, "the connection ended");
        }
    }

    /// The prefixes that were told of until there are as many as these.
    async fn prefixes(&mut self, wanted: usize) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        while all.len() < wanted {
            let Message::RouteMonitoring { update, .. } = self.next().await else { continue };
            let mut framer = Framer::new();
            framer.push(&update);
            let body = framer.next_frame().expect("a message").expect("a whole one").body;
            let update = Update::decode(&body, &Context::new(PeerKind::External, asn(65002))).expect("an UPDATE");
            all.extend(update.reachable.iter().flat_map(|r| r.nlri.iter()).map(|nlri| nlri.prefix.to_string()));
        }
        all
    }
}

async fn until(node: &Node, wish: impl Fn(&StationView) -> bool) -> StationView {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stations = node.handle.stations().await.expect("the speaker lives");
        let view = stations.into_iter().next().expect("a station");
        if wish(&view) {
            return view;
        }
        assert!(Instant::now() < deadline, "still not as wished: {view:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A node with a peer that announces two prefixes, and a station.
fn nodes() -> (Node, Node) {
    let (mut node, mut peer) = (Node::new(NODE, 65001), Node::new(PEER, 65002));
    node.peer(PEER, 65002, |_| {}).announce("10.1.0.0/24");
    peer.peer(NODE, 65001, |_| {}).announce("10.2.0.0/24").announce("10.2.1.0/24").go();
    node.config.monitoring.name = "n1".into();
    node.config.monitoring.stations.insert(address(), Station { tables: [Table::AdjInPre].into() });
    (node, peer)
}

#[test]
fn a_station_is_told_all_and_all_again_after_it_was_away() {
    alone(|| async {
        let listener = TcpListener::bind(address()).await.expect("a port");
        let (node, mut peer) = nodes();
        node.go();
        node.learns(2).await;
        let mut reader = Reader::accept(&listener).await;
        assert!(matches!(reader.next().await, Message::Initiation(_)));
        let told = reader.prefixes(2).await;
        assert_eq!(told, ["10.2.0.0/24", "10.2.1.0/24"].map(String::from).into());
        let view = until(&node, |view| view.state == StationState::Live).await;
        assert_eq!((view.reason.as_str(), view.connected_count, view.tables), ("", 1, vec!["AdjInPrePolicy".into()]));
        drop(reader);
        peer.announce("10.2.2.0/24").go();
        let mut reader = Reader::accept(&listener).await;
        assert!(matches!(reader.next().await, Message::Initiation(_)));
        let Message::PeerUp(up) = reader.next().await else { panic!("a session first") };
        assert_eq!((up.peer.address, up.local_address), (ip(PEER), ip(NODE)));
        assert_eq!(reader.prefixes(3).await.len(), 3);
        assert_eq!(node.view(PEER).await.established_count, 1);
    });
}

#[test]
fn a_station_that_is_not_there_is_dialled_again_and_holds_nothing_up() {
    alone(|| async {
        let (node, _peer) = nodes();
        node.go();
        node.up(PEER).await;
        let view = until(&node, |view| view.reason.contains("refused")).await;
        assert_eq!((view.state, view.connected_count), (StationState::Away, 0));
        let listener = TcpListener::bind(address()).await.expect("a port");
        let _reader = Reader::accept(&listener).await;
        until(&node, |view| view.state == StationState::Live).await;
        assert_eq!(node.view(PEER).await.state, SessionState::Established);
    });
}

#[test]
fn a_station_that_is_no_longer_wanted_hears_so_and_is_dialled_no_more() {
    alone(|| async {
        let listener = TcpListener::bind(address()).await.expect("a port");
        let (mut node, _peer) = nodes();
        node.go();
        let mut reader = Reader::accept(&listener).await;
        until(&node, |view| view.state == StationState::Live).await;
        node.config.monitoring.stations.clear();
        node.go();
        while !matches!(reader.next().await, Message::Termination(_)) {}
        let ended = timeout(PATIENCE, reader.stream.read_buf(&mut reader.octets)).await.expect("in time");
        assert_eq!(ended.expect("closed in order"), 0);
        assert!(node.handle.stations().await.expect("the speaker lives").is_empty());
        assert!(timeout(Duration::from_secs(3), listener.accept()).await.is_err(), "dialled again");
    });
}

#[test]
fn a_station_that_never_reads_is_given_up_and_the_session_does_not_notice() {
    alone(|| async {
        // Small buffers, so that little is enough.
        sh("sysctl -qw net.ipv4.tcp_rmem='4096 8192 16384' net.ipv4.tcp_wmem='4096 8192 16384'");
        let listener = TcpListener::bind(address()).await.expect("a port");
        let (node, mut peer) = nodes();
        node.go();
        node.up(PEER).await;
        let _reader = Reader::accept(&listener).await;
        until(&node, |view| view.state != StationState::Away).await;
        // Some 11 MB of messages: a long list of communities for each prefix.
        for n in 0..3000_u32 {
            let prefix = Prefix::new(Ipv4Addr::from_bits(0x0b00_0000 + (n << 8)).into(), 24).expect("a prefix");
            let communities = (0..900).map(|i| (n << 12) + i).collect();
            peer.config.originate.insert(prefix, Origination { communities, ..Origination::default() });
        }
        peer.go();
        let view = until(&node, |view| view.state == StationState::Away).await;
        assert!(view.reason.contains("did not take"), "{view:?}");
        let session = node.view(PEER).await;
        assert_eq!((session.state, session.established_count), (SessionState::Established, 1));
    });
}
