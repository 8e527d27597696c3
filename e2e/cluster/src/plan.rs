//! What a cluster looks like: its machines, their names, addresses and folders. Nothing here touches the system.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use e2e::netns::Netns;

/// The one subnet that the nodes, the control plane and the router share.
pub const UNDERLAY: &str = "192.168.77.0/24";
/// The router, and everybody's default gateway.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 1);
/// Where the API server listens, on port 6443.
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 2);
/// The router's side of the link to the outside.
pub const ROUTER_OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 200, 1, 1);
/// A host behind the router.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 200, 1, 10);
/// The router's AS.
pub const ROUTER_AS: u32 = 64999;
/// What pods get their addresses from: a /24 for each node.
pub const PODS: &str = "10.244.0.0/16";
/// What services get their addresses from.
pub const SERVICES: &str = "10.96.0.0/16";
/// The service of the API server itself.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The service of DNS.
pub const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The prefix of the cluster that `make cluster` and `make test-cluster` bring up.
pub const PREFIX: &str = "mk";

/// A cluster on paper.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names everything: `mk` makes `mk-n1`.
    pub prefix: String,
    /// Names of the nodes: `n1`, `n2`, …
    pub nodes: Vec<String>,
    /// Where programs and images are kept between two runs.
    pub cache: PathBuf,
}

impl Plan {
    /// Three nodes, programs and images in the build folder of the running program.
    pub fn new(prefix: &str) -> Result<Self> {
        let nodes = ["n1", "n2", "n3"].map(str::to_owned).into();
        Ok(Self { prefix: prefix.into(), nodes, cache: build_folder()?.join("cluster") })
    }

    /// What lives as long as the cluster.
    pub fn folder(&self) -> PathBuf {
        Path::new("/var/lib/margay-cluster").join(&self.prefix)
    }

    /// Logs, which outlive the cluster until the next of its name.
    pub fn logs(&self) -> PathBuf {
        self.folder().join("log")
    }

    /// Files that tell which process is which.
    pub fn processes(&self) -> PathBuf {
        self.folder().join("processes")
    }

    /// Keys and certificates.
    pub fn pki(&self) -> PathBuf {
        self.folder().join("pki")
    }

    /// The kubeconfig of a user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder().join(format!("{user}.conf"))
    }

    /// What belongs to one node.
    pub fn node_folder(&self, node: &str) -> PathBuf {
        self.folder().join("nodes").join(node)
    }

    /// Kubernetes' programs, built from its modules.
    pub fn programs(&self) -> PathBuf {
        self.cache.join("programs")
    }

    /// Debian packages, unpacked.
    pub fn debian(&self) -> PathBuf {
        self.cache.join("debian")
    }

    /// Images that every node imports.
    pub fn images(&self) -> PathBuf {
        self.cache.join("images")
    }

    /// etcd's data: in memory, it does not outlive the cluster.
    pub fn etcd(&self) -> PathBuf {
        Path::new("/dev/shm").join(format!("{}-etcd", self.prefix))
    }

    /// The namespace of the control plane.
    pub fn control_plane(&self) -> Netns {
        self.netns("cp")
    }

    /// The namespace of the router.
    pub fn router(&self) -> Netns {
        self.netns("tor")
    }

    /// The namespace of the host behind the router.
    pub fn outside(&self) -> Netns {
        self.netns("outside")
    }

    /// The namespace of a node.
    pub fn node(&self, node: &str) -> Netns {
        self.netns(node)
    }

    /// Every namespace that the cluster has.
    pub fn namespaces(&self) -> Vec<Netns> {
        let fixed = ["cp", "tor", "outside"];
        fixed.into_iter().chain(self.nodes.iter().map(String::as_str)).map(|name| self.netns(name)).collect()
    }

    /// The address of a node on the underlay: `n3` is .13.
    pub fn node_ip(&self, node: &str) -> Result<Ipv4Addr> {
        let number: u8 = node.trim_start_matches('n').parse().with_context(|| format!("{node} is no n1, n2, …"))?;
        let [a, b, c, _] = ROUTER.octets();
        Ok(Ipv4Addr::new(a, b, c, 10 + number))
    }

    fn netns(&self, name: &str) -> Netns {
        Netns::named(format!("{}-{name}", self.prefix))
    }
}

/// `target`, whatever it is called: the folder above `debug` or `release` of the running program.
fn build_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let profile = |folder: &&Path| folder.ends_with("debug") || folder.ends_with("release");
    let folder = program.ancestors().find(profile).and_then(Path::parent);
    Ok(folder.with_context(|| format!("{} is in no build folder of cargo", program.display()))?.to_owned())
}

/// The root of the repository that this program was built from.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
