//! Network namespaces by name, as `ip netns` keeps them.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::wait;

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";
/// How long a port may stay taken by a child that is being started.
const FREE: Duration = Duration::from_secs(10);

/// One namespace. Having the name does not mean that it exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// By its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// All that there are.
    pub fn all() -> Result<Vec<Self>> {
        let Ok(entries) = std::fs::read_dir(FOLDER) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in entries {
            found.push(Self::named(entry?.file_name().to_string_lossy()));
        }
        found.sort();
        Ok(found)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, as `CNI_NETNS` wants it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(FOLDER).join(&self.name)
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Runs `work` on a thread inside the namespace; what it spawns is inside too. The mounts stay those of the machine.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(self.path()).with_context(|| format!("there is no namespace {}", self.name))?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .with_context(|| format!("cannot enter namespace {} (are you root?)", self.name))?;
                work()
            });
            inside.join().map_err(|_| anyhow!("the thread in namespace {} panicked", self.name))?
        })
    }

    /// Listens for TCP here, as soon as the port is free: a child that another thread starts holds a copy of every socket until
    /// it runs its program, also of those that are closed meanwhile.
    pub fn listen(&self, at: SocketAddr) -> Result<TcpListener> {
        wait::until(FREE, "a port to listen at", || self.run(|| Ok(TcpListener::bind(at)?)))
    }

    /// Takes datagrams here, as soon as the port is free (see [`Netns::listen`]).
    pub fn receive(&self, at: SocketAddr) -> Result<UdpSocket> {
        wait::until(FREE, "a port to receive at", || self.run(|| Ok(UdpSocket::bind(at)?)))
    }

    /// Runs a program inside and collects what it prints.
    pub fn output<S: AsRef<OsStr> + Sync>(&self, program: &str, args: &[S]) -> Result<Output> {
        self.run(|| {
            Command::new(program)
                .args(args)
                .stdin(Stdio::null())
                .output()
                .with_context(|| format!("cannot run {program} in namespace {}", self.name))
        })
    }

    /// Runs a program inside; its standard output if it succeeds.
    pub fn stdout<S: AsRef<OsStr> + Sync>(&self, program: &str, args: &[S]) -> Result<String> {
        let output = self.output(program, args)?;
        if !output.status.success() {
            let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
            bail!(
                "{}: `{program} {}` failed: {}{}",
                self.name,
                words.join(" "),
                String::from_utf8_lossy(&output.stderr),
                String::from_utf8_lossy(&output.stdout)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes sysctls of the namespace: paths below `/proc/sys/net`, with `/`.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (key, value) in settings {
                let path = format!("/proc/sys/net/{key}");
                std::fs::write(&path, value)
                    .with_context(|| format!("{}: cannot write {value} to {path}", self.name))?;
            }
            Ok(())
        })
    }
}
