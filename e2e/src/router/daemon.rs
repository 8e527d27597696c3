//! Four BGP daemons of Debian's that are not ours: their programs, how to ask them, and how to tell that they are up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Error, anyhow};

use super::{bird, frr, gobgp, openbgpd};
use crate::plan::RouterKind;

/// A kind of daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// BIRD 2.
    Bird,
    /// FRRouting: zebra, bgpd and bfdd.
    Frr,
    /// GoBGP.
    Gobgp,
    /// OpenBGPD.
    Openbgpd,
}

/// All of them, in the order of tables.
pub const DAEMONS: [Daemon; 4] = [Daemon::Bird, Daemon::Frr, Daemon::Gobgp, Daemon::Openbgpd];

/// What `start` is: the first one, or one after a death that the neighbours bridge (RFC 4724).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing of before counts.
    Fresh,
    /// Forwarding went on, and the neighbours are told so.
    Graceful,
}

impl Daemon {
    /// As files and tests call it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::Gobgp => "gobgp",
            Self::Openbgpd => "openbgpd",
        }
    }

    /// The name of a file with its configuration.
    pub fn file(self) -> &'static str {
        match self {
            Self::Bird => "bird.conf",
            Self::Frr => "frr.conf",
            Self::Gobgp => "gobgp.toml",
            Self::Openbgpd => "openbgpd.conf",
        }
    }

    /// Debian's package.
    pub fn package(self) -> &'static str {
        match self {
            Self::Bird => "bird2",
            Self::Frr => "frr",
            Self::Gobgp => "gobgpd",
            Self::Openbgpd => "openbgpd",
        }
    }

    pub(super) fn programs(self, folder: &Path, start: Start) -> Vec<(&'static str, Command)> {
        match self {
            Self::Bird => bird::programs(folder, start),
            Self::Frr => frr::programs(folder, start),
            Self::Gobgp => gobgp::programs(folder, start),
            Self::Openbgpd => openbgpd::programs(folder),
        }
    }

    /// The socket that a program makes when it is up.
    pub(super) fn socket(self, folder: &Path, program: &str) -> PathBuf {
        match self {
            Self::Frr => folder.join(format!("{program}.vty")),
            Self::Bird | Self::Gobgp | Self::Openbgpd => folder.join(format!("{}.ctl", self.key())),
        }
    }

    pub(super) fn client(self, folder: &Path, line: &str) -> Command {
        match self {
            Self::Bird => bird::client(folder, line),
            Self::Frr => frr::client(folder, line),
            Self::Gobgp => gobgp::client(folder, line),
            Self::Openbgpd => openbgpd::client(folder, line),
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::Gobgp => "GoBGP",
            Self::Openbgpd => "OpenBGPD",
        })
    }
}

impl FromStr for Daemon {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = DAEMONS.into_iter().find(|daemon| daemon.key() == text);
        found.ok_or_else(|| anyhow!("{text:?} is not one of bird, frr, gobgp, openbgpd"))
    }
}

impl From<RouterKind> for Daemon {
    fn from(kind: RouterKind) -> Self {
        match kind {
            RouterKind::Bird => Self::Bird,
            RouterKind::Frr => Self::Frr,
        }
    }
}
