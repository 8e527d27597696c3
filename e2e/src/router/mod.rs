//! Routers that are not ours: what they should do, and the processes that do it.

mod bird;
mod frr;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::netns::Netns;
use crate::plan::{FAMILIES, Family, Plan, RouterKind, tor_as, tor_name};
use crate::process::Process;
use crate::wait;

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
    kind: RouterKind,
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
            kind: plan.router,
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

    /// Another router of the same kind, with a folder of its own.
    pub fn named(&self, name: &str) -> Self {
        Self { name: name.into(), folder: self.folder.with_file_name(name), ..self.clone() }
    }

    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Starts its programs.
    pub fn start(&self, config: &Config) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        fs::write(self.folder.join("router.conf"), self.render(config))?;
        self.start_again()
    }

    /// Starts its programs with the configuration they had.
    pub fn start_again(&self) -> Result<()> {
        let programs = match self.kind {
            RouterKind::Bird => bird::programs(&self.folder),
            RouterKind::Frr => frr::programs(&self.folder),
        };
        for (program, mut command) in programs {
            let name = format!("{}-{program}", self.name);
            let log = self.folder.join(format!("{program}.log"));
            Process::start(&self.pids, &name, &self.netns, &log, &mut command)?;
            let socket = self.folder.join(if self.kind == RouterKind::Bird {
                "bird.ctl".into()
            } else {
                format!("{program}.vty")
            });
            wait::until(Duration::from_secs(10), &format!("{program} of {}", self.netns.name()), || {
                if socket.exists() {
                    Ok(())
                } else {
                    bail!("it has not made {}; see {}", socket.display(), log.display())
                }
            })?;
        }
        Ok(())
    }

    /// Gives a running router a new configuration, without a restart.
    pub fn configure(&self, config: &Config) -> Result<()> {
        let file = self.folder.join("router.conf");
        fs::write(&file, self.render(config))?;
        match self.kind {
            RouterKind::Bird => self.ask("configure").map(|_| ()),
            RouterKind::Frr => {
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
            process.kill()?;
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

    /// A line of `birdc` or `vtysh`.
    pub fn ask(&self, line: &str) -> Result<String> {
        let mut command = match self.kind {
            RouterKind::Bird => bird::client(&self.folder, line),
            RouterKind::Frr => frr::client(&self.folder, line),
        };
        let output = command.output().context("cannot run the router's client")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{}: {line:?} failed: {text}{}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }

    /// Addresses of the neighbours it has a session with.
    pub fn established(&self) -> Result<Vec<IpAddr>> {
        match self.kind {
            RouterKind::Bird => Ok(bird::established(&self.ask("show protocols all")?)),
            RouterKind::Frr => frr::established(&self.ask("show bgp summary json")?),
        }
    }

    /// What it holds for a prefix, in its own words.
    pub fn route(&self, prefix: &str) -> Result<String> {
        match self.kind {
            RouterKind::Bird => self.ask(&format!("show route for {prefix} all")),
            RouterKind::Frr if prefix.contains(':') => self.ask(&format!("show bgp ipv6 unicast {prefix}")),
            RouterKind::Frr => self.ask(&format!("show bgp ipv4 unicast {prefix}")),
        }
    }

    fn render(&self, config: &Config) -> String {
        match self.kind {
            RouterKind::Bird => bird::render(config),
            RouterKind::Frr => frr::render(config),
        }
    }
}

/// A program of Debian's, by path, for the message when it is missing.
fn program(path: &str) -> Command {
    Command::new(path)
}
