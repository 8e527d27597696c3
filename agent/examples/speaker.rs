//! A router of nothing but BGP: [`agent::speaker`] with a file as its configuration, for benches and for trying things.
//!
//! ```text
//! speaker FILE.yaml [--once]      prints a line of JSON for each batch of changes; --once ends when in sync
//!
//! routerId: 10.0.0.1
//! localAs: 65001
//! listen: {port: 179, addresses: [10.0.0.1]}
//! peers:
//!   - {address: 10.0.0.2, remoteAs: 65002, passive: true, localAddress: 10.0.0.1, password: s3cret, ttlSecurity: 1}
//! originate: [10.1.0.0/24]
//! ```
//! It believes all and tells all that is best, unless a peer says `import: safe` or `export: originated`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use agent::speaker::{self, Listen, Wanted};
use anyhow::Context;
use bgp::config::{
    BGP_PORT, Dialling, ExportPolicy, ImportPolicy, NextHopMode, Origination, PeerConfig, PeerKey, Secret,
    SpeakerConfig, Start,
};
use model::{Asn, Family, Prefix, RouterId};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    router_id: RouterId,
    local_as: Asn,
    #[serde(default)]
    listen: ListenConfig,
    #[serde(default)]
    peers: Vec<Peer>,
    #[serde(default)]
    originate: Vec<Prefix>,
    /// Whether to claim that routes of a predecessor are in the kernel (RFC 4724).
    #[serde(default)]
    restarted: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ListenConfig {
    port: u16,
    addresses: Vec<IpAddr>,
}

impl Default for ListenConfig {
    fn default() -> ListenConfig {
        ListenConfig { port: BGP_PORT, addresses: vec![] }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Peer {
    address: IpAddr,
    #[serde(default = "bgp_port")]
    port: u16,
    remote_as: Asn,
    local_address: Option<IpAddr>,
    #[serde(default)]
    passive: bool,
    password: Option<String>,
    ttl_security: Option<u8>,
    #[serde(default = "everything")]
    import: ImportPolicy,
    #[serde(default = "all_best")]
    export: ExportPolicy,
    #[serde(default)]
    next_hop: NextHopMode,
    families: Option<Vec<Family>>,
}

fn bgp_port() -> u16 {
    BGP_PORT
}
fn everything() -> ImportPolicy {
    ImportPolicy::All
}
fn all_best() -> ExportPolicy {
    ExportPolicy::All
}

fn peer(peer: Peer) -> (PeerKey, PeerConfig) {
    let mut config = PeerConfig::new(peer.address.to_string(), peer.remote_as);
    config.local_address = peer.local_address;
    config.dial = if peer.passive { Dialling::Passive } else { Dialling::Active };
    config.password = peer.password.map(Secret::new);
    config.ttl_security = peer.ttl_security;
    (config.import, config.export, config.next_hop) = (peer.import, peer.export, peer.next_hop);
    config.families = peer.families.unwrap_or_else(|| vec![Family::of(peer.address)]);
    (PeerKey { address: peer.address, port: peer.port }, config)
}

fn wanted(config: Config) -> Wanted {
    let mut speaker = SpeakerConfig::new(config.router_id, config.local_as);
    speaker.peers = config.peers.into_iter().map(peer).collect();
    speaker.originate = config.originate.into_iter().map(|p| (p, Origination::default())).collect();
    if config.restarted {
        speaker.graceful_restart.start = Start::Restarted;
    }
    let listen = Listen { port: config.listen.port, addresses: config.listen.addresses };
    Wanted { config: Some(speaker), listen }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("usage: speaker FILE.yaml [--once]")?;
    let once = arguments.any(|a| a == "--once");
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    let config: Config = serde_saphyr::from_str(&text).with_context(|| file.clone())?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let begun = Instant::now();
    let (handle, mut task) = speaker::spawn();
    handle.want(wanted(config));
    let mut next_hops: BTreeMap<Prefix, usize> = BTreeMap::new();
    loop {
        let batch = tokio::select! {
            batch = handle.changes() => batch,
            _ = &mut task => anyhow::bail!("the speaker has ended"),
        };
        let changed = batch.routes.len();
        for change in batch.routes {
            match change.best {
                Some(best) => next_hops.insert(change.prefix, best.next_hops.len()),
                None => next_hops.remove(&change.prefix),
            };
        }
        let line = serde_json::json!({
            "seconds": begun.elapsed().as_secs_f64(), "changed": changed, "routes": next_hops.len(), "inSync": batch.in_sync,
        });
        println!("{line}");
        if once && batch.in_sync {
            return Ok(());
        }
    }
}
