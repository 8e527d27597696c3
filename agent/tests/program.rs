//! `margay-agent` as a process, in a network namespace of its own.

#![allow(clippy::expect_used, reason = "a test ends where something unexpected happens")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::api::show::{DrainState, DrainView, NodeStatusView, RouteWhyView};
use model::api::{Answer, BgpReset, RefusalCode, Reply, Request, ResetKind, Show};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const NODE: &str = "apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {projectcalico.org/IPv4Address: 192.0.2.1/24}}
spec: {podCIDRs: [10.244.1.0/24]}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 10.244.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerIP: 192.0.2.254, asNumber: 65000, password: {secretKeyRef: {name: bgp, key: tor}}}
---
apiVersion: v1
kind: Secret
metadata: {name: bgp}
stringData: {tor: hunter2}
";

/// Runs a test on a thread in a namespace of its own, with an uplink at 192.0.2.1.
fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        dataplane::linux::netns::unshare().expect("a network namespace (needs root)");
        let uplink = "ip link set lo up; ip link add up0 type veth peer name far0; \
                      ip addr add 192.0.2.1/24 dev up0; ip link set up0 up; ip link set far0 up";
        assert!(Command::new("sh").args(["-ec", uplink]).status().expect("sh").success());
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

struct Agent {
    process: Child,
    directory: TempDir,
}

