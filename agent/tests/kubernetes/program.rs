//! The whole agent with the API server as its source, in a network namespace of its own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::PodRef;
use model::api::show::{DiagPart, NodeStatusView};
use model::api::{Answer, Attach, AttachPlan, Attachment, Reply, Request, Show};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::Server;
use super::{NAMESPACES, NODES, PATIENCE, PEERS, PODS, POOLS, SECRETS, named, peer, pool};

/// Below the time for which an ADD waits for its pod.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// Runs a test on a thread in a namespace of its own; the server's threads are born there, too.
fn alone(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        dataplane::linux::netns::unshare().expect("a network namespace (needs root)");
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip").success());
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A cluster with this node, a pool and an empty namespace.
fn cluster() -> Server {
    let server = Server::start();
    server.put(NODES, json!({"metadata": {"name": "n1"}, "spec": {"podCIDRs": ["10.244.1.0/24"]}}));
    server.put(NAMESPACES, named("default"));
    server.put(POOLS, pool("pods", "10.244.0.0/16"));
    server
}

struct Agent {
    process: Child,
    directory: TempDir,
}

impl Agent {
    fn start(server: &Server) -> Agent {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_margay-agent"));
        command.args(["--node-name", "n1", "--http-address", "", "--log", "debug"]);
        command.arg("--kubeconfig").arg(server.kubeconfig(directory.path()));
        command
            .arg("--state-dir")
            .arg(at("state"))
            .arg("--socket")
            .arg(at("agent.sock"))
            .arg("--record")
            .arg(at("record"));
        let log = fs::File::create(at("log")).expect("a log");
        let process = command.stdin(Stdio::null()).stderr(log).spawn().expect("margay-agent");
        Agent { process, directory }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).expect("a file")
    }

    fn ask(&self, request: &Request) -> Option<Reply> {
        let mut stream = UnixStream::connect(self.directory.path().join("agent.sock")).ok()?;
        writeln!(stream, "{}", serde_json::to_string(request).ok()?).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    fn show<T: serde::de::DeserializeOwned>(&self, show: Show) -> Option<T> {
        match self.ask(&Request::Show(show))? {
            Reply::Ok(Answer::Show(view)) => serde_json::from_value(view).ok(),
            _ => None,
        }
    }

    fn until(&self, what: &str, meant: impl Fn(&NodeStatusView) -> bool) -> NodeStatusView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status: Option<NodeStatusView> = self.show(Show::NodeStatus);
            match status {
                Some(status) if meant(&status) => return status,
                other => assert!(Instant::now() < deadline, "not {what}: {other:?}\n{}", self.read("log")),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn attach(&self, pod: &str, uid: &str) -> AttachPlan {
        let attach = Attach {
            attachment: Attachment { container_id: format!("c-{pod}-{uid}"), ifname: "eth0".into() },
            netns: String::new(),
            pod: Some(PodRef { namespace: "default".into(), name: pod.into() }),
            uid: Some(uid.into()),
            mtu: None,
            network: "margay".into(),
            addresses: Vec::new(),
        };
        match self.ask(&Request::Attach(attach)) {
            Some(Reply::Ok(Answer::Attach(plan))) => plan,
            other => panic!("{other:?}\n{}", self.read("log")),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn pod(name: &str, uid: &str, address: &str) -> Value {
    let annotations = json!({"cni.projectcalico.org/ipAddrs": format!("[\"{address}\"]")});
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": uid, "annotations": annotations},
        "spec": {"nodeName": "n1"},
    })
}

#[test]
fn an_add_that_comes_before_its_pod_was_seen_waits_for_what_is_written_on_it() {
    alone(|| {
        let server = cluster();
        // One of the same name was there before, and is not meant.
        server.put(PODS, pod("web", "u1", "10.244.1.11"));
        let agent = Agent::start(&server);
        agent.until("ready", |status| status.ready);
        let plan = std::thread::scope(|scope| {
            let attaching = scope.spawn(|| agent.attach("web", "u2"));
            // Whichever comes first: the outcome is the same.
            std::thread::sleep(Duration::from_millis(200));
            server.put(PODS, pod("web", "u2", "10.244.1.77"));
            attaching.join().expect("attached")
        });
        assert_eq!(plan.addresses, ["10.244.1.77".parse::<std::net::IpAddr>().expect("an address")]);
        // One that is never shown is attached all the same.
        assert_eq!(agent.attach("ghost", "u3").addresses.len(), 1);
        assert!(agent.read("log").contains("the API server does not show this pod"));
    });
}

#[test]
fn while_the_api_server_is_away_pods_are_attached_at_once_and_the_status_says_so() {
    alone(|| {
        let mut server = cluster();
        let agent = Agent::start(&server);
        let status = agent.until("ready", |status| status.ready);
        assert!(status.api_server.is_some_and(|server| server.connected));
        server.put(PODS, pod("known", "u1", "10.244.1.77"));
        agent.attach("known", "u1");
        server.stop();
        let connected = |status: &NodeStatusView| status.api_server.as_ref().is_some_and(|server| server.connected);
        let status = agent.until("away", |status| !connected(status));
        assert!(status.ready, "{status:?}");
        let begun = Instant::now();
        assert_eq!(agent.attach("unknown", "u2").addresses.len(), 1);
        assert!(begun.elapsed() < AT_ONCE, "an ADD waited for a server that is away");
        server.resume();
        agent.until("back", connected);
    });
}

#[test]
fn neither_recording_nor_diags_nor_log_hold_a_secret() {
    alone(|| {
        let server = cluster();
        let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": "hunter2 and aHVudGVyMg=="});
        let metadata = json!({"name": "bgp", "namespace": "kube-system", "annotations": applied});
        server.put(SECRETS, json!({"metadata": metadata, "data": {"k": "aHVudGVyMg=="}}));
        server.put(PEERS, peer("tor", "bgp"));
        let agent = Agent::start(&server);
        agent.until("ready", |status| status.ready);
        let diags: Vec<DiagPart> = agent.show(Show::Diags).expect("diags");
        let recording = agent.read("record");
        assert!(recording.contains("\"Secret\""), "the Secret was never read");
        let said = format!("{diags:?}{recording}{}", agent.read("log"));
        assert!(!said.contains("hunter2") && !said.contains("aHVudGVyMg"), "a secret leaked");
    });
}
