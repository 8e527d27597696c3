//! Routers that are not ours: what they should do, and the processes that do it.

mod bird;
mod daemon;
mod frr;
mod gobgp;
mod openbgpd;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::netns::Netns;
use crate::plan::{FAMILIES, Family, Plan, tor_as, tor_name};
use crate::process::Process;
use crate::wait;

pub use daemon::{DAEMONS, Daemon, Start};

/// What a router is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its BGP identifier.
    pub id: String,
    /// Its AS.
    pub asn: u32,
    /// What it announces of its own, both families.
    pub networks: Vec<String>,
    /// Its neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Whether it keeps forwarding over its own restart and says so (RFC 4724).
    pub graceful_restart: bool,
}

/// One session of a router.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// Letters, digits and `_`.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// Its AS.
    pub asn: u32,
    /// TCP-MD5 (RFC 2385).
    pub password: Option<String>,
    /// GTSM (RFC 5082), one hop.
    pub ttl_security: bool,
    /// Hold time in seconds.
    pub hold_time: Option<u16>,
}

impl Config {
    /// What router `tor` of a lab is told: one session for each node and family.
    pub fn of_tor(plan: &Plan, tor: usize) -> Self {
        let mut neighbours = Vec::new();
        for node in 1..=plan.nodes {
            for family in FAMILIES {
                let address = family.of(plan.uplink(node, tor).host);
                neighbours.push(Neighbour::new(&format!("n{node}_{}", short(family)), address, plan.node_as(node)));
            }
        }
        let mut networks: Vec<String> =
            ["10.200.1.0/24", "10.200.2.0/24", "fd00:200:1::/64", "fd00:200:2::/64"].map(String::from).into();
        if !plan.shares_subnet() {
            let (v4, v6) = plan.rack(tor);
            networks.extend([v4, v6]);
        }
        Self { id: format!("10.255.0.{tor}"), asn: tor_as(tor), networks, neighbours, graceful_restart: false }
    }

    /// The session of that name, to change it.
    pub fn neighbour(&mut self, name: &str) -> Result<&mut Neighbour> {
        self.neighbours
            .iter_mut()
            .find(|one| one.name == name)
            .with_context(|| format!("the router has no neighbour {name}"))
    }
}

impl Neighbour {
    /// A plain session.
    pub fn new(name: &str, address: IpAddr, asn: u32) -> Self {
        Self { name: name.into(), address, asn, password: None, ttl_security: false, hold_time: None }
    }

    fn family(&self) -> Family {
        if Family::V4.holds(self.address) { Family::V4 } else { Family::V6 }
    }
}

fn short(family: Family) -> &'static str {
    if family == Family::V4 { "v4" } else { "v6" }
}

/// One router of a lab.
#[derive(Debug, Clone)]
pub struct Router {
    daemon: Daemon,
    name: String,
    netns: Netns,
    /// Its configuration, sockets and log.
    pub folder: PathBuf,
    pids: PathBuf,
}

impl Router {
    /// Router `tor` of a lab, running or not.
    pub fn of_lab(plan: &Plan, tor: usize) -> Self {
        let name = tor_name(tor);
        Self {
            daemon: plan.router.into(),
            netns: plan.tor_netns(tor),
            folder: plan.folder().join(&name),
            pids: plan.folder().join("pids"),
            name,
        }
    }

    /// The same router, somewhere else.
    pub fn in_netns(&self, netns: Netns) -> Self {
        Self { netns, ..self.clone() }
    }

    /// The same router, running another daemon.
    pub fn running(&self, daemon: Daemon) -> Self {
        Self { daemon, ..self.clone() }
    }

    /// Another router of the same kind, with a folder of its own.
    pub fn named(&self, name: &str) -> Self {
        Self { name: name.into(), folder: self.folder.with_file_name(name), ..self.clone() }
    }

