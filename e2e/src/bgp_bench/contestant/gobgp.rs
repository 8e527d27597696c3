//! GoBGP.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bgp_bench::scenario::{CONTESTANT, LOCAL_AS, Peer, PeerRole, Scenario};

pub(super) fn commands(scenario: &Scenario, folder: &Path) -> Result<Vec<Command>> {
    let neighbours: Vec<Value> = scenario.peers().map(neighbour).collect();
    let config = json!({
        "global": {"config": {"as": LOCAL_AS, "router-id": CONTESTANT, "port": 179, "local-address-list": [CONTESTANT]}},
        "neighbors": neighbours,
    });
    let file = folder.join("gobgp.json");
    fs::write(&file, config.to_string())?;
    let mut gobgpd = Command::new("/usr/bin/gobgpd");
    gobgpd.args(["-t", "json", "-l", "warn", "-f"]).arg(file);
    gobgpd.arg("--api-hosts").arg(format!("unix://{}", folder.join("gobgp.sock").display()));
    Ok(vec![gobgpd])
}

fn neighbour(peer: &Peer) -> Value {
    let mut neighbour = json!({
        "config": {"neighbor-address": peer.address, "peer-as": peer.asn},
        "timers": {"config": {"hold-time": 90, "keepalive-interval": 30}},
        "transport": {"config": {"passive-mode": true, "local-address": CONTESTANT}},
    });
    if peer.kind == PeerRole::Client {
        let reflects = json!({"route-reflector-client": true, "route-reflector-cluster-id": CONTESTANT});
        neighbour["route-reflector"] = json!({"config": reflects});
    }
    neighbour
}
