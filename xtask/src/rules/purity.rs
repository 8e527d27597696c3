//! Brains do no I/O: the pure rooms name no runtime, socket, file, process, thread or clock.

use super::arrows::PURE;
use super::{Breach, Room, Source, tokens};

/// Paths that a brain may not name, and the same with anything behind them.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "kube",
    "rtnetlink",
    "netlink_sys",
    "netlink_proto",
    "socket2",
    "libc",
    "nix",
    "rustix",
    "rand",
    "getrandom",
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "std::os",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
];

pub(super) fn check(room: &Room, source: &Source, breaches: &mut Vec<Breach>) {
    if !is_brain(&room.name, &source.path) {
        return;
    }
    let code = tokens::without_tests(&tokens::read(&source.text));
    let mut seen = Vec::new();
    for (path, line) in tokens::paths(&code) {
        let Some(forbidden) = FORBIDDEN.iter().find(|forbidden| names(&path, forbidden)) else { continue };
        if seen.contains(&(forbidden, line)) {
            continue;
        }
        seen.push((forbidden, line));
        breaches.push(Breach {
            place: format!("{}/{}:{line}", room.name, source.path),
            wrong: format!("a brain names {path}"),
            remedy: "time, bytes and randomness are arguments here; hands are in agent and dataplane/src/linux".into(),
        });
    }
}

fn names(path: &str, forbidden: &str) -> bool {
    path.strip_prefix(forbidden).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Which files think: whole crates, and of the others all but the parts that are hands by design.
fn is_brain(room: &str, path: &str) -> bool {
    let Some(inner) = path.strip_prefix("src/") else { return false };
    if inner.ends_with("tests.rs") || inner.contains("tests/") {
        return false;
    }
    match room {
        _ if PURE.contains(&room) => true,
        "ipam" => !inner.starts_with("ledger") && !inner.starts_with("store"),
        "dataplane" => !inner.starts_with("linux"),
        "margay-agent" => inner.starts_with("world") || inner.starts_with("plan"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs(room: &str, path: &str, text: &str) -> Vec<String> {
        let room = Room { name: room.into(), ..Room::default() };
        let mut found = Vec::new();
        check(&room, &Source { path: path.into(), text: text.into() }, &mut found);
        found.into_iter().map(|breach| breach.wrong).collect()
    }

    #[test]
    fn a_brain_that_reads_a_clock_or_a_file_is_caught() {
        let text = "use std::time::{Duration, Instant};\nfn f() { std::fs::read(\"x\"); }";
        let expected = ["a brain names std::time::Instant", "a brain names std::fs::read"];
        assert_eq!(wrongs("model", "src/a.rs", text), expected);
        assert_eq!(wrongs("margay-agent", "src/plan/route.rs", text), expected);
        assert_eq!(wrongs("dataplane", "src/diff.rs", text), expected);
    }

    #[test]
    fn hands_may_do_io() {
        let text = "use std::fs;\nuse tokio::net::TcpStream;";
        for (room, path) in [
            ("margay-agent", "src/apply/mod.rs"),
            ("dataplane", "src/linux/netlink.rs"),
            ("ipam", "src/ledger.rs"),
            ("margayctl", "src/main.rs"),
            ("bgp", "tests/vectors.rs"),
        ] {
            assert!(wrongs(room, path, text).is_empty(), "{room}/{path}");
        }
    }

    #[test]
    fn tests_and_words_in_comments_are_free() {
        let text = "//! No tokio, no std::fs.\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert!(wrongs("bgp", "src/lib.rs", text).is_empty());
    }

    #[test]
    fn addresses_and_durations_are_not_io() {
        let text =
            "use std::net::{IpAddr, SocketAddr};\nuse std::time::Duration;\nstruct Instant;\nfn f(x: Instant) {}";
        assert!(wrongs("bgp", "src/lib.rs", text).is_empty());
    }
}
