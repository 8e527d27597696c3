//! What comes to port 179 from whoever likes to: it must cost only itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bgp::config::Dialling;
use model::Family;
use model::api::show::SessionState;
use socket2::{Domain, SockAddr, Socket, Type};

use super::net::{Node, PATIENCE, alone};

/// A connection from this loopback address to 198.51.100.1:179, blocking, made without waiting for the speaker.
fn connect(from: [u8; 4]) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let local = SockAddr::from(SocketAddr::from((Ipv4Addr::from(from), 0)));
    socket.bind(&local).expect("all of 198.51.100.0/24 is ours");
    socket.connect(&SockAddr::from(SocketAddr::from(([198, 51, 100, 1], 179)))).expect("somebody listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Reads until the other side ends. On a thread: the speaker runs on this one.
async fn read_all(mut socket: Socket) -> Vec<u8> {
    let read = move || {
        let mut octets = Vec::new();
        match socket.read_to_end(&mut octets) {
            Ok(_) => octets,
            Err(e) if e.kind() == ErrorKind::ConnectionReset => octets,
            Err(e) => panic!("the connection is not closed: {e}"),
        }
    };
    tokio::task::spawn_blocking(read).await.expect("read")
}

/// AS 65009, hold time 90, id 10.0.0.9, IPv4 unicast.
fn open() -> Vec<u8> {
    let mut message = vec![0xff; 16];
    message.extend([0, 37, 1, 4]);
    message.extend(65009_u16.to_be_bytes());
    message.extend([0, 90, 10, 0, 0, 9, 8, 2, 6, 1, 4, 0, 1, 0, 1]);
    message
}
fn keepalive() -> Vec<u8> {
    let mut message = vec![0xff; 16];
    message.extend([0, 19, 4]);
    message
}

/// A node at 198.51.100.1 with an honest peer at 198.51.100.2, whose session is up, and a passive one at 198.51.100.9.
async fn node_with_a_friend() -> (Node, Node) {
    let (mut node, mut friend) = (Node::new("198.51.100.1", 65001), Node::new("198.51.100.2", 65002));
    node.peer("198.51.100.2", 65002, |_| {});
    node.peer("198.51.100.9", 65009, |p| (p.dial, p.families) = (Dialling::Passive, vec![Family::Ipv4])).go();
    friend.peer("198.51.100.1", 65001, |_| {}).go();
    node.up("198.51.100.2").await;
    friend.up("198.51.100.1").await;
    (node, friend)
}

async fn friendship_is_undisturbed(node: &Node) {
    let view = node.view("198.51.100.2").await;
    assert_eq!((view.state, view.established_count), (SessionState::Established, 1), "{}", view.reason);
}

#[test]
fn a_stranger_is_refused_before_a_byte_is_read() {
    alone(|| async {
        let (node, _friend) = node_with_a_friend().await;
        let stranger = connect([198, 51, 100, 66]);
        assert_eq!(read_all(stranger).await, b"");
        assert_eq!(node.handle.refused(), 1);
        friendship_is_undisturbed(&node).await;
    });
}

#[test]
fn two_hundred_connections_at_once_disturb_no_session() {
    alone(|| async {
        let (node, _friend) = node_with_a_friend().await;
        let crowd: Vec<Socket> = (0..200_u8).map(|i| connect([198, 51, 100, 9 + i % 2 * 57])).collect();
        let deadline = Instant::now() + PATIENCE;
        // All strangers; of the known peer's some are let in, one after the other.
        while node.handle.refused() < 100 {
            assert!(Instant::now() < deadline, "refused only {}", node.handle.refused());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        friendship_is_undisturbed(&node).await;
        drop(crowd);
        // And the known peer may come again, in earnest.
        let mut peer = Node::new("198.51.100.9", 65009);
        peer.peer("198.51.100.1", 65001, |_| {}).go();
        node.up("198.51.100.9").await;
        friendship_is_undisturbed(&node).await;
    });
}

#[test]
fn garbage_is_answered_with_a_notification() {
    alone(|| async {
        let (node, _friend) = node_with_a_friend().await;
        for (garbage, code, subcode) in [
            (b"GET / HTTP/1.1\r\nHost: margay\r\n\r\n".to_vec(), 1, 1),
            // A length of 5, a type of 9, a length of 65535.
            ([&[0xff; 16][..], &[0, 5, 1]].concat(), 1, 2),
            ([&[0xff; 16][..], &[0, 19, 9]].concat(), 1, 3),
            ([&[0xff; 16][..], &[0xff, 0xff, 2]].concat(), 1, 2),
            // An OPEN of BGP version 3.
            ([&[0xff; 16][..], &[0, 29, 1, 3, 0, 1, 0, 90, 10, 0, 0, 9, 0]].concat(), 2, 1),
        ] {
            let mut socket = connect([198, 51, 100, 9]);
            socket.write_all(&garbage).expect("written");
            let answer = read_all(socket).await;
            let notification = last_message(&answer);
            assert_eq!(notification, Some((3, code, subcode)), "to {garbage:x?} came {answer:x?}");
            // The next one is let in only when the speaker is ready for it.
            node.until("198.51.100.9", |p| p.state == SessionState::Active).await;
        }
        friendship_is_undisturbed(&node).await;
    });
}

/// Type, code and subcode of the last message.
fn last_message(octets: &[u8]) -> Option<(u8, u8, u8)> {
    let mut rest = octets;
    let mut last = None;
    while let Some(length) = rest.get(16..18).map(|l| usize::from(l[0]) << 8 | usize::from(l[1])) {
        last = Some((*rest.get(18)?, rest.get(19).copied().unwrap_or(0), rest.get(20).copied().unwrap_or(0)));
        rest = rest.get(length..)?;
    }
    last
}

/// 10.9.0.0/24 by way of 198.51.100.9, AS path 65009 in two octets, as no capability says otherwise.
fn update() -> Vec<u8> {
    let mut message = vec![0xff; 16];
    message.extend([0, 45, 2, 0, 0, 0, 18]);
    message.extend([0x40, 1, 1, 0, 0x40, 2, 4, 2, 1, 0xfd, 0xf1, 0x40, 3, 4, 198, 51, 100, 9]);
    message.extend([24, 10, 9, 0]);
    message
}

#[test]
fn a_peer_that_says_all_in_one_breath_is_understood() {
    alone(|| async {
        let (node, _friend) = node_with_a_friend().await;
        let mut hasty = connect([198, 51, 100, 9]);
        hasty.write_all(&[open(), keepalive(), update()].concat()).expect("written");
        let view = node.until("198.51.100.9", |p| p.received == 1).await;
        assert_eq!((view.accepted, view.state), (1, SessionState::Established), "{}", view.reason);
    });
}

#[test]
fn a_truncated_message_ends_with_its_connection_only() {
    alone(|| async {
        let (node, _friend) = node_with_a_friend().await;
        for cut in [1, 16, 18, 20, 36] {
            let mut socket = connect([198, 51, 100, 9]);
            socket.write_all(&open()[..cut]).expect("written");
            drop(socket);
        }
        let mut peer = Node::new("198.51.100.9", 65009);
        peer.peer("198.51.100.1", 65001, |_| {}).go();
        node.up("198.51.100.9").await;
        friendship_is_undisturbed(&node).await;
    });
}

#[test]
fn a_peer_that_never_reads_costs_only_itself() {
    alone(|| async {
        let (mut node, mut friend) = node_with_a_friend().await;
        let mut deaf = connect([198, 51, 100, 9]);
        deaf.set_recv_buffer_size(2048).expect("a small window");
        deaf.write_all(&[open(), keepalive()].concat()).expect("written");
        node.up("198.51.100.9").await;
        // More than any socket buffer takes: 200,000 prefixes, by way of the friend.
        for i in 0..200_000_u32 {
            let address = Ipv4Addr::from_bits(0x0b00_0000 + (i << 6));
            friend.announce(&format!("{address}/26"));
        }
        friend.go();
        let all = node.until("198.51.100.2", |p| p.received == 200_000).await;
        assert_eq!(all.accepted, 200_000);
        // Changes still arrive and leave, while the deaf one's share waits.
        node.announce("10.77.0.0/24").go();
        friend.until("198.51.100.1", |p| p.received >= 1).await;
        friendship_is_undisturbed(&node).await;
        let view = node.view("198.51.100.9").await;
        assert_eq!(view.state, SessionState::Established, "it still sends: {}", view.reason);
    });
}

#[test]
fn a_peer_that_floods_leaves_room_for_the_others() {
    alone(|| async {
        let (mut node, friend) = node_with_a_friend().await;
        let mut flood = connect([198, 51, 100, 9]);
        flood.write_all(&[open(), keepalive()].concat()).expect("written");
        node.up("198.51.100.9").await;
        let keepalives = keepalive().repeat(2000);
        let enough = Arc::new(AtomicBool::new(false));
        let ended = enough.clone();
        let writer = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                flood.write_all(&keepalives).expect("the flood goes on: its session is not ended");
            }
        });
        node.announce("10.77.0.0/24").go();
        friend.until("198.51.100.1", |p| p.received == 1).await;
        assert!(!writer.is_finished(), "told during the flood, not after");
        enough.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || writer.join()).await.expect("joined").expect("written");
        friendship_is_undisturbed(&node).await;
    });
}
