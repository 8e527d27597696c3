//! A lab that stands: builds what [`Plan`] says, runs routers, agents and pods in it, and takes it all away again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::cni::{Attachment, Network};
use crate::ctl::Ctl;
use crate::ip;
use crate::netns::Netns;
use crate::objects::Objects;
use crate::plan::{FAMILIES, Family, Link, NOROUTE, OUTSIDE, Plan, tor_name};
use crate::process::Process;
use crate::programs::{CNI_PLUGINS, Programs};
use crate::router::{Config, Router};
use crate::wait;

/// How long an agent may take to answer, or a session to come up, before a lab gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The Kubernetes namespace that the pods of a lab are in.
pub const POD_NAMESPACE: &str = "lab";

/// A lab, standing or about to.
#[derive(Debug, Clone)]
pub struct Lab {
    /// What it looks like.
    pub plan: Plan,
    programs: Programs,
    say: fn(&str),
}

impl Lab {
    /// A lab on paper; `say` hears what happens while it is built.
    pub fn new(plan: Plan, programs: Programs, say: fn(&str)) -> Result<Self> {
        plan.check()?;
        Ok(Self { plan, programs, say })
    }

    /// Builds everything: machines, routers, agents, sessions, pods.
    pub fn up(&self) -> Result<()> {
        self.up_without_pods()?;
        for node in 1..=self.plan.nodes {
            for pod in &self.plan.pods {
                (self.say)(&format!("attaching pod n{node}-{pod} through margay-cni"));
                self.attach(node, pod)?;
            }
        }
        Ok(())
    }

    /// Builds everything but pods.
    pub fn up_without_pods(&self) -> Result<()> {
        self.build_machines()?;
        for tor in self.plan.tors() {
            (self.say)(&format!("starting {} on {}", self.plan.router, self.plan.tor_netns(tor).name()));
            self.router(tor).start(&Config::of_tor(&self.plan, tor))?;
        }
        for node in 1..=self.plan.nodes {
            (self.say)(&format!("starting margay-agent on {}", self.plan.node_netns(node).name()));
            let node = self.node(node);
            node.objects()?.write_all(&self.plan)?;
            node.start_agent()?;
        }
        (self.say)("waiting for the BGP sessions");
        for node in 1..=self.plan.nodes {
            self.node(node).ctl().wait_established(2 * self.plan.tors().len(), PATIENCE)?;
        }
        Ok(())
    }

    /// Makes the lab's folder, and writes down whose it is ([`sweep`]).
    pub fn claim(&self) -> Result<()> {
        let folder = self.plan.folder();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(fs::write(folder.join("owner"), std::process::id().to_string())?)
    }

    /// Namespaces and links; what stood there under this prefix before is taken away.
    pub fn build_machines(&self) -> Result<()> {
        ensure!(rustix::process::geteuid().is_root(), "network namespaces need root: run it with sudo");
        down(&self.plan)?;
        let plan = &self.plan;
        (self.say)(&format!("making network namespaces {}-*", plan.prefix));
        self.claim()?;
        let nodes = (1..=plan.nodes).map(|node| plan.node_netns(node));
        let tors = plan.tors().into_iter().map(|tor| plan.tor_netns(tor));
        let machines: Vec<Netns> = nodes.chain(tors).chain([plan.outside_netns(), plan.noroute_netns()]).collect();
        let lines: Vec<String> = machines.iter().map(|netns| format!("netns add {}", netns.name())).collect();
        ip::batch(&lines)?;
        for netns in &machines {
            // Addresses of the lab need no duplicate detection. What nodes forward is the agent's business.
            // An uplink that was down keeps its addresses, as network daemons see to it on real machines.
            netns.sysctl(&[
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/all/keep_addr_on_down", "1"),
                ("ipv4/conf/all/rp_filter", "0"),
            ])?;
            ip::batch_in(netns, &["link set lo up".into()])?;
        }
        for netns in machines.iter().skip(plan.nodes) {
            netns.sysctl(&[
                ("ipv4/ip_forward", "1"),
                ("ipv6/conf/all/forwarding", "1"),
                ("ipv4/fib_multipath_hash_policy", "1"),
                ("ipv4/conf/default/rp_filter", "0"),
            ])?;
        }
        if plan.shares_subnet() {
            let link = plan.uplink(1, 1);
            let bridge = ["link add rack type bridge".into(), "link set rack up".into()];
            let addresses = address_lines("rack", link.router, link.length);
            ip::batch_in(&plan.tor_netns(1), &[&bridge[..], &addresses[..]].concat())?;
        }
        for node in 1..=plan.nodes {
            self.cable(node)?;
        }
        self.hosts_behind()
    }

