//! A lab of pods with names, labels and policies, each pod with a prober: what the objects say becomes packets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use model::Protocol;
use serde_json::{Value, json};

use crate::cni::Attachment;
use crate::lab::{self, address};
use crate::netns::Netns;
use crate::plan::{Family, Plan, Shape};
use crate::prober::{MachineId, Probe, Prober};
use crate::trial::Trial;
use crate::{ip, wait};

/// Ports that every pod answers on, in every protocol.
pub const PORTS: [u16; 2] = [80, 81];
/// Protocols that every pod answers in.
pub const PROTOCOLS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
/// How long rules may take to be in force before a test gives up. What is promised is a matter of the bench.
const PATIENCE: Duration = Duration::from_secs(20);
/// The namespace of one pod on each node whose policy tells which version of the objects is in force there.
const MARKER: &str = "marker";

/// The lab.
#[derive(Debug)]
pub struct PodLab {
    /// Its machines.
    pub trial: Trial,
    /// Everybody's packets.
    pub prober: Prober,
    nodes: Vec<MachineId>,
    pods: BTreeMap<String, Placed>,
    namespaces: BTreeMap<String, Value>,
    versions: u16,
}

/// A pod that stands.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its node, from 1.
    pub node: usize,
    /// Its namespace.
    pub netns: Netns,
    /// Who asks from there.
    pub machine: MachineId,
    /// IPv4 and IPv6.
    pub addresses: [IpAddr; 2],
    /// `metadata.labels`.
    pub labels: Value,
    /// `spec.containers[].ports`.
    pub ports: Vec<Value>,
    attachment: Attachment,
}

/// A NetworkPolicy of Kubernetes.
pub fn policy(namespace: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({"namespace": namespace, "name": name});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec})
}

impl PodLab {
    /// Nodes on one subnet, in a mesh, without a router; no pods but the markers.
    pub fn new(nodes: usize) -> Result<Self> {
        Self::with_pod_cidrs(nodes, Plan::pod_cidrs)
    }

    /// The same with pod CIDRs by node.
    pub fn with_pod_cidrs(nodes: usize, cidrs: impl Fn(&Plan, usize) -> (String, String)) -> Result<Self> {
        let trial = Trial::planned(Shape::Mesh, |plan| plan.nodes = nodes)?;
        trial.build_machines()?;
        let mut prober = Prober::new();
        let mut machines = Vec::new();
        for number in 1..=nodes {
            let objects = trial.node(number).objects()?;
            objects.write_all(&trial.plan)?;
            for node in 1..=nodes {
                let (file, (old4, old6), (new4, new6)) =
                    (format!("node-n{node}"), trial.plan.pod_cidrs(node), cidrs(&trial.plan, node));
                objects.write(&file, &objects.read(&file)?.replace(&old4, &new4).replace(&old6, &new6))?;
            }
            trial.node(number).start_agent()?;
            machines.push(prober.add(&format!("node n{number}"), &trial.plan.node_netns(number), &PORTS)?);
        }
        let (pods, namespaces) = (BTreeMap::new(), BTreeMap::new());
        let mut lab = Self { trial, prober, nodes: machines, pods, namespaces, versions: 0 };
        for node in 1..=nodes {
            lab.attach(node, &format!("{MARKER}/n{node}"), &[])?;
            for other in (1..=nodes).filter(|other| *other != node) {
                let (v4, v6) = cidrs(&lab.trial.plan, other);
                for prefix in [v4, v6] {
                    wait::until(PATIENCE, &format!("n{node}'s route to {prefix}"), || {
                        ensure!(lab.trial.node(node).kernel_routes(&prefix)?.len() == 1, "not there");
                        Ok(())
                    })?;
                }
            }
        }
        Ok(lab)
    }

    /// Attaches a pod by its name (`namespace/name`) through the CNI protocol, with these addresses or, if there are none, any.
    pub fn attach(&mut self, node: usize, name: &str, addresses: &[String]) -> Result<()> {
        let attachment = self.attachment(node, name, addresses)?;
        let result = self.trial.node(node).network_alone("1.1.0").add(&attachment);
        let result = result.with_context(|| format!("attaching {name}"))?;
        let netns = self.netns(node, name);
        let placed = Placed {
            node,
            machine: self.prober.add(name, &netns, &PORTS)?,
            netns,
            addresses: [address(&result, Family::V4)?, address(&result, Family::V6)?],
            labels: json!({}),
            ports: Vec::new(),
            attachment,
        };
        self.pods.insert(name.into(), placed);
        Ok(())
    }

    /// Makes a pod's namespace; its attachment.
    pub fn attachment(&self, node: usize, name: &str, addresses: &[String]) -> Result<Attachment> {
        let netns = self.netns(node, name);
        if !netns.exists() {
            ip::batch(&[format!("netns add {}", netns.name())])?;
            ip::batch_in(&netns, &["link set lo up".into()])?;
        }
        let (namespace, pod) = name.split_once('/').with_context(|| format!("{name} is not namespace/name"))?;
        let container = format!("{}-{namespace}-{pod}", self.trial.plan.prefix);
        let mut attachment = Attachment::of_pod(&container, &netns, namespace, pod);
        if !addresses.is_empty() {
            attachment.args.push(("IP".into(), addresses.join(",")));
        }
        Ok(attachment)
    }

    /// The namespace of a pod.
    pub fn netns(&self, node: usize, name: &str) -> Netns {
        self.trial.plan.pod_netns(node, &name.replace('/', "-"))
    }