    /// What it runs.
    pub fn daemon(&self) -> Daemon {
        self.daemon
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Starts its programs.
    pub fn start(&self, config: &Config) -> Result<()> {
        self.start_with(&self.render(config)?)
    }

    /// Starts its programs with a configuration in their own words.
    pub fn start_with(&self, text: &str) -> Result<()> {
        self.write(text)?;
        self.start_as(Start::Fresh)
    }

    /// Starts its programs with the configuration they had.
    pub fn start_again(&self) -> Result<()> {
        self.start_as(Start::Fresh)
    }

    /// The same, saying whether what was before counts.
    pub fn start_as(&self, start: Start) -> Result<()> {
        for (program, mut command) in self.daemon.programs(&self.folder, start) {
            let name = format!("{}-{program}", self.name);
            let log = self.folder.join(format!("{program}.log"));
            let process = Process::start(&self.pids, &name, &self.netns, &log, &mut command)?;
            let socket = self.daemon.socket(&self.folder, program);
            wait::until(Duration::from_secs(20), &format!("{program} of {}", self.netns.name()), || {
                ensure!(process.runs(), "it ended; see {}", log.display());
                ensure!(socket.exists(), "it has not made {}; see {}", socket.display(), log.display());
                Ok(())
            })?;
        }
        Ok(())
    }

    fn write(&self, text: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir_all(&self.folder)?;
        let file = self.folder.join("router.conf");
        fs::write(&file, text)?;
        // OpenBGPD reads no file that others may read.
        Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o600))?)
    }

    /// Gives a running router a new configuration, without a restart.
    pub fn configure(&self, config: &Config) -> Result<()> {
        self.write(&self.render(config)?)?;
        match self.daemon {
            Daemon::Bird => self.ask("configure").map(|_| ()),
            Daemon::Frr | Daemon::Gobgp | Daemon::Openbgpd => {
                self.stop()?;
                self.start_again()
            }
        }
    }

    /// Its processes.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let mine = format!("{}-", self.name);
        let mut found = Process::all(&self.pids)?;
        found.retain(|process| process.name.starts_with(&mine));
        Ok(found)
    }

    /// Ends its processes, in good order (sessions are closed).
    pub fn stop(&self) -> Result<()> {
        for process in self.processes()? {
            process.stop()?;
        }
        self.remove_sockets()
    }

    /// Kills its processes, as a power cut would.
    pub fn kill(&self) -> Result<()> {
        for process in self.processes()? {
            process.kill_group()?;
            process.stop()?;
        }
        self.remove_sockets()
    }

    fn remove_sockets(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| ["ctl", "vty", "api"].iter().any(|socket| extension == *socket))
            {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// A line of `birdc`, `vtysh`, `gobgp` or `bgpctl`; of `vtysh` several, each in the mode that the one before has entered.
    pub fn ask(&self, line: &str) -> Result<String> {
        let output = self.daemon.client(&self.folder, line).output().context("cannot run the router's client")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{}: {line:?} failed: {text}{}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }

    /// Addresses of the neighbours it has a session with.
    pub fn established(&self) -> Result<Vec<IpAddr>> {
        match self.daemon {
            Daemon::Bird => Ok(bird::established(&self.ask("show protocols all")?)),
            Daemon::Frr => frr::established(&self.ask("show bgp summary json")?),
            Daemon::Gobgp => gobgp::established(&self.ask("-j neighbor")?),
            Daemon::Openbgpd => openbgpd::established(&self.ask("-j show neighbor")?),
        }
    }

    /// What it holds for a prefix, in its own words.
    pub fn route(&self, prefix: &str) -> Result<String> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        match self.daemon {
            Daemon::Bird => self.ask(&format!("show route for {prefix} all")),
            Daemon::Frr => self.ask(&format!("show bgp {family} unicast {prefix}")),
            Daemon::Gobgp => self.ask(&format!("global rib {prefix} -a {family}")),
            Daemon::Openbgpd => self.ask(&format!("show rib detail {prefix}")),
        }
    }

    fn render(&self, config: &Config) -> Result<String> {
        match self.daemon {
            Daemon::Bird => Ok(bird::render(config)),
            Daemon::Frr => Ok(frr::render(config)),
            Daemon::Gobgp | Daemon::Openbgpd => {
                bail!("{} forwards nothing on Linux: no lab has it as router", self.daemon)
            }
        }
    }
}

/// A line in words: what stands between double quotes is one.
pub fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 1 {
            found.push(part.to_owned());
        } else {
            found.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    found
}

/// A program of Debian's, by path, for the message when it is missing.
fn program(path: &str) -> Command {
    Command::new(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_one_word() {
        assert_eq!(
            words("neighbor  10.0.0.1 down \"rack 7 is moved\""),
            ["neighbor", "10.0.0.1", "down", "rack 7 is moved"]
        );
    }
}
