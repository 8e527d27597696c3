//! A node whose pods another plugin wires, as flannel does: a bridge, masquerading, and margay for policies alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use model::Protocol;
use serde_json::{Value, json};

use crate::cni::{Attachment, Network};
use crate::lab::address;
use crate::netns::Netns;
use crate::objects::of_lab;
use crate::plan::{FAMILIES, Family, Shape};
use crate::pods::policy;
use crate::prober::{Expected, MachineId, Probe, Prober};
use crate::process::Process;
use crate::programs::CNI_PLUGINS;
use crate::trial::Trial;
use crate::{ip, wait};

/// Ports that every machine answers on.
pub const PORTS: [u16; 2] = [80, 81];
/// The other plugin's bridge.
pub const BRIDGE: &str = "cni0";
/// A Service's address: what the kube-proxy of this node sends to port 80 of pod `web`, and what to port 81.
pub const SERVICE: [&str; 2] = ["10.96.0.10", "fd00:96::10"];
/// The namespace of the pods.
pub const NAMESPACE: &str = "shop";
/// The pods, each labelled `app` with its name.
pub const PODS: [&str; 3] = ["web", "front", "cron"];
/// How long rules may take to be in force before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Namespace of a pod of the node that is nowhere but in the objects; its policy tells which of them are in force.
const MARKER: &str = "marker";

/// The lab: node `n1` with the pods, and `n2`, another machine of the subnet that has a route to them.
#[derive(Debug)]
pub struct Bridged {
    /// Its machines.
    pub trial: Trial,
    /// Everybody's packets.
    pub prober: Prober,
    /// The node.
    pub node: MachineId,
    /// The other machine.
    pub other: MachineId,
    pods: BTreeMap<String, Pod>,
    versions: u8,
}

/// A pod that stands.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its namespace.
    pub netns: Netns,
    /// Who asks from there.
    pub machine: MachineId,
    /// IPv4 and IPv6.
    pub addresses: [IpAddr; 2],
    /// Whether its object has its addresses.
    known: bool,
}

impl Bridged {
    /// Everything but the agent.
    pub fn without_agent() -> Result<Self> {
        let trial = Trial::new(Shape::Mesh)?;
        trial.build_machines()?;
        let [n1, n2] = [1, 2].map(|node| trial.plan.node_netns(node));
        n1.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        let (v4, v6) = trial.plan.pod_cidrs(1);
        let [via4, via6] = FAMILIES.map(|family| trial.plan.node_ip(1, family));
        ip::batch_in(&n2, &[format!("route add {v4} via {via4}"), format!("route add {v6} via {via6}")])?;
        let mut prober = Prober::new();
        let (node, other) = (prober.add("n1", &n1, &PORTS)?, prober.add("n2", &n2, &PORTS)?);
        let mut lab = Self { trial, prober, node, other, pods: BTreeMap::new(), versions: 0 };
        PODS.into_iter().try_for_each(|pod| lab.wire(pod))?;
        let rules = lab.rules_of_others()?;
        n1.stdout("nft", &[rules])?;
        Ok(lab)
    }

    /// The same with an agent that knows the pods, and no policy.
    pub fn up() -> Result<Self> {
        let mut lab = Self::without_agent()?;
        lab.start_agent()?;
        lab.apply(&[])?;
        Ok(lab)
    }

    /// Starts the agent.
    pub fn start_agent(&self) -> Result<Process> {
        let (objects, node) = (self.trial.node(1).objects()?, of_lab(&self.trial.plan));
        node.iter().filter(|(name, _)| name == "node-n1").try_for_each(|(name, yaml)| objects.write(name, yaml))?;
        self.trial.node(1).start_agent_with(&["--policy-only"])
    }

    /// Wires a pod with the `bridge` plugin.
    fn wire(&mut self, name: &str) -> Result<()> {
        let netns = self.trial.plan.pod_netns(1, name);
        ip::batch(&[format!("netns add {}", netns.name())])?;
        netns.sysctl(&[("ipv6/conf/default/accept_dad", "0")])?;
        ip::batch_in(&netns, &["link set lo up".into()])?;
        let container = format!("{}-{name}", self.trial.plan.prefix);
        let attachment = Attachment::of_pod(&container, &netns, NAMESPACE, name);
        let result = self.plugin().add(&attachment).with_context(|| format!("attaching {name}"))?;
        let addresses = [address(&result, Family::V4)?, address(&result, Family::V6)?];
        let machine = self.prober.add(name, &netns, &PORTS)?;
        self.pods.insert(name.into(), Pod { netns, machine, addresses, known: true });
        Ok(())
    }

    /// What a runtime has in `/etc/cni/net.d` where flannel is the network.
    fn plugin(&self) -> Network {
        let (node, (v4, v6)) = (self.trial.node(1), self.trial.plan.pod_cidrs(1));
        let ipam = json!({
            "type": "host-local", "dataDir": node.folder.join("host-local"),
            "ranges": [[{"subnet": v4}], [{"subnet": v6}]],
        });
        let bridge =
            json!({"type": "bridge", "bridge": BRIDGE, "isDefaultGateway": true, "hairpinMode": true, "ipam": ipam});
        let conflist = json!({"cniVersion": "1.0.0", "name": "theirs", "plugins": [bridge]});
        Network { conflist, path: vec![CNI_PLUGINS.into()], netns: node.netns.clone(), cache: node.folder.join("cni") }
    }

