//! A namespace for a test, a speaker in it, and patience with a limit.

use std::future::Future;
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use agent::speaker::{self, Batch, Handle, Listen, Wanted};
use bgp::config::{ExportPolicy, ImportPolicy, Origination, PeerConfig, PeerKey, SpeakerConfig, Timers};
use model::api::show::{PeerView, SessionState};
use model::{Asn, Family, Prefix, RouterId};

/// How long anything may take on a machine with other things to do.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a thread in a namespace of its own, in which all of 198.51.100.0/24 and fd00::/16 is its own.
pub fn alone<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(|| {
        dataplane::linux::netns::unshare().expect("a network namespace (needs root)");
        sh("ip link set lo up; ip route add local 198.51.100.0/24 dev lo; ip -6 route add local fd00::/16 dev lo");
        sh("echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind");
        // One thread: sockets are made where the namespace is.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command line in the calling thread's namespace; it must succeed.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
pub fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}
pub fn asn(number: u32) -> Asn {
    Asn::new(number).expect("not 0")
}

/// A speaker at one address.
pub struct Node {
    pub address: IpAddr,
    pub config: SpeakerConfig,
    pub handle: Handle,
}

impl Node {
    /// In this AS, its router id from the last octet of its address. Says nothing yet.
    pub fn new(address: &str, local_as: u32) -> Node {
        let address = ip(address);
        let last = match address {
            IpAddr::V4(a) => u32::from(a.octets()[3]),
            IpAddr::V6(a) => u32::from(a.octets()[15]),
        };
        let id = RouterId::new(0x0a00_0000 + last).expect("not 0");
        let mut config = SpeakerConfig::new(id, asn(local_as));
        // As fast as a test wants it.
        config.timers = Timers {
            connect_retry: Duration::from_secs(1),
            idle_hold: Duration::from_millis(200),
            idle_hold_max: Duration::from_millis(500),
            ..Timers::default()
        };
        config.local_ipv4 = Some([192, 0, 2, 1].into());
        let (handle, _) = speaker::spawn();
        Node { address, config, handle }
    }

    /// Adds a peer that is told what this node originates and believed in everything.
    pub fn peer(&mut self, address: &str, remote_as: u32, adjust: impl FnOnce(&mut PeerConfig)) -> &mut Node {
        let address = ip(address);
        let mut peer = PeerConfig::new(address.to_string(), asn(remote_as));
        peer.local_address = Some(self.address);
        peer.families = vec![Family::of(address)];
        peer.import = ImportPolicy::All;
        peer.export = ExportPolicy::All;
        adjust(&mut peer);
        self.config.peers.insert(PeerKey::new(address), peer);
        self
    }

    /// Announces a prefix.
    pub fn announce(&mut self, text: &str) -> &mut Node {
        self.config.originate.insert(prefix(text), Origination::default());
        self
    }

    /// Puts in force what was said, listening on the node's address only.
    pub fn go(&self) {
        let listen = Listen { addresses: vec![self.address], ..Listen::default() };
        self.handle.want(Wanted { config: Some(self.config.clone()), listen });
    }

    /// What it knows of a peer.
    pub async fn view(&self, peer: &str) -> PeerView {
        let peers = self.handle.peers().await.expect("the speaker lives");
        peers.into_iter().find(|p| p.peer_address == ip(peer)).expect("a peer of this node")
    }

    /// Waits until a peer is as wished.
    pub async fn until(&self, peer: &str, wish: impl Fn(&PeerView) -> bool) -> PeerView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let peers = self.handle.peers().await.expect("the speaker lives");
            let view = peers.into_iter().find(|p| p.peer_address == ip(peer));
            if let Some(view) = view.as_ref().filter(|view| wish(view)) {
                return view.clone();
            }
            assert!(Instant::now() < deadline, "still not as wished: {view:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until what it cannot do is as wished.
    pub async fn until_problems(&self, wish: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let problems = self.handle.problems().await.expect("the speaker lives");
            if wish(&problems) {
                return;
            }
            assert!(Instant::now() < deadline, "still not as wished: {problems:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a session.
    pub async fn up(&self, peer: &str) -> PeerView {
        self.until(peer, |p| p.state == SessionState::Established).await
    }

    /// Waits until changes have said of so many learned prefixes, and that the speaker is in sync.
    pub async fn learns(&self, prefixes: usize) -> Batch {
        let mut all = Batch::default();
        let gather = async {
            while all.routes.len() < prefixes || !all.in_sync {
                let batch = self.handle.changes().await;
                all.in_sync |= batch.in_sync;
                for change in batch.routes {
                    all.routes.retain(|c| c.prefix != change.prefix);
                    all.routes.push(change);
                }
            }
        };
        tokio::time::timeout(PATIENCE, gather).await.expect("routes are learned in time");
        all
    }
}
