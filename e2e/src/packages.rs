//! Debian packages that the lab and the tests need, and getting them without starting a single service.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// What labs, tests and clusters need: a file that tells whether a package is there, and the package.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/sbin/bird", "bird2"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/bin/ping", "iputils-ping"),
];

/// A cluster has a router of one kind only, and unpacks its plugins.
const FOR_LABS: &[(&str, &str)] =
    &[("/usr/lib/frr/bgpd", "frr"), ("/usr/lib/cni/portmap", "containernetworking-plugins")];

/// Only tests need these besides.
const FOR_TESTS: &[(&str, &str)] = &[
    ("/usr/bin/linux.uml", "user-mode-linux"),
    ("/usr/sbin/modprobe", "kmod"),
    ("/usr/bin/gobgpd", "gobgpd"),
    ("/usr/sbin/bgpd", "openbgpd"),
    ("/usr/bin/tshark", "tshark"),
    ("/usr/bin/bgpdump", "bgpdump"),
];

/// Only a cluster needs these; docs/cluster.md lists all that it installs.
const FOR_CLUSTERS: &[(&str, &str)] = &[("/usr/bin/openssl", "openssl"), ("/usr/bin/pkill", "procps")];

/// Debian asks this program whether an installation may start a service: 101 is no (invoke-rc.d).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Which packages to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// What a lab needs.
    Lab,
    /// What a lab and the tests need.
    Tests,
    /// What a Kubernetes cluster needs.
    Cluster,
}

/// Names of packages that are not there.
pub fn missing(need: Need) -> Vec<&'static str> {
    let more: &[&[(&str, &str)]] = match need {
        Need::Lab => &[FOR_LABS],
        Need::Tests => &[FOR_LABS, FOR_TESTS],
        Need::Cluster => &[FOR_CLUSTERS],
    };
    NEEDED
        .iter()
        .chain(more.iter().copied().flatten())
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| *package)
        .collect()
}

/// Installs what is not there. Services that come with a package are not started.
pub fn install(need: Need, say: fn(&str)) -> Result<()> {
    let packages = missing(need);
    if packages.is_empty() {
        return Ok(());
    }
    ensure!(
        Path::new("/usr/bin/apt-get").exists(),
        "these are missing: {}. This is no Debian (no apt-get): install them by hand, then run this again",
        packages.join(" ")
    );
    ensure!(rustix::process::geteuid().is_root(), "{} must be installed, which needs root", packages.join(" "));
    say(&format!("installing {} (a minute or two)", packages.join(" ")));
    let _policy = Policy::forbid_services()?;
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], &packages[..]].concat())?;
    let still = missing(need);
    ensure!(still.is_empty(), "installed, but still missing: {}", still.join(" "));
    Ok(())
}

fn apt(args: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let tail: Vec<&str> = text.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect();
        bail!("`apt-get {}` failed:\n{}", args.join(" "), tail.join("\n"));
    }
    Ok(())
}

/// While this lives, no installation starts a service. A policy that was there before stays.
struct Policy {
    ours: bool,
}

impl Policy {
    fn forbid_services() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            fs::remove_file(POLICY).ok();
        }
    }
}
