//! The whole agent and FRRouting on a link without addresses: they find each other, peer, and IPv4 packets flow.

#![allow(clippy::expect_used, reason = "a test ends where something unexpected happens")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dataplane::linux::netns::{Netns, unshare};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

const OBJECTS: &str = "apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {projectcalico.org/IPv4Address: 192.0.2.1/32}}
spec: {podCIDRs: [10.244.1.0/24, 'fd00:10:244::/64']}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 10.244.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: tor}
spec: {peerInterface: near, peerType: eBGP}
";

const FRR: &str = "log stdout
router bgp 65002
 bgp router-id 192.0.2.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor far interface remote-as external
 neighbor far timers connect 1
 address-family ipv4 unicast
  network 203.0.113.0/24
  neighbor far activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:203::/64
  neighbor far activate
 exit-address-family
";

fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// Processes of one side, ended with it.
struct Side {
    processes: Vec<Child>,
    netns: Netns,
    folder: TempDir,
}

impl Drop for Side {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
        for process in &mut self.processes {
            // It may have ended by itself, which the test has noticed by then.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Side {
    fn sh(&self, line: &str) -> String {
        self.netns.run(|| sh(line)).expect("the namespace")
    }
}

fn log(folder: &Path) -> fs::File {
    fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log")
}

/// FRR's zebra and bgpd in a namespace of their own, at the far end of a cable.
fn frr() -> Side {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("bgpd.conf"), FRR).expect("written");
    let path = folder.path().to_path_buf();
    let (sender, receiver) = mpsc::channel();
    // A child is born into the namespace of the thread that starts it.
    std::thread::spawn(move || {
        let netns = unshare().expect("a network namespace (needs root)");
        sh("ip link set lo up; ip addr add 203.0.113.1/32 dev lo");
        sender.send((netns, Command::new("sleep").arg("600").spawn().expect("sleep"))).expect("somebody waits");
    });
    let (netns, anchor) = receiver.recv().expect("a namespace");
    sh(&format!("ip link add near type veth peer name far netns {}; ip link set near up", anchor.id()));
    let mut side = Side { processes: vec![anchor], netns, folder };
    side.sh(
        "ip link set far up; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
    );
    for name in ["zebra", "bgpd"] {
        let config = if name == "bgpd" { path.join("bgpd.conf") } else { "/dev/null".into() };
        let mut daemon = Command::new(format!("/usr/lib/frr/{name}"));
        daemon.args(["-u", "root", "-g", "frrvty", "-P", "0", "--vty_socket"]).arg(&path);
        daemon.arg("-z").arg(path.join("zserv.api")).arg("-i").arg(path.join(format!("{name}.pid")));
        daemon.arg("-f").arg(config).stdout(log(&path)).stderr(log(&path));
        let child = side.netns.run(move || daemon.spawn()).expect("the namespace");
        side.processes.push(child.expect("zebra and bgpd (Debian package frr)"));
        std::thread::sleep(Duration::from_millis(300));
    }
    side
}

/// The agent on this thread's side of the cable.
fn agent() -> (Child, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::create_dir(path.join("objects")).expect("made");
    fs::write(path.join("objects/all.yaml"), OBJECTS).expect("written");
    let mut agent = Command::new(env!("CARGO_BIN_EXE_margay-agent"));
    agent.args(["--node-name", "n1", "--objects"]).arg(path.join("objects"));
    agent.arg("--state-dir").arg(path.join("state")).arg("--socket").arg(path.join("agent.sock"));
    (agent.stdout(log(path)).stderr(log(path)).spawn().expect("margay-agent"), folder)
}

fn until(what: &str, mut look: impl FnMut() -> String, wish: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if wish(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: still\n{seen}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn rfc8950_ipv4_flows_over_a_link_without_addresses_to_frr_which_nobody_has_named() {
    let thread = std::thread::spawn(|| {
        let here = unshare().expect("a network namespace (needs root)");
        // The node's own pod: an address inside its block.
        sh("ip link set lo up; ip addr add 10.244.1.1/32 dev lo");
        let far = frr();
        let (process, folder) = agent();
        let near = Side { processes: vec![process], netns: here, folder };
        let route = until("our route", || sh("ip route show 203.0.113.0/24"), |seen| !seen.is_empty());
        assert!(route.starts_with("203.0.113.0/24 via inet6 fe80::"), "{route}");
        assert!(route.contains(" dev near "), "{route}");
        let back = until("FRR's route", || far.sh("ip route show 10.244.1.0/24"), |seen| !seen.is_empty());
        assert!(back.contains("via inet6 fe80::"), "{back}");
        let six = until("our IPv6 route", || sh("ip -6 route show 2001:db8:203::/64"), |seen| !seen.is_empty());
        assert!(six.contains("via fe80::") && six.contains(" dev near "), "{six}");
        let ping = near.sh("ping -c 3 -i 0.2 -W 2 -I 10.244.1.1 203.0.113.1");
        assert!(ping.contains(" 0% packet loss"), "{ping}");
        // Nobody has an IPv4 address on the link.
        assert_eq!(sh("ip -4 -o addr show dev near"), "");
        assert_eq!(far.sh("ip -4 -o addr show dev far"), "");
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
