//! BIRD in a namespace of its own, at the other end of a cable.

use std::fs;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dataplane::linux::netns::{Netns, unshare};
use tempfile::TempDir;

use super::net::{PATIENCE, sh};

/// A running BIRD at 192.0.2.2 and 2001:db8::2. The test's namespace is at 192.0.2.1 and 2001:db8::1.
pub struct Bird {
    process: Child,
    netns: Netns,
    directory: TempDir,
}

impl Bird {
    /// AS 65002, and one session with 192.0.2.1 in AS 65001 with these options; announces 203.0.113.0/24.
    pub fn start(options: &str) -> Bird {
        Bird::with("", options)
    }

    /// The same with more protocols.
    pub fn with(protocols: &str, options: &str) -> Bird {
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "log stderr all; router id 192.0.2.2; protocol device {{ scan time 1; }}\n\
             protocol static {{ ipv4; route 203.0.113.0/24 blackhole; }}\n{protocols}\n\
             protocol bgp margay {{ local 192.0.2.2 as 65002; neighbor 192.0.2.1 as 65001; {options}\n\
             connect delay time 1; connect retry time 1; error wait time 1,2;\n\
             ipv4 {{ import all; export all; }}; }}\n"
        );
        fs::write(directory.path().join("bird.conf"), config).expect("written");
        let path = directory.path().to_path_buf();
        let (sender, receiver) = mpsc::channel();
        // A child is born into the namespace of the thread that starts it.
        std::thread::spawn(move || {
            let netns = unshare().expect("a network namespace (needs root)");
            sh("ip link set lo up");
            let log = fs::File::create(path.join("log")).expect("a file");
            let process = Command::new("bird")
                .args(["-f", "-c", "bird.conf", "-s", "ctl"])
                .current_dir(&path)
                .stderr(log)
                .spawn()
                .expect("bird (Debian package bird2)");
            sender.send((netns, process)).expect("somebody waits");
        });
        let (netns, process) = receiver.recv().expect("bird started");
        sh(&format!("ip link add near type veth peer name far netns {}", process.id()));
        sh("ip addr add 192.0.2.1/24 dev near; ip addr add 2001:db8::1/64 dev near nodad; ip link set near up");
        let bird = Bird { process, netns, directory };
        bird.sh("ip addr add 192.0.2.2/24 dev far; ip addr add 2001:db8::2/64 dev far nodad; ip link set far up");
        bird
    }

    /// Runs a command line on BIRD's side.
    pub fn sh(&self, line: &str) -> String {
        self.netns.run(|| sh(line)).expect("BIRD's namespace")
    }

    /// Asks BIRD.
    pub fn ask(&self, question: &str) -> String {
        self.sh(&format!("cd {}; birdc -s ctl {question}", self.directory.path().display()))
    }

    /// Waits until BIRD's answer holds this text. For a test whose speaker does not have to run meanwhile.
    pub async fn until(&self, question: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(question);
            if answer.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "no {text:?} in\n{answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.directory.path().join("log")).unwrap_or_default());
        }
        // It may have ended by itself, which the test has noticed by then.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