    /// What flannel and kube-proxy have: masquerading for what leaves the pods' range, and a Service.
    fn rules_of_others(&self) -> Result<String> {
        let ([v4, v6], (range4, range6)) = (self.pod("web")?.addresses, self.trial.plan.pod_cidrs(1));
        let [service4, service6] = SERVICE;
        Ok(format!(
            "table inet theirs {{
  chain services {{
    type nat hook prerouting priority dstnat;
    ip daddr {service4} dnat ip to {v4}
    ip6 daddr {service6} dnat ip6 to {v6}
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat;
    ip saddr {range4} ip daddr != {range4} masquerade
    ip6 saddr {range6} ip6 daddr != {range6} masquerade
  }}
}}"
        ))
    }

    /// A pod.
    pub fn pod(&self, name: &str) -> Result<&Pod> {
        self.pods.get(name).with_context(|| format!("there is no pod {name}"))
    }

    /// Writes into a pod's object which addresses it has, or leaves them out, from the next [`Bridged::apply`] on.
    pub fn know(&mut self, name: &str, addresses: Addresses) -> Result<()> {
        let pod = self.pods.get_mut(name).with_context(|| format!("there is no pod {name}"))?;
        pod.known = addresses == Addresses::Told;
        Ok(())
    }

    /// Gives the agent all pods with these policies, and returns when they are in force.
    pub fn apply(&mut self, policies: &[Value]) -> Result<()> {
        self.versions += 1;
        let mark = format!("100.64.0.{}", self.versions);
        let from = json!([{"from": [{"ipBlock": {"cidr": format!("{mark}/32")}}]}]);
        let marker = policy(MARKER, "marker", json!({"podSelector": {}, "ingress": from}));
        let mut objects: Vec<Value> = [NAMESPACE, MARKER]
            .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
            .into();
        objects.push(pod_object(MARKER, "marker", &["203.0.113.1".parse()?]));
        for (name, pod) in &self.pods {
            objects.push(pod_object(NAMESPACE, name, if pod.known { &pod.addresses } else { &[] }));
        }
        objects.extend(policies.iter().cloned().chain([marker]));
        let text: Vec<String> = objects.iter().map(Value::to_string).collect();
        self.trial.node(1).objects()?.write("scene", &text.join("\n---\n"))?;
        wait::until(PATIENCE, "the rules of n1", || {
            let table = self.table()?;
            let mut words = table.split(|c: char| !c.is_ascii_digit() && c != '.');
            ensure!(words.any(|word| word == mark), "the newest policies are not in the table");
            Ok(())
        })
    }

    /// Waits until these hold: of what is not a policy no mark in the table tells.
    pub fn comes_to(&mut self, probes: &[Probe]) -> Result<()> {
        wait::until(PATIENCE, "what was configured", || self.prober.hold(probes))
    }

    /// The table as `nft` prints it, with handles.
    pub fn table(&self) -> Result<String> {
        self.trial.node(1).netns.stdout("nft", &["-a", "list", "table", "inet", "margay"])
    }

    /// Both families' probes from a machine to a pod.
    pub fn to_pod(&self, from: MachineId, to: &str, port: u16, expected: Expected) -> Result<[Probe; 2]> {
        Ok(tcp(from, self.pod(to)?.addresses, port, expected))
    }

    /// Both families' probes from one pod to another.
    pub fn between(&self, from: &str, to: &str, port: u16, expected: Expected) -> Result<[Probe; 2]> {
        self.to_pod(self.pod(from)?.machine, to, port, expected)
    }

    /// Both families' probes from a pod to a node's addresses.
    pub fn to_node(&self, from: &str, node: usize, port: u16, expected: Expected) -> Result<[Probe; 2]> {
        let addresses = FAMILIES.map(|family| self.trial.plan.node_ip(node, family));
        Ok(tcp(self.pod(from)?.machine, addresses, port, expected))
    }

    /// Both families' probes from a pod to the Service.
    pub fn to_service(&self, from: &str, port: u16, expected: Expected) -> Result<[Probe; 2]> {
        let [v4, v6] = SERVICE;
        Ok(tcp(self.pod(from)?.machine, [v4.parse()?, v6.parse()?], port, expected))
    }
}

/// Whether a pod's object has its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// It has.
    Told,
    /// Not yet.
    Unknown,
}

fn tcp(from: MachineId, to: [IpAddr; 2], port: u16, expected: Expected) -> [Probe; 2] {
    to.map(|to| Probe { expected, ..Probe::answered(from, to, Protocol::TCP, port) })
}

fn pod_object(namespace: &str, name: &str, addresses: &[IpAddr]) -> Value {
    let addresses: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"podIPs": addresses},
    })
}
