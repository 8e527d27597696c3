//! The objects that describe a lab: the same YAML that a cluster would hold, one file each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::plan::{CLUSTER_AS, Family, POOLS, Plan, Shape, tor_as, tor_name};

/// A folder of objects that an agent watches.
#[derive(Debug, Clone)]
pub struct Objects {
    folder: PathBuf,
}

impl Objects {
    /// The objects in `folder`, which is made if it is not there.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Puts `name.yaml` in place in one step, as a careful editor does.
    pub fn write(&self, name: &str, yaml: &str) -> Result<()> {
        let draft = self.folder.join(format!(".{name}.draft"));
        fs::write(&draft, yaml).with_context(|| format!("cannot write {}", draft.display()))?;
        fs::rename(&draft, self.path(name)).with_context(|| format!("cannot write {name}.yaml"))
    }

    /// Takes `name.yaml` away.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.path(name)).with_context(|| format!("cannot remove {name}.yaml"))
    }

    /// The text of `name.yaml`.
    pub fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.path(name)).with_context(|| format!("cannot read {name}.yaml"))
    }

    /// Where `name.yaml` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.yaml"))
    }

    /// Writes every object of a lab.
    pub fn write_all(&self, plan: &Plan) -> Result<()> {
        for (name, yaml) in of_lab(plan) {
            self.write(&name, &yaml)?;
        }
        Ok(())
    }
}

/// Every object of a lab: (file name, YAML).
pub fn of_lab(plan: &Plan) -> Vec<(String, String)> {
    let mut objects = vec![("bgp-default".into(), bgp_configuration(plan))];
    for (family, cidr) in [("ipv4", POOLS[0]), ("ipv6", POOLS[1])] {
        objects.push((format!("pool-{family}"), ip_pool(family, cidr)));
    }
    for node in 1..=plan.nodes {
        objects.push((format!("node-n{node}"), node_object(plan, node)));
    }
    objects.extend(peers(plan));
    objects
}

fn bgp_configuration(plan: &Plan) -> String {
    let mesh = plan.shape == Shape::Mesh;
    format!(
        "apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata:
  name: default
spec:
  asNumber: {CLUSTER_AS}
  nodeToNodeMeshEnabled: {mesh}
"
    )
}

fn ip_pool(name: &str, cidr: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: {name}
spec:
  cidr: {cidr}
  natOutgoing: true
"
    )
}

fn node_object(plan: &Plan, node: usize) -> String {
    let (v4, v6) = (plan.node_address(node, Family::V4), plan.node_address(node, Family::V6));
    let (cidr4, cidr6) = plan.pod_cidrs(node);
    let mut annotations = format!("    projectcalico.org/IPv4Address: {v4}\n    projectcalico.org/IPv6Address: {v6}\n");
    if !plan.shares_subnet() {
        annotations += &format!("    projectcalico.org/ASNumber: \"{}\"\n", plan.node_as(node));
    }
    let mut labels = format!("    kubernetes.io/hostname: n{node}\n");
    if plan.reflects(node) {
        annotations += "    projectcalico.org/RouteReflectorClusterID: 244.0.0.1\n";
        labels += "    route-reflector: \"true\"\n";
    }
    format!(
        "apiVersion: v1
kind: Node
metadata:
  name: n{node}
  labels:
{labels}  annotations:
{annotations}spec:
  podCIDRs:
  - {cidr4}
  - {cidr6}
"
    )
}

/// A BGPPeer, with the lines that follow `spec:`, indented by two.
pub fn bgp_peer(name: &str, spec: &str) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata:\n  name: {name}\nspec:\n{spec}")
}

/// A Secret in `kube-system`, as `BGPPeer.spec.password.secretKeyRef` names one.
pub fn secret(name: &str, key: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: kube-system\nstringData:\n  {key}: {value}\n"
    )
}

/// A Pod on a node.
pub fn pod(namespace: &str, name: &str, node: &str, annotations: &[(&str, &str)]) -> String {
    let mut yaml = format!("apiVersion: v1\nkind: Pod\nmetadata:\n  namespace: {namespace}\n  name: {name}\n");
    if !annotations.is_empty() {
        yaml += "  annotations:\n";
        for (key, value) in annotations {
            yaml += &format!("    {key}: '{value}'\n");
        }
    }
    yaml + &format!("spec:\n  nodeName: {node}\n")
}

/// The name of the BGPPeer from a node (or from all) to a router.
pub fn tor_peer_name(node: Option<usize>, tor: usize, family: Family) -> String {
    let family = if family == Family::V4 { "ipv4" } else { "ipv6" };
    match node {
        Some(node) => format!("n{node}-{}-{family}", tor_name(tor)),
        None => format!("{}-{family}", tor_name(tor)),
    }
}

/// The lines after `spec:` of that BGPPeer.
pub fn tor_peer_spec(plan: &Plan, node: Option<usize>, tor: usize, family: Family) -> String {
    let link = plan.uplink(node.unwrap_or(1), tor);
    let whose = node.map(|node| format!("  node: n{node}\n")).unwrap_or_default();
    format!("{whose}  peerIP: \"{}\"\n  asNumber: {}\n", family.of(link.router), tor_as(tor))
}

fn peers(plan: &Plan) -> Vec<(String, String)> {
    let mut objects = Vec::new();
    let nodes: Vec<Option<usize>> =
        if plan.shares_subnet() { vec![None] } else { (1..=plan.nodes).map(Some).collect() };
    for node in nodes {
        for tor in plan.tors() {
            for family in crate::plan::FAMILIES {
                let name = tor_peer_name(node, tor, family);
                let yaml = bgp_peer(&name, &tor_peer_spec(plan, node, tor, family));
                objects.push((format!("peer-{name}"), yaml));
            }
        }
    }
    if plan.shape == Shape::RouteReflector {
        let spec = "  nodeSelector: \"!has(route-reflector)\"\n  peerSelector: has(route-reflector)\n";
        objects.push(("peer-to-reflectors".into(), bgp_peer("to-reflectors", spec)));
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shapes_without_a_mesh_turn_it_off() {
        for (shape, mesh) in [(Shape::Mesh, true), (Shape::Tor, false), (Shape::RouteReflector, false)] {
            let yaml = bgp_configuration(&Plan::new("lab", shape));
            assert!(yaml.contains(&format!("nodeToNodeMeshEnabled: {mesh}")), "{yaml}");
        }
    }

    #[test]
    fn every_node_peers_with_every_router_in_both_families() {
        let names =
            |shape| -> Vec<String> { peers(&Plan::new("lab", shape)).into_iter().map(|(name, _)| name).collect() };
        assert_eq!(names(Shape::Mesh), ["peer-tor-ipv4", "peer-tor-ipv6"]);
        assert_eq!(names(Shape::TwoTors).len(), 8);
    }
}
