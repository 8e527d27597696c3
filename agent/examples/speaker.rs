//! A router of nothing but BGP: [`agent::speaker`] with a file as its configuration, for benches and for trying things.
//!
//! ```text
//! speaker FILE [--once]      prints a line of JSON for each batch of changes; --once ends when in sync
//!
//! router_id: 10.0.0.1        # YAML, or JSON
//! local_as: 65001
//! listen: {port: 179, addresses: [10.0.0.1]}
//! peers:
//!   - {address: 10.0.0.2, as: 65002, passive: true, local_address: 10.0.0.1, password: s3cret, ttl_security: 1}
//!   - {address: 10.0.0.3, as: 65001, rr_client: true}
//! originate: [10.1.0.0/24]
//! ```
//! It believes all and tells all that is best, unless a peer says `import: safe` or `export: originated`. Peers that are
//! `rr_client` make it a route reflector. It touches no kernel routes: `fib: true` is refused.

use std::net::IpAddr;
use std::time::Instant;

use agent::speaker::{self, Listen, Wanted};
use anyhow::Context;
use bgp::config::{
    BGP_PORT, Dialling, ExportPolicy, ImportPolicy, NextHopMode, Origination, PeerConfig, PeerKey, Reflection, Secret,
    SpeakerConfig, Start,
};
use model::{Asn, ClusterId, Family, Prefix, RouterId};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    #[serde(default)]
    fib: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
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
#[serde(deny_unknown_fields)]
struct Peer {
    address: IpAddr,
    #[serde(default = "bgp_port")]
    port: u16,
    #[serde(rename = "as")]
    remote_as: Asn,
    local_address: Option<IpAddr>,
    #[serde(default)]
    passive: bool,
    #[serde(default)]
    rr_client: bool,
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
    config.reflection = if peer.rr_client { Reflection::Client } else { Reflection::None };
    config.password = peer.password.map(Secret::new);
    config.ttl_security = peer.ttl_security;
    (config.import, config.export, config.next_hop) = (peer.import, peer.export, peer.next_hop);
    config.families = peer.families.unwrap_or_else(|| vec![Family::of(peer.address)]);
    (PeerKey::new(peer.address).on_port(peer.port), config)
}

fn wanted(config: Config) -> Wanted {
    let mut speaker = SpeakerConfig::new(config.router_id, config.local_as);
    let reflects = config.peers.iter().any(|peer| peer.rr_client);
    speaker.cluster_id = reflects.then(|| ClusterId(config.router_id.bits()));
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
    let file = arguments.next().context("usage: speaker FILE [--once]")?;
    let once = arguments.any(|a| a == "--once");
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    let config: Config = serde_saphyr::from_str(&text).with_context(|| file.clone())?;
    anyhow::ensure!(!config.fib, "{file}: fib: true: only margay-agent has hands for the kernel");
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let begun = Instant::now();
    let (handle, mut task) = speaker::spawn();
    handle.want(wanted(config));
    loop {
        let batch = tokio::select! {
            batch = handle.changes() => batch,
            _ = &mut task => anyhow::bail!("the speaker has ended"),
        };
        let gone = batch.routes.iter().filter(|change| change.best.is_none()).count();
        let line = serde_json::json!({
            "seconds": begun.elapsed().as_secs_f64(),
            "routes": batch.routes.len() - gone,
            "gone": gone,
            "inSync": batch.in_sync,
        });
        println!("{line}");
        if once && batch.in_sync {
            return Ok(());
        }
    }
}
