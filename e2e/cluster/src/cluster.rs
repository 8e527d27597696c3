//! The whole cluster: brought up, found again by tests, and taken away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::process::Process;
use e2e::{ip, packages, wait};

use crate::debian::Debian;
use crate::kubectl::Kubectl;
use crate::node::{Disk, Node};
use crate::plan::{self, Plan};
use crate::{build, cni, control_plane, images, pki, underlay};

const SOON: Duration = Duration::from_secs(180);
/// Read by the nodes' kube-proxy when it starts.
const PROXY_MODE: &str = "proxy-mode";

/// What connects the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// margay, by `manifests/margay.yaml` as users install it, and a BGPPeer for the router.
    Margay,
    /// Upstream's ptp plugin and static routes.
    Ptp,
    /// Nothing: nodes stay NotReady until somebody installs something.
    None,
}

/// How kube-proxy makes services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// nftables.
    Nftables,
    /// iptables.
    Iptables,
}

impl ProxyMode {
    /// As kube-proxy's flag has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// A cluster and its admin.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Names, addresses, folders.
    pub plan: Plan,
    /// As admin.
    pub kubectl: Kubectl,
    /// Programs of Debian.
    pub debian: Debian,
}

impl Cluster {
    /// Builds, fetches and packs what a cluster needs; nothing runs yet.
    pub fn prepare(plan: Plan, say: fn(&str)) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a cluster needs root: namespaces, mounts, cgroups");
        packages::install(packages::Need::Cluster, say)?;
        build::programs(&plan.programs(), say)?;
        let debian = Debian::unpack(&plan.debian(), say)?;
        images::pack(&plan, &debian, say)?;
        Ok(Self { kubectl: Kubectl::new(&plan), plan, debian })
    }

    /// The one that is up.
    pub fn find(plan: Plan) -> Result<Self> {
        let up = Process::all(&plan.processes())?.iter().any(Process::runs);
        ensure!(
            up,
            "no cluster {} is up: `make cluster` brings one up, `make test-cluster` also tests it",
            plan.prefix
        );
        Ok(Self::named(plan))
    }

    /// By its plan; it may be up or not.
    pub fn named(plan: Plan) -> Self {
        Self { kubectl: Kubectl::new(&plan), debian: Debian::at(&plan.debian()), plan }
    }

    /// Control plane, nodes and network; returns when every node is Ready, or registered if there is no network.
    pub fn up(&self, network: Network, say: fn(&str)) -> Result<()> {
        let start = Instant::now();
        self.down()?;
        let folder = self.plan.folder();
        fs::remove_dir_all(self.plan.logs()).ok();
        fs::create_dir_all(self.plan.logs()).with_context(|| format!("cannot make {}", folder.display()))?;
        self.keep_off_overlays()?;
        self.write_scripts()?;
        fs::write(folder.join(PROXY_MODE), ProxyMode::Nftables.name())?;
        pki::make(&self.plan)?;
        underlay::build(&self.plan)?;
        // Kubelets ask again until the API answers.
        for name in &self.plan.nodes {
            self.node(name).start(&self.debian)?;
        }
        control_plane::start(&self.plan)?;
        say(&format!("control plane up after {:.1} s", start.elapsed().as_secs_f64()));
        for name in &self.plan.nodes {
            cni::pod_cidr(&self.plan, name)?;
        }
        say(&format!("{} nodes registered after {:.1} s", self.plan.nodes.len(), start.elapsed().as_secs_f64()));
        match network {
            Network::Margay => self.install_margay()?,
            Network::Ptp => cni::install_ptp(&self.plan)?,
            Network::None => {}
        }
        if network != Network::None {
            self.nodes_ready(SOON)?;
            say(&format!("all nodes Ready after {:.1} s", start.elapsed().as_secs_f64()));
            self.roll_out(include_str!("../objects/coredns.yaml"), "kube-system", "deployment/coredns", SOON)?;
            say(&format!("DNS up after {:.1} s", start.elapsed().as_secs_f64()));
        }
        Ok(())
    }

    /// Applies the manifest as it is, and peers with the router.
    pub fn install_margay(&self) -> Result<()> {
        let manifest = plan::repository().join("manifests/margay.yaml");
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        self.roll_out(&text, "kube-system", "daemonset/margay", SOON)?;
        self.kubectl.apply(include_str!("../objects/router.yaml"))?;
        let nodes = self.plan.nodes.len();
        wait::until(SOON, "sessions of every node with the router", || {
            let up = underlay::sessions(&self.plan)?;
            ensure!(up == nodes, "{up} of {nodes}");
            Ok(())
        })
    }

    /// `margayctl` on a node: the one of the image, in its agent's pod.
    pub fn margayctl(&self, node: &str, args: &[&str]) -> Result<String> {
        let pods = self.kubectl.list(&["pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=margay"])?;
        let pod =
            pods.iter().find(|pod| pod["spec"]["nodeName"] == node).and_then(|pod| pod["metadata"]["name"].as_str());
        let pod = pod.with_context(|| format!("no agent on {node}"))?;
        self.kubectl.exec("kube-system", pod, &[&["margayctl"], args].concat())
    }

    /// Waits until the API server calls every node Ready.
    pub fn nodes_ready(&self, within: Duration) -> Result<()> {
        self.kubectl.wait("condition=Ready", &["node", "--all"], within)
    }

    /// Brings back every node that was killed, with its disk, and waits until all are Ready.
    pub fn revive(&self) -> Result<()> {
        for node in self.nodes() {
            if !node.runs()? {
                node.come_back(Disk::Kept, &self.debian)?;
            }
        }
        self.nodes_ready(SOON)
    }

    /// A node.
    pub fn node(&self, name: &str) -> Node {
        Node::named(&self.plan, name)
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<Node> {
        self.plan.nodes.iter().map(|name| self.node(name)).collect()
    }

    /// Restarts kube-proxy on every node in another mode, and waits for its rules.
    pub fn set_proxy_mode(&self, mode: ProxyMode) -> Result<()> {
        fs::write(self.plan.folder().join(PROXY_MODE), mode.name())?;
        let (command, mark) = match mode {
            ProxyMode::Nftables => (["nft", "list", "tables"].as_slice(), "kube-proxy"),
            ProxyMode::Iptables => (["iptables-save", "-t", "nat"].as_slice(), "KUBE-SERVICES"),
        };
        for node in self.nodes() {
            // One that is between its end and its start reads the file when it starts.
            node.output(&["pkill", "-x", "kube-proxy"])?;
        }
        for node in self.nodes() {
            wait::until(SOON, &format!("rules of kube-proxy in {} mode on {}", mode.name(), node.name), || {
                let rules = node.stdout(command)?;
                ensure!(rules.contains(mark), "{rules}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Writes what the agents have said beside the other logs, as far as the API server still gives it.
    pub fn keep_agents_logs(&self) {
        let margay = ["pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=margay", "--request-timeout=5s"];
        let pods = self.kubectl.list(&margay);
        for pod in pods.unwrap_or_default() {
            let (name, node) = (pod["metadata"]["name"].as_str(), pod["spec"]["nodeName"].as_str());
            if let (Some(name), Some(node)) = (name, node)
                && let Ok(text) = self.kubectl.text(&["-n", "kube-system", "logs", name])
            {
                fs::write(self.plan.logs().join(format!("{node}-margay.log")), text).ok();
            }
        }
    }

    /// Takes everything away that runs under this prefix, but for the logs. Goes on after an error; the first is the answer.
    pub fn down(&self) -> Result<()> {
        let mut wrongs = Vec::new();
        std::thread::scope(|scope| {
            let ends: Vec<_> = self.nodes().into_iter().map(|node| scope.spawn(move || node.remove())).collect();
            for end in ends {
                match end.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(wrong)) => wrongs.push(wrong),
                    Err(_) => wrongs.push(anyhow::anyhow!("taking a node away panicked")),
                }
            }
        });
        for process in Process::all(&self.plan.processes()).unwrap_or_default() {
            if let Err(wrong) = process.kill() {
                wrongs.push(wrong);
            }
        }
        let lines: Vec<_> = self
            .plan
            .namespaces()
            .iter()
            .filter(|netns| netns.exists())
            .map(|netns| format!("netns del {}", netns.name()))
            .collect();
        wrongs.extend(ip::batch(&lines).err());
        fs::remove_dir_all(self.plan.etcd()).ok();
        for entry in fs::read_dir(self.plan.folder()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path == self.plan.logs() {
                continue;
            }
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(wrong) = gone {
                wrongs.push(anyhow::anyhow!("cannot remove {}: {wrong}", path.display()));
            }
        }
        wrongs.into_iter().next().map_or(Ok(()), Err)
    }

    /// containerd's snapshots cannot lie on an overlay, which the root of a container is: memory serves there.
    fn keep_off_overlays(&self) -> Result<()> {
        let folder = self.plan.folder();
        let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(&folder).output()?;
        if String::from_utf8_lossy(&output.stdout).trim() == "overlayfs" {
            let status = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&folder).status()?;
            ensure!(status.success(), "{} lies on an overlay, and no tmpfs can be mounted there", folder.display());
            fs::create_dir_all(self.plan.logs())?;
        }
        Ok(())
    }

    /// The scripts that make a node, where nodes see them.
    fn write_scripts(&self) -> Result<()> {
        let folder = self.plan.folder().join("node-scripts");
        fs::create_dir_all(&folder)?;
        // A process in a container takes crun half of runc's time, and upstream's specs are thousands of them.
        let runtime = format!("#!/bin/sh\nexec env {} \"$@\"\n", self.debian.run("crun")?);
        let scripts = [
            ("start.sh", include_str!("../node/start.sh")),
            ("init.sh", include_str!("../node/init.sh")),
            ("run.sh", include_str!("../node/run.sh")),
            ("enter.sh", include_str!("../node/enter.sh")),
            ("runtime.sh", &runtime),
        ];
        for (name, text) in scripts {
            fs::write(folder.join(name), text)?;
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Applies objects as text, and waits for a deployment or daemon set in them.
    pub fn roll_out(&self, objects: &str, namespace: &str, what: &str, within: Duration) -> Result<()> {
        self.kubectl.apply(objects)?;
        let timeout = format!("--timeout={}s", within.as_secs());
        match self.kubectl.text(&["-n", namespace, "rollout", "status", what, &timeout]) {
            Ok(_) => Ok(()),
            Err(wrong) => {
                let pods = self.kubectl.text(&["-n", namespace, "get", "pods", "-o", "wide"]).unwrap_or_default();
                bail!("{wrong:#}\n{pods}")
            }
        }
    }

    /// Waits until `look` is content, with the kubectl at hand.
    pub fn until<T>(&self, within: Duration, what: &str, mut look: impl FnMut(&Kubectl) -> Result<T>) -> Result<T> {
        wait::until(within, what, || look(&self.kubectl))
    }
}