    /// Takes a pod away.
    pub fn detach(&mut self, name: &str) -> Result<()> {
        let Some(pod) = self.pods.remove(name) else { return Ok(()) };
        self.trial.node(pod.node).network_alone("1.1.0").del(&pod.attachment)
    }

    /// Pods by name; the markers are not among them.
    pub fn pods(&self) -> impl Iterator<Item = (&String, &Placed)> {
        let marker = |name: &str| name.starts_with(&format!("{MARKER}/"));
        self.pods.iter().filter(move |(name, _)| !marker(name))
    }

    /// A pod.
    pub fn pod(&self, name: &str) -> Result<&Placed> {
        self.pods.get(name).with_context(|| format!("there is no pod {name}"))
    }

    /// Who asks from a node.
    pub fn node(&self, number: usize) -> Result<MachineId> {
        self.nodes.get(number.wrapping_sub(1)).copied().with_context(|| format!("there is no node n{number}"))
    }

    /// Writes labels on a namespace, from the next [`PodLab::apply`] on.
    pub fn label_namespace(&mut self, name: &str, labels: Value) {
        self.namespaces.insert(name.into(), labels);
    }

    /// Writes labels on a pod, from the next [`PodLab::apply`] on.
    pub fn label(&mut self, name: &str, labels: Value) -> Result<()> {
        self.pods.get_mut(name).with_context(|| format!("there is no pod {name}"))?.labels = labels;
        Ok(())
    }

    /// Gives names to ports of a pod, from the next [`PodLab::apply`] on.
    pub fn name_ports(&mut self, name: &str, ports: Vec<Value>) -> Result<()> {
        self.pods.get_mut(name).with_context(|| format!("there is no pod {name}"))?.ports = ports;
        Ok(())
    }

    /// Forgets namespaces, that is, their labels.
    pub fn forget_namespaces(&mut self) {
        self.namespaces.clear();
    }

    /// Gives these policies, with all pods and namespaces, to every node in one step, and returns when they are in force.
    pub fn apply(&mut self, policies: &[Value]) -> Result<()> {
        let mark = self.write(policies)?;
        for node in 1..=self.nodes.len() {
            self.wait_for(node, &mark)?;
        }
        Ok(())
    }

    /// The same without waiting; the address that stands in the table of each node as soon as all of it is in force.
    pub fn write(&mut self, policies: &[Value]) -> Result<String> {
        self.versions += 1;
        let [high, low] = self.versions.to_be_bytes();
        let mark = format!("100.64.{high}.{low}");
        let cidr = format!("{mark}/32");
        let spec = json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]});
        let marker = policy(MARKER, "marker", spec);
        let mut objects = self.objects();
        objects.extend(policies.iter().cloned().chain([marker]));
        let text: Vec<String> = objects.iter().map(Value::to_string).collect();
        for number in 1..=self.nodes.len() {
            self.trial.node(number).objects()?.write("scene", &text.join("\n---\n"))?;
        }
        Ok(mark)
    }

    /// Waits until a mark stands in the table of a node.
    pub fn wait_for(&self, node: usize, mark: &str) -> Result<()> {
        let netns = self.trial.plan.node_netns(node);
        wait::until(PATIENCE, &format!("the rules of n{node}"), || {
            let table = netns.stdout("nft", &["list", "table", "inet", "margay"])?;
            let mut words = table.split(|c: char| !c.is_ascii_digit() && c != '.');
            ensure!(words.any(|word| word == mark), "the newest policies are not in the table");
            Ok(())
        })
    }

    fn objects(&self) -> Vec<Value> {
        let names = self.pods.keys().filter_map(|name| name.split_once('/')).map(|(namespace, _)| namespace);
        let mut namespaces: BTreeMap<&str, Value> = names.map(|name| (name, json!({}))).collect();
        namespaces.extend(self.namespaces.iter().map(|(name, labels)| (name.as_str(), labels.clone())));
        let mut objects: Vec<Value> = namespaces
            .into_iter()
            .map(|(name, labels)| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
            .collect();
        for (name, pod) in &self.pods {
            let (namespace, name) = name.split_once('/').unwrap_or_default();
            let addresses: Vec<Value> = pod.addresses.iter().map(|address| json!({"ip": address})).collect();
            objects.push(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"namespace": namespace, "name": name, "labels": pod.labels},
                "spec": {"nodeName": format!("n{}", pod.node), "containers": [{"name": "c", "ports": pod.ports}]},
                "status": {"podIPs": addresses},
            }));
        }
        objects
    }

    /// A probe between two pods.
    pub fn probe(&self, from: &str, to: &str, family: Family, protocol: Protocol, port: u16) -> Result<Probe> {
        let [v4, v6] = self.pod(to)?.addresses;
        let to = if family == Family::V4 { v4 } else { v6 };
        Ok(Probe::answered(self.pod(from)?.machine, to, protocol, port))
    }

    /// From every node to each of its own pods: always open.
    pub fn probes_of_hosts(&self) -> Result<Vec<Probe>> {
        let mut probes = Vec::new();
        for pod in self.pods.values() {
            let [v4, v6] = pod.addresses;
            let from = self.node(pod.node)?;
            probes.extend([v4, v6].map(|to| Probe::answered(from, to, Protocol::TCP, PORTS[0])));
        }
        Ok(probes)
    }

    /// Every address of a node.
    pub fn node_addresses(&self, node: usize) -> [IpAddr; 2] {
        lab::node_addresses(&self.trial.plan, node)
    }
}