impl Agent {
    fn start() -> Agent {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("objects")).expect("made");
        fs::write(directory.path().join("objects/all.yaml"), NODE).expect("written");
        let process = command(directory.path()).spawn().expect("margay-agent");
        Agent { process, directory }
    }
    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/agent.sock")
    }
    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).expect("a log")
    }
    /// Status code and body.
    fn http(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect("127.0.0.1:9091").ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_string()))
    }
    fn until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.http("/readyz").is_none_or(|(status, _)| status != 200) {
            assert!(Instant::now() < deadline, "{:?}\n{}", self.http("/readyz"), self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    /// Ready is who can attach pods; the speaker hears of its peers at about the same time.
    fn until_peered(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status: NodeStatusView = self.show(Show::NodeStatus);
            assert_eq!(status.node.as_str(), "n1");
            if status.peers.len() == 1 {
                return;
            }
            assert!(Instant::now() < deadline, "{status:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    /// Waits until the node is out of service.
    fn until_drained(&self) -> DrainView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status: NodeStatusView = self.show(Show::NodeStatus);
            match status.drain {
                Some(drain) if drain.state == DrainState::Drained => return drain,
                other => assert!(Instant::now() < deadline, "{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    fn show<T: serde::de::DeserializeOwned>(&self, show: Show) -> T {
        match self.order(&Request::Show(show)) {
            Reply::Ok(Answer::Show(view)) => serde_json::from_value(view).expect("the view asked for"),
            other => panic!("{other:?}"),
        }
    }
    fn order(&self, request: &Request) -> Reply {
        let mut stream = UnixStream::connect(self.socket()).expect("the agent answers");
        let request = serde_json::to_string(request).expect("JSON");
        writeln!(stream, "{request}").expect("written");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("a reply")
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_margay-agent"));
    let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).expect("a log");
    command.args(["--node-name", "n1", "--log", "debug", "--http-address", "127.0.0.1:9091"]);
    command.arg("--objects").arg(directory.join("objects")).arg("--state-dir").arg(directory.join("state"));
    command.arg("--socket").arg(directory.join("run/agent.sock")).stdin(Stdio::null()).stderr(log);
    command
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed by then.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn probes_and_metrics_answer_over_http() {
    alone(|| {
        let agent = Agent::start();
        agent.until_ready();
        agent.until_peered();
        assert_eq!(agent.http("/livez"), Some((200, "ok\n".into())));
        assert_eq!(agent.http("/nothing").map(|(status, _)| status), Some(404));
        let (status, metrics) = agent.http("/metrics").expect("metrics");
        assert_eq!(status, 200);
        for line in ["margay_ready 1", "margay_bgp_peer_up{name=\"tor\",peer=\"192.0.2.254\"} 0"] {
            assert!(metrics.lines().any(|l| l == line), "{line} is missing in\n{metrics}");
        }
    });
}

#[test]
fn both_loops_answer_one_question_together() {
    alone(|| {
        let agent = Agent::start();
        agent.until_ready();
        agent.until_peered();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let prefix = "10.244.1.7/32".parse().expect("a prefix");
            let why: RouteWhyView = agent.show(Show::RouteWhy { prefix });
            // The speaker's own route, and the blackhole that follows in the kernel.
            let installed = why.route.as_ref().is_some_and(|route| route.installed);
            if installed && why.paths.len() == 1 {
                assert_eq!(why.prefix.map(|p| p.to_string()).as_deref(), Some("10.244.1.0/24"));
                return;
            }
            assert!(Instant::now() < deadline, "{why:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn a_drained_node_is_still_drained_when_its_agent_comes_again() {
    alone(|| {
        let mut agent = Agent::start();
        agent.until_ready();
        assert_eq!(agent.order(&Request::Drain { message: Some("new rack".into()) }), Reply::Ok(Answer::Done));
        agent.until_drained();
        drop(agent.process.kill());
        drop(agent.process.wait());
        agent.process = command(agent.directory.path()).spawn().expect("margay-agent");
        agent.until_ready();
        let drain = agent.until_drained();
        assert!(drain.reason.starts_with("margayctl node drain: \"new rack\"; sessions end 10s"), "{}", drain.reason);
        let status: NodeStatusView = agent.show(Show::NodeStatus);
        let reason = "drained: this node is out of service until it is undrained";
        let reasons: BTreeSet<&str> = status.peers.iter().map(|peer| peer.reason.as_str()).collect();
        assert_eq!(reasons, BTreeSet::from([reason]));
        assert_eq!(agent.order(&Request::Undrain), Reply::Ok(Answer::Done));
        let status: NodeStatusView = agent.show(Show::NodeStatus);
        assert_eq!(status.drain, None);
    });
}

#[test]
fn a_node_of_which_it_cannot_be_read_whether_it_is_drained_is_taken_as_drained() {
    alone(|| {
        let mut agent = Agent::start();
        agent.until_ready();
        drop(agent.process.kill());
        drop(agent.process.wait());
        // What a disk that fails, or somebody's hand, may leave.
        fs::create_dir(agent.directory.path().join("state/drained")).expect("made");
        agent.process = command(agent.directory.path()).spawn().expect("margay-agent");
        agent.until_ready();
        agent.until_drained();
    });
}

#[test]
fn a_reset_over_the_socket_is_done_or_says_why_not() {
    alone(|| {
        let agent = Agent::start();
        agent.until_ready();
        agent.until_peered();
        let reset = |peer: &str, how| agent.order(&Request::BgpReset(BgpReset { peer: peer.into(), how }));
        assert_eq!(reset("tor", ResetKind::Session), Reply::Ok(Answer::Done), "it is dialled at once");
        for (peer, how, words) in
            [("nobody", ResetKind::Hard, "there is no peer nobody"), ("tor", ResetKind::SoftIn, "is not up")]
        {
            let Reply::Error(refusal) = reset(peer, how) else { panic!("{peer} was reset") };
            assert_eq!(refusal.code, RefusalCode::Invalid);
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    });
}

#[test]
fn a_password_is_neither_logged_nor_shown() {
    alone(|| {
        let agent = Agent::start();
        agent.until_ready();
        let shown = || {
            let mut told = agent.log();
            for show in [
                Show::NodeStatus,
                Show::Diags,
                Show::ObjectErrors,
                Show::Objects { kind: model::api::show::ObjectKind::BGPPeer, name: None },
            ] {
                told += &agent.show::<serde_json::Value>(show).to_string();
            }
            told
        };
        // The speaker hears of its peers a moment after the agent is ready.
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut told = shown();
        while !told.contains("192.0.2.254") {
            assert!(Instant::now() < deadline, "the peer is told of");
            told = shown();
        }
        assert!(!told.contains("hunter2"));
    });
}

#[test]
fn a_second_agent_on_the_same_socket_ends_with_a_clear_error() {
    alone(|| {
        let agent = Agent::start();
        agent.until_ready();
        let second = command(agent.directory.path()).stderr(Stdio::piped()).output().expect("margay-agent");
        assert!(!second.status.success());
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(said.contains("another agent answers there"), "{said}");
        assert_eq!(agent.http("/livez"), Some((200, "ok\n".into())), "the first one is undisturbed");
    });
}
