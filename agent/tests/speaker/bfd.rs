//! BFD with BIRD: it comes up, it notices, it does not get in the way.

use std::time::{Duration, Instant};

use bgp::PeerConfig;
use bgp::bfd::{Config, Distance};
use bgp::config::ListenRange;
use model::Family;
use model::api::show::{BfdState, PeerView, SessionState};

use super::bird::Bird;
use super::net::{Node, alone, asn, ip, prefix};

const BFD: &str = "protocol bfd { interface \"*\" { interval 100 ms; multiplier 3; }; \
                   multihop { interval 100 ms; multiplier 3; }; }";
/// Over IPv6 beside the session over IPv4.
const SIX: &str = "protocol bgp six { local 2001:db8::2 as 65002; neighbor 2001:db8::1 as 65001; bfd on; \
                   connect delay time 1; ipv6 { import all; export all; }; }";
/// Nothing gets through, and neither side's kernel notices.
const CUT: &str = "nft 'add table inet cut; \
                   add chain inet cut in { type filter hook input priority 0; policy drop; }; \
                   add chain inet cut out { type filter hook output priority 0; policy drop; }'";

fn fast(distance: Distance) -> Config {
    let interval = Duration::from_millis(100);
    Config { min_tx: interval, min_rx: interval, multiplier: 3, distance }
}

fn node(config: Option<Config>) -> Node {
    let mut node = Node::new("192.0.2.1", 65001);
    node.peer("192.0.2.2", 65002, |peer| peer.bfd = config);
    node
}

/// BGP is up, and BFD with the timers that both sides want.
fn watched(view: &PeerView) -> bool {
    let bfd = view.bfd.as_ref().filter(|bfd| bfd.state == BfdState::Up);
    let time = bfd.and_then(|bfd| bfd.detection_time).map(|time| time.0);
    view.state == SessionState::Established && time == Some(Duration::from_millis(300))
}

/// Cuts the line, and says how long it takes until the session with this peer has fallen.
async fn cut(node: &Node, bird: &Bird, peer: &str) -> (Duration, PeerView) {
    bird.sh(CUT);
    let start = Instant::now();
    let view = node.until(peer, |view| view.state != SessionState::Established).await;
    (start.elapsed(), view)
}

#[test]
fn bfd_ends_a_session_over_a_dead_path_within_a_second() {
    for (options, distance) in [("bfd on;", Distance::SingleHop), ("multihop; bfd on;", Distance::Multihop)] {
        alone(move || async move {
            let bird = Bird::with(BFD, options);
            // It began before it had its address, which it does not try to bind BFD to again.
            bird.ask("restart margay");
            let node = node(Some(fast(distance)));
            node.go();
            node.until("192.0.2.2", watched).await;
            bird.until("show bfd sessions", "Up").await;
            let (time, view) = cut(&node, &bird, "192.0.2.2").await;
            assert!(time < Duration::from_secs(1), "{distance:?}: noticed after {time:?}");
            let error = view.last_error.unwrap_or_default();
            assert!(error.contains("BFD down: control detection time expired"), "{error}");
            assert!(view.reason.contains("BFD down"), "{}", view.reason);
            bird.until("show protocols all margay", "BFD session down").await;
            bird.sh("nft delete table inet cut");
            node.until("192.0.2.2", watched).await;
        });
    }
}

#[test]
fn a_peer_from_a_listen_range_has_bfd_while_it_is_there() {
    alone(|| async {
        let bird = Bird::with(BFD, "bfd on;");
        bird.ask("restart margay");
        let mut node = Node::new("192.0.2.1", 65001);
        let mut template = PeerConfig::new("racks", asn(65002));
        template.bfd = Some(fast(Distance::SingleHop));
        node.config.ranges.insert(prefix("192.0.2.0/24"), ListenRange::new(template, 10));
        node.go();
        node.until("192.0.2.2", watched).await;
        bird.until("show bfd sessions", "Up").await;
    });
}