    /// The node's links and default routes.
    fn cable(&self, node: usize) -> Result<()> {
        let plan = &self.plan;
        let own = plan.node_netns(node);
        let mut ways = [String::new(), String::new()];
        for tor in plan.tors() {
            let (link, device) = (plan.uplink(node, tor), format!("eth{}", tor - 1));
            let router = plan.tor_netns(tor);
            connect(&own, &device, &router, &format!("n{node}"))?;
            let up = format!("link set {device} up");
            ip::batch_in(&own, &[&address_lines(&device, link.host, link.length)[..], &[up]].concat())?;
            let mut lines = vec![format!("link set n{node} up")];
            if plan.shares_subnet() {
                lines.push(format!("link set n{node} master rack"));
            } else {
                lines.extend(address_lines(&format!("n{node}"), link.router, link.length));
            }
            ip::batch_in(&router, &lines)?;
            ways[0] += &format!(" nexthop via {} dev {device}", link.router.0);
            ways[1] += &format!(" nexthop via {} dev {device}", link.router.1);
        }
        let lines = [format!("route add 0.0.0.0/0{}", ways[0]), format!("route add ::/0{}", ways[1])];
        ip::batch_in(&own, &lines)
    }

    /// The two hosts behind the routers. One has a default route, the other knows only the nodes.
    fn hosts_behind(&self) -> Result<()> {
        let plan = &self.plan;
        let hosts = [
            (plan.outside_netns(), "outside", OUTSIDE, Plan::outside_link as fn(usize) -> Link),
            (plan.noroute_netns(), "noroute", NOROUTE, Plan::noroute_link),
        ];
        for (netns, name, address, link_to) in hosts {
            ip::batch_in(&netns, &address_lines("lo", address, (32, 128)))?;
            let mut ways = [String::new(), String::new()];
            for tor in plan.tors() {
                let (link, device) = (link_to(tor), format!("eth{}", tor - 1));
                let router = plan.tor_netns(tor);
                connect(&netns, &device, &router, name)?;
                let (v4, v6) = link.router;
                let mut lines = address_lines(&device, link.host, link.length);
                lines.push(format!("link set {device} up"));
                let (rack4, rack6) = plan.rack(tor);
                lines.push(format!("route add {rack4} via {v4} src {}", address.0));
                lines.push(format!("route add {rack6} via {v6} src {}", address.1));
                ip::batch_in(&netns, &lines)?;
                let mut lines = address_lines(name, link.router, link.length);
                lines.push(format!("link set {name} up"));
                lines.push(format!("route add {}/32 via {}", address.0, link.host.0));
                lines.push(format!("route add {}/128 via {}", address.1, link.host.1));
                ip::batch_in(&router, &lines)?;
                ways[0] += &format!(" nexthop via {v4} dev {device}");
                ways[1] += &format!(" nexthop via {v6} dev {device}");
            }
            if name == "outside" {
                let default = format!("route add 0.0.0.0/0 src {}{}", address.0, ways[0]);
                let default6 = format!("route add ::/0 src {}{}", address.1, ways[1]);
                ip::batch_in(&netns, &[default, default6])?;
            }
        }
        Ok(())
    }

    /// A node of the lab (from 1).
    pub fn node(&self, number: usize) -> Node {
        Node {
            number,
            netns: self.plan.node_netns(number),
            folder: self.plan.folder().join(format!("n{number}")),
            pids: self.plan.folder().join("pids"),
            programs: self.programs.clone(),
        }
    }

