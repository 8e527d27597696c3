//! Ours: the speaker alone, or the whole agent with objects as a cluster has them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::bgp_bench::scenario::{CONTESTANT, LOCAL_AS, Ours, PeerRole, Scenario};
use crate::objects::{Objects, bgp_peer};
use crate::programs::Programs;

pub(super) fn commands(scenario: &Scenario, folder: &Path, programs: &Programs) -> Result<Vec<Command>> {
    match scenario.ours {
        Ours::Speaker => speaker(scenario, folder, programs),
        Ours::Agent => agent(scenario, folder, programs),
    }
}

fn speaker(scenario: &Scenario, folder: &Path, programs: &Programs) -> Result<Vec<Command>> {
    let program = programs.folder.join("examples/speaker");
    ensure!(
        program.is_file(),
        "{} is not there: cargo build --package margay-agent --example speaker",
        program.display()
    );
    let peer = |peer: &crate::bgp_bench::scenario::Peer| json!({"address": peer.address, "as": peer.asn, "rr_client": peer.kind == PeerRole::Client, "passive": true});
    let peers: Vec<Value> = scenario.peers().map(peer).collect();
    let file = folder.join("speaker.json");
    fs::write(&file, json!({"router_id": CONTESTANT, "local_as": LOCAL_AS, "peers": peers}).to_string())?;
    let mut speaker = Command::new(program);
    speaker.arg(file);
    Ok(vec![speaker])
}

/// The node's peers are nodes: of its mesh, or its clients.
fn agent(scenario: &Scenario, folder: &Path, programs: &Programs) -> Result<Vec<Command>> {
    let reflects = scenario.peers().any(|peer| peer.kind == PeerRole::Client);
    let objects = Objects::in_folder(&folder.join("objects"))?;
    objects.write(
        "bgp-default",
        &format!(
            "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n  asNumber: {LOCAL_AS}\n  nodeToNodeMeshEnabled: {}\n",
            !reflects
        ),
    )?;
    let mut nodes = node("contestant", CONTESTANT.to_string(), reflects);
    for (peer, number) in scenario.peers().zip(0..) {
        nodes += "---\n";
        nodes += &node(&format!("load-{number}"), peer.address.to_string(), false);
    }
    objects.write("nodes", &nodes)?;
    if reflects {
        let spec = "  nodeSelector: has(route-reflector)\n  peerSelector: \"!has(route-reflector)\"\n";
        objects.write("clients", &bgp_peer("clients", spec))?;
    }
    let mut agent = Command::new(programs.agent());
    agent.args(["--node-name", "contestant", "--http-address", "", "--log", "warn"]);
    agent.arg("--objects").arg(folder.join("objects")).arg("--state-dir").arg(folder.join("state"));
    agent.arg("--socket").arg(folder.join("margay.sock"));
    Ok(vec![agent])
}

fn node(name: &str, address: String, reflects: bool) -> String {
    let (label, cluster) = if reflects {
        ("\n  labels:\n    route-reflector: \"true\"", "\n    projectcalico.org/RouteReflectorClusterID: 10.99.0.1")
    } else {
        ("", "")
    };
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}{label}\n  annotations:\n    projectcalico.org/IPv4Address: {address}/16{cluster}\n"
    )
}
