//! FRR's bgpd in a namespace of its own, at the other end of a cable. Without zebra: its kernel is of no interest.

use std::fs;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dataplane::linux::netns::{Netns, unshare};
use tempfile::TempDir;

use super::net::{PATIENCE, sh};

/// A running bgpd at 192.0.2.2. The test's namespace is at 192.0.2.1.
pub struct Frr {
    process: Child,
    netns: Netns,
    directory: TempDir,
}

impl Frr {
    /// AS 65002, and one session with 192.0.2.1 in AS 65001 with these options (`neighbor 192.0.2.1 …` each);
    /// announces 203.0.113.0/24.
    pub fn start(options: &[&str]) -> Frr {
        let directory = tempfile::tempdir().expect("a directory");
        let options: String = options.iter().map(|option| format!(" neighbor 192.0.2.1 {option}\n")).collect();
        let config = format!(
            "log stdout\nrouter bgp 65002\n bgp router-id 192.0.2.2\n no bgp ebgp-requires-policy\n \
             no bgp network import-check\n bgp graceful-restart\n neighbor 192.0.2.1 remote-as 65001\n \
             neighbor 192.0.2.1 timers connect 1\n neighbor 192.0.2.1 advertisement-interval 0\n{options} \
             address-family ipv4 unicast\n  network 203.0.113.0/24\n exit-address-family\n"
        );
        fs::write(directory.path().join("bgpd.conf"), config).expect("written");
        let path = directory.path().to_path_buf();
        let (sender, receiver) = mpsc::channel();
        // A child is born into the namespace of the thread that starts it.
        std::thread::spawn(move || {
            let netns = unshare().expect("a network namespace (needs root)");
            sh("ip link set lo up");
            let log = fs::File::create(path.join("log")).expect("a file");
            let process = Command::new("/usr/lib/frr/bgpd")
                .args(["-u", "root", "-g", "frrvty", "-P", "0", "-Z", "-f", "bgpd.conf", "-i", "pid", "--vty_socket"])
                .arg(&path)
                .current_dir(&path)
                .stdout(log.try_clone().expect("a file"))
                .stderr(log)
                .spawn()
                .expect("bgpd (Debian package frr)");
            sender.send((netns, process)).expect("somebody waits");
        });
        let (netns, process) = receiver.recv().expect("bgpd started");
        sh(&format!("ip link add near type veth peer name far netns {}", process.id()));
        sh("ip addr add 192.0.2.1/24 dev near; ip link set near up");
        let frr = Frr { process, netns, directory };
        frr.netns.run(|| sh("ip addr add 192.0.2.2/24 dev far; ip link set far up")).expect("bgpd's namespace");
        frr
    }

    /// Runs lines in vtysh.
    pub fn ask(&self, lines: &[&str]) -> String {
        let mut vtysh = Command::new("/usr/bin/vtysh");
        vtysh.arg("--vty_socket").arg(self.directory.path()).args(["-d", "bgpd"]);
        vtysh.args(lines.iter().flat_map(|line| ["-c", line]));
        String::from_utf8_lossy(&vtysh.output().expect("vtysh").stdout).into_owned()
    }

    /// Waits until the answer holds this text.
    pub async fn until(&self, line: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(&[line]);
            if answer.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "no {text:?} in\n{answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.directory.path().join("log")).unwrap_or_default());
        }
        // It may have ended by itself, which the test has noticed by then.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