    /// A router of the lab (from 1).
    pub fn router(&self, tor: usize) -> Router {
        Router::of_lab(&self.plan, tor)
    }

    /// Makes a pod's namespace and runs CNI ADD for it; the result of ADD.
    pub fn attach(&self, node: usize, pod: &str) -> Result<Value> {
        let attachment = self.pod(node, pod)?;
        let network = self.node(node).network();
        network.add(&attachment).with_context(|| format!("attaching pod n{node}-{pod}"))
    }

    /// Makes a pod's namespace; its attachment.
    pub fn pod(&self, node: usize, pod: &str) -> Result<Attachment> {
        let netns = self.plan.pod_netns(node, pod);
        if !netns.exists() {
            ip::batch(&[format!("netns add {}", netns.name())])?;
            ip::batch_in(&netns, &["link set lo up".into()])?;
        }
        Ok(self.attachment(node, pod))
    }

    /// The attachment of a pod.
    pub fn attachment(&self, node: usize, pod: &str) -> Attachment {
        let netns = self.plan.pod_netns(node, pod);
        Attachment::of_pod(
            &format!("{}-n{node}-{pod}", self.plan.prefix),
            &netns,
            POD_NAMESPACE,
            &format!("n{node}-{pod}"),
        )
    }

    /// Runs CNI DEL for a pod and takes its namespace away.
    pub fn detach(&self, node: usize, pod: &str) -> Result<()> {
        self.node(node).network().del(&self.attachment(node, pod))?;
        ip::batch(&[format!("netns del {}", self.plan.pod_netns(node, pod).name())])
    }

    /// The address that ADD gave to a pod.
    pub fn pod_ip(&self, node: usize, pod: &str, family: Family) -> Result<std::net::IpAddr> {
        let result = self.node(node).network().result(&self.attachment(node, pod))?;
        address(&result, family)
    }

    /// Takes everything away.
    pub fn down(&self) -> Result<()> {
        down(&self.plan)
    }
}

/// The address of a family in a result of ADD.
pub fn address(result: &Value, family: Family) -> Result<std::net::IpAddr> {
    let ips = result["ips"].as_array().with_context(|| format!("the result of ADD has no ips: {result}"))?;
    let addresses = ips.iter().filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok());
    let mut found = addresses.filter(|address| family.holds(*address));
    found.next().with_context(|| format!("the result of ADD has no {family} address: {result}"))
}

/// Takes away whatever stands under the plan's prefix: our processes, then namespaces, then files. Collects what fails.
pub fn down(plan: &Plan) -> Result<()> {
    let mut wrongs: Vec<String> = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(wrong) = result {
            wrongs.push(format!("{wrong:#}"));
        }
    };
    let folder = plan.folder();
    for process in Process::all(&folder.join("pids"))? {
        note(process.stop());
    }
    let owned: Vec<Netns> = Netns::all()?.into_iter().filter(|netns| plan.owns(netns.name())).collect();
    note(ip::batch(&owned.iter().map(|netns| format!("netns del {}", netns.name())).collect::<Vec<_>>()));
    if folder.exists() {
        note(fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display())));
    }
    if wrongs.is_empty() { Ok(()) } else { bail!("the lab did not go away: {}", wrongs.join("; ")) }
}

fn address_lines(device: &str, address: (std::net::Ipv4Addr, std::net::Ipv6Addr), length: (u8, u8)) -> Vec<String> {
    vec![
        format!("addr add {}/{} dev {device}", address.0, length.0),
        format!("addr add {}/{} dev {device} nodad", address.1, length.1),
    ]
}

fn connect(a: &Netns, device_a: &str, b: &Netns, device_b: &str) -> Result<()> {
    let (a, b) = (a.name(), b.name());
    ip::batch(&[format!("link add {device_a} netns {a} type veth peer name {device_b} netns {b}")])
}

/// One node of a lab.
#[derive(Debug, Clone)]
pub struct Node {
    /// From 1.
    pub number: usize,
    /// Its namespace.
    pub netns: Netns,
    /// Its socket, objects, state and log.
    pub folder: PathBuf,
    pids: PathBuf,
    programs: Programs,
}

