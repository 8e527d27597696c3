//! One node: its processes in namespaces of their own, its death, its return, and commands inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use e2e::netns::Netns;
use e2e::process::Process;
use e2e::wait;

use crate::debian::Debian;
use crate::images::PAUSE;
use crate::plan::{DNS_SERVICE, PODS, Plan};
use crate::underlay;

const SOON: Duration = Duration::from_secs(20);

/// What a node's disk holds when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What it held: a reboot.
    Kept,
    /// Nothing: another machine of the same name.
    Empty,
}

/// A node by its name. Having the name does not mean that it runs.
#[derive(Debug, Clone)]
pub struct Node {
    plan: Plan,
    /// `n1`.
    pub name: String,
}

impl Node {
    /// By its name.
    pub fn named(plan: &Plan, name: &str) -> Self {
        Self { plan: plan.clone(), name: name.into() }
    }

    /// Its network namespace.
    pub fn netns(&self) -> Netns {
        self.plan.node(&self.name)
    }

    /// Starts its first process, in a network namespace that is there.
    pub fn start(&self, debian: &Debian) -> Result<()> {
        let folder = self.plan.node_folder(&self.name);
        fs::create_dir_all(&folder)?;
        let plan = &self.plan;
        let plugins = debian.program("bridge")?;
        let settings = [
            ("NODE", self.name.clone()),
            ("NAME", self.netns().name().to_owned()),
            ("NODE_IP", plan.node_ip(&self.name)?.to_string()),
            ("FOLDER", text(&folder)),
            ("CLUSTER", text(&plan.folder())),
            ("LOGS", text(&plan.logs())),
            ("CACHE", text(&plan.cache)),
            ("PROGRAMS", text(&plan.programs())),
            ("IMAGES", text(&plan.images())),
            ("SCRIPTS", text(&plan.folder().join("node-scripts"))),
            ("DEBIAN_PATH", debian.path()),
            ("CNI_PLUGINS", text(plugins.parent().unwrap_or(&plugins))),
            ("RUNTIME", text(&self.script("runtime.sh"))),
            ("PAUSE_IMAGE", PAUSE.to_owned()),
            ("POD_CIDR", PODS.to_owned()),
            ("DNS_SERVICE", DNS_SERVICE.to_string()),
        ];
        let lines: Vec<_> = settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        fs::write(self.environment(), lines.concat())?;
        let mut command = Command::new(self.script("start.sh"));
        command.arg(self.environment());
        let log = plan.logs().join(format!("{}-init.log", self.name));
        Process::start(&plan.processes(), &self.name, &self.netns(), &log, &mut command)?;
        Ok(())
    }

    /// `kill -9` to its first process: everything on it ends at once, as when the power fails. Its machine goes too.
    pub fn kill(&self) -> Result<()> {
        if let Some(process) = self.process()? {
            // unshare is told to take its child, the node's first process, with it.
            process.kill()?;
            let cgroups = self.cgroups();
            wait::until(SOON, "the end of all processes of a killed node", || {
                let busy = cgroups.iter().any(|cgroup| has_processes(cgroup));
                ensure!(!busy, "some are left in {cgroups:?}");
                Ok(())
            })?;
        }
        underlay::detach(&self.plan, &self.name)
    }

    /// Comes back after [`Node::kill`].
    pub fn come_back(&self, disk: Disk, debian: &Debian) -> Result<()> {
        if disk == Disk::Empty {
            fs::remove_dir_all(self.plan.node_folder(&self.name).join("disk")).ok();
        }
        underlay::attach(&self.plan, &self.name)?;
        self.start(debian)
    }

    /// Whether its first process runs.
    pub fn runs(&self) -> Result<bool> {
        Ok(self.process()?.is_some())
    }

    /// Ends it and forgets it.
    pub fn remove(&self) -> Result<()> {
        self.kill()?;
        for cgroup in self.cgroups() {
            wait::until(SOON, "the end of a node's cgroups", || remove_cgroup(&cgroup))?;
        }
        fs::remove_dir_all(self.plan.node_folder(&self.name)).ok();
        Ok(())
    }

    /// A command inside the node, in all its namespaces.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let process = self.process()?.with_context(|| format!("node {} does not run", self.name))?;
        let mut command = Command::new(self.script("enter.sh"));
        command.arg(self.environment()).arg(first_child(process.pid)?.to_string()).args(args).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs a command inside the node, whatever comes of it.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        self.command(args)?.output().with_context(|| format!("cannot enter node {}", self.name))
    }

    /// Runs a command inside the node; its standard output if it succeeds.
    pub fn stdout(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            bail!("{}: `{}` failed: {} {}", self.name, args.join(" "), err.trim(), out.trim());
        }
        Ok(out.into_owned())
    }

    /// A pid of the machine, of a process in the pod with this uid.
    pub fn pid_in_pod(&self, uid: &str) -> Result<i32> {
        let folder = format!("pod{uid}");
        let pid = self.cgroups().iter().find_map(|cgroup| pid_below(cgroup, &folder, Place::Outside));
        pid.with_context(|| format!("no process of pod {uid} on {}", self.name))
    }

    fn process(&self) -> Result<Option<Process>> {
        let all = Process::all(&self.plan.processes())?;
        Ok(all.into_iter().find(|process| process.name == self.name && process.runs()))
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let list = fs::read_to_string(self.plan.node_folder(&self.name).join("cgroups")).unwrap_or_default();
        list.lines().map(PathBuf::from).collect()
    }

    fn environment(&self) -> PathBuf {
        self.plan.node_folder(&self.name).join("environment")
    }

    fn script(&self, name: &str) -> PathBuf {
        self.plan.folder().join("node-scripts").join(name)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The pid of the one child that unshare has.
fn first_child(pid: i32) -> Result<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let first = children.split_whitespace().next().ok_or_else(|| anyhow!("process {pid} has no child yet"))?;
    Ok(first.parse()?)
}

#[derive(Clone, Copy)]
enum Place {
    Outside,
    Inside,
}

/// The first process in the cgroup of that name, wherever it is below `cgroup`.
fn pid_below(cgroup: &Path, name: &str, place: Place) -> Option<i32> {
    if matches!(place, Place::Inside)
        && let Ok(text) = fs::read_to_string(cgroup.join("cgroup.procs"))
        && let Some(first) = text.lines().next()
    {
        return first.parse().ok();
    }
    let inner = fs::read_dir(cgroup).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    inner.into_iter().find_map(|path| {
        let place = if path.ends_with(name) { Place::Inside } else { place };
        pid_below(&path, name, place)
    })
}

fn has_processes(cgroup: &Path) -> bool {
    let busy = fs::read_to_string(cgroup.join("cgroup.procs")).is_ok_and(|text| !text.trim().is_empty());
    let inner = fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    busy || inner.filter(|path| path.is_dir()).any(|path| has_processes(&path))
}

/// Innermost first, as rmdir wants it.
fn remove_cgroup(cgroup: &Path) -> Result<()> {
    if !cgroup.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(cgroup)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_cgroup(&path)?;
        }
    }
    fs::remove_dir(cgroup).with_context(|| format!("cannot remove {}", cgroup.display()))
}
