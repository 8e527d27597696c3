//! The table as an MRT file, read by bgpdump.

use std::io::Write;
use std::process::Command;

use super::net::{Node, alone};

const NODE: &str = "198.51.100.1";
const PEER: &str = "198.51.100.2";

#[test]
fn rfc6396_4_3_bgpdump_reads_the_table_from_our_file() {
    alone(|| async {
        let (mut node, mut peer) = (Node::new(NODE, 65001), Node::new(PEER, 65002));
        let both = |peer: &mut bgp::PeerConfig| peer.families = model::Family::ALL.into();
        peer.config.local_ipv6 = "fd00::2".parse().ok();
        node.config.local_ipv6 = "fd00::1".parse().ok();
        peer.peer(NODE, 65001, both).announce("10.2.0.0/24").announce("2001:db8:2::/48").go();
        node.peer(PEER, 65002, both).announce("10.1.0.0/24").go();
        node.until(PEER, |view| view.accepted == 2).await;
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut after = None;
        loop {
            let piece = node.handle.dump(after).await.expect("the speaker lives").expect("the same peers");
            file.write_all(&piece.octets).expect("room for it");
            after = piece.next;
            if after.is_none() {
                break;
            }
        }
        let output =
            Command::new("bgpdump").arg("-m").arg(file.path()).output().expect("bgpdump (make test installs it)");
        let text = String::from_utf8_lossy(&output.stdout);
        // Fields: TABLE_DUMP2, time, B, peer, its AS, prefix, AS path, origin, next hop, ...
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                let fields: Vec<&str> = line.split('|').collect();
                [3, 4, 5, 6, 8].map(|n| fields.get(n).copied().unwrap_or_default()).join(" ")
            })
            .collect();
        lines.sort();
        let expected = [
            "0.0.0.0 65001 10.1.0.0/24  192.0.2.1",
            "198.51.100.2 65002 10.2.0.0/24 65002 198.51.100.2",
            "198.51.100.2 65002 2001:db8:2::/48 65002 fd00::2",
        ];
        assert_eq!(lines, expected, "{text}{}", String::from_utf8_lossy(&output.stderr));
    });
}