impl Node {
    /// `n1`.
    pub fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// The agent's state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The agent's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// The objects that the agent watches.
    pub fn objects(&self) -> Result<Objects> {
        Objects::in_folder(&self.folder.join("objects"))
    }

    /// The node's command line.
    pub fn ctl(&self) -> Ctl {
        Ctl { program: self.programs.ctl(), socket: self.socket() }
    }

    /// Starts the agent and waits until it answers.
    pub fn start_agent(&self) -> Result<Process> {
        self.start_agent_with(&[])
    }

    /// The same with more arguments.
    pub fn start_agent_with(&self, more: &[&str]) -> Result<Process> {
        let mut command = Command::new(self.programs.agent());
        command.arg("--node-name").arg(self.name());
        command.arg("--objects").arg(self.folder.join("objects"));
        command.arg("--state-dir").arg(self.state());
        command.arg("--socket").arg(self.socket());
        command.args(["--http-address", "127.0.0.1:9095"]).args(more);
        fs::create_dir_all(self.state())?;
        let name = format!("{}-agent", self.name());
        let process = Process::start(&self.pids, &name, &self.netns, &self.log(), &mut command)?;
        wait::until(PATIENCE, &format!("an answer of margay-agent on {}", self.name()), || {
            if !process.runs() {
                bail!("it ended; see {}", self.log().display());
            }
            self.ctl().list(&["bgp", "peers"]).map(|_| ()).with_context(|| format!("see {}", self.log().display()))
        })?;
        Ok(process)
    }

    /// The agent's process, as far as a lab knows of one.
    pub fn agent(&self) -> Result<Process> {
        let name = format!("{}-agent", self.name());
        let found = Process::all(&self.pids)?.into_iter().find(|process| process.name == name);
        found.with_context(|| format!("no agent runs on {}", self.name()))
    }

    /// What a container runtime has in `/etc/cni/net.d` on this node.
    pub fn network(&self) -> Network {
        let conflist = json!({
            "cniVersion": "1.0.0",
            "name": "margay",
            "plugins": [
                {"type": "margay-cni", "socket": self.socket(), "log_level": "info"},
                {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
                {"type": "bandwidth", "capabilities": {"bandwidth": true}},
            ],
        });
        Network {
            conflist,
            path: vec![self.programs.folder.clone(), CNI_PLUGINS.into()],
            netns: self.netns.clone(),
            cache: self.folder.join("cni"),
        }
    }

    /// The node's network with only the first plugin, and another version of the spec.
    pub fn network_alone(&self, version: &str) -> Network {
        let mut network = self.network();
        network.conflist["cniVersion"] = json!(version);
        if let Some(plugins) = network.conflist["plugins"].as_array_mut() {
            plugins.truncate(1);
        }
        network
    }

    /// A route of the node's main table, as `ip -j route` has it; none if it is not there.
    pub fn kernel_routes(&self, prefix: &str) -> Result<Vec<Value>> {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let text = self.netns.stdout("ip", &["-j", "-d", family, "route", "show", prefix])?;
        Ok(serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text })?)
    }
}

/// Removes what labs of programs that died left behind: prefixes that begin so and whose owner runs no more.
pub fn sweep(prefix: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir("/run/margay") else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = fs::read_to_string(entry.path().join("owner")).unwrap_or_default();
        let alive = PathBuf::from("/proc").join(owner.trim()).exists() && !owner.trim().is_empty();
        if name.starts_with(prefix) && !alive {
            down(&Plan::new(name, crate::plan::Shape::Tor))?;
        }
    }
    Ok(())
}

/// The routers' names in a lab, for people.
pub fn router_names(plan: &Plan) -> Vec<String> {
    plan.tors().into_iter().map(tor_name).collect()
}

/// Every family's address of a node.
pub fn node_addresses(plan: &Plan, node: usize) -> [std::net::IpAddr; 2] {
    FAMILIES.map(|family| plan.node_ip(node, family))
}