#[test]
fn bfd_watches_a_path_over_ipv6() {
    alone(|| async {
        let bird = Bird::with(&[BFD, SIX].concat(), "bfd on;");
        let mut node = node(Some(fast(Distance::SingleHop)));
        node.peer("2001:db8::2", 65002, |peer| {
            peer.bfd = Some(fast(Distance::SingleHop));
            peer.local_address = Some(ip("2001:db8::1"));
            peer.families = vec![Family::Ipv6];
        });
        node.go();
        node.until("2001:db8::2", watched).await;
        node.until("192.0.2.2", watched).await;
        let (time, view) = cut(&node, &bird, "2001:db8::2").await;
        assert!(time < Duration::from_secs(1), "noticed after {time:?}");
        assert!(view.reason.contains("BFD down"), "{}", view.reason);
    });
}

#[test]
fn the_peer_notices_within_a_second_that_this_node_is_cut_off() {
    alone(|| async {
        let bird = Bird::with(BFD, "bfd on;");
        let node = node(Some(fast(Distance::SingleHop)));
        node.go();
        node.until("192.0.2.2", watched).await;
        bird.until("show bfd sessions", "Up").await;
        super::net::sh(CUT);
        let start = Instant::now();
        bird.until("show protocols margay", "BFD session down").await;
        assert!(start.elapsed() < Duration::from_secs(1), "noticed after {:?}", start.elapsed());
    });
}

#[test]
fn bfd_holds_its_timers_while_the_agent_is_busy() {
    alone(|| async {
        let bird = Bird::with(BFD, "bfd on;");
        let node = node(Some(fast(Distance::SingleHop)));
        node.go();
        node.until("192.0.2.2", watched).await;
        bird.until("show bfd sessions", "Up").await;
        // The only thread of the runtime does nothing for the speaker for many detection times.
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        let view = node.view("192.0.2.2").await;
        assert!(watched(&view), "{view:#?}");
        assert_eq!((view.bfd.map(|bfd| bfd.up_count), view.established_count), (Some(1), 1));
    });
}

#[test]
fn bfd_comes_and_changes_without_a_session_reset() {
    alone(|| async {
        let _bird = Bird::with(BFD, "bfd on;");
        let mut node = node(None);
        node.go();
        let before = node.up("192.0.2.2").await;
        assert_eq!(before.bfd, None);
        let set = |node: &mut Node, config: Option<Config>| {
            node.config.peers.values_mut().for_each(|peer| peer.bfd = config);
            node.go();
        };
        set(&mut node, Some(Config::default()));
        let up = |view: &PeerView| view.bfd.as_ref().is_some_and(|bfd| bfd.state == BfdState::Up);
        node.until("192.0.2.2", up).await;
        set(&mut node, Some(fast(Distance::SingleHop)));
        let after = node.until("192.0.2.2", watched).await;
        assert_eq!((after.established_count, &after.since), (1, &before.since));
        assert_eq!(after.bfd.map(|bfd| bfd.up_count), Some(1), "new timers are negotiated, not begun with");
    });
}

#[test]
fn rfc5881_5_what_was_forwarded_is_not_believed_and_bfd_that_never_came_up_holds_nothing_down() {
    alone(|| async {
        let bird = Bird::with(BFD, "bfd on;");
        bird.sh("nft 'add table inet far; \
                 add chain inet far out { type filter hook output priority 0; }; \
                 add rule inet far out udp dport 3784 ip ttl set 254'");
        let node = node(Some(fast(Distance::SingleHop)));
        node.go();
        node.up("192.0.2.2").await;
        // BIRD hears us: that it is not Up says that it was not heard.
        bird.until("show bfd sessions", "Init").await;
        let view = node.up("192.0.2.2").await;
        let bfd = view.bfd.expect("a BFD session");
        assert_eq!((bfd.state, bfd.remote_state, bfd.up_count), (BfdState::Down, None, 0));
        bird.sh("nft delete table inet far");
        node.until("192.0.2.2", watched).await;
    });
}

#[test]
fn a_port_that_another_daemon_holds_is_a_problem_of_the_node_until_it_is_free() {
    alone(|| async {
        let other = std::net::UdpSocket::bind("0.0.0.0:3784").expect("a port");
        let mut node = Node::new("198.51.100.1", 65001);
        node.peer("198.51.100.2", 65002, |peer| peer.bfd = Some(fast(Distance::SingleHop))).go();
        let problem = "cannot receive BFD on UDP port 3784";
        node.until_problems(|problems| problems.iter().any(|one| one.starts_with(problem))).await;
        drop(other);
        node.until_problems(|problems| problems.is_empty()).await;
    });
}
