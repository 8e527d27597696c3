//! Pod networking by upstream's `ptp` plugin and static routes: what margay is compared with, and a cluster without margay.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use e2e::{ip, wait};
use serde_json::json;

use crate::kubectl::Kubectl;
use crate::plan::Plan;

/// Sorts before every other configuration, so that it is the one in force while it is there.
const FILE: &str = "00-ptp.conflist";
const SOON: Duration = Duration::from_secs(60);

/// Configures the plugin on every node, and routes between them.
pub fn install_ptp(plan: &Plan) -> Result<()> {
    for node in &plan.nodes {
        let pods = pod_cidr(plan, node)?;
        write_ptp(plan, node, &pods)?;
        let route = format!("route replace {pods} via {}", plan.node_ip(node)?);
        for other in plan.nodes.iter().filter(|other| *other != node) {
            ip::batch_in(&plan.node(other), std::slice::from_ref(&route))?;
        }
        ip::batch_in(&plan.router(), &[route])?;
    }
    Ok(())
}

/// Configures the plugin on one node, with addresses from `pods`. Gives the file, which whoever wants an end of it removes.
pub fn write_ptp(plan: &Plan, node: &str, pods: &str) -> Result<PathBuf> {
    let list = json!({"cniVersion": "1.0.0", "name": "ptp", "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": true}},
    ]});
    let folder = plan.node_folder(node).join("disk/etc/cni/net.d");
    fs::create_dir_all(&folder)?;
    // The runtime watches the folder: the file appears whole.
    fs::write(folder.join("ptp.unfinished"), list.to_string())?;
    fs::rename(folder.join("ptp.unfinished"), folder.join(FILE))?;
    Ok(folder.join(FILE))
}

/// What the controllers gave to a node.
pub fn pod_cidr(plan: &Plan, node: &str) -> Result<String> {
    let kubectl = Kubectl::new(plan);
    wait::until(SOON, &format!("a pod CIDR for {node}"), || {
        let cidr = kubectl.text(&["get", "node", node, "-o", "jsonpath={.spec.podCIDR}"])?;
        if cidr.is_empty() {
            bail!("it is registered, without one");
        }
        Ok(cidr)
    })
}
