//! A case as it is written: `case.yaml` and the files beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::router::{DAEMONS, Daemon};

/// One feature, and how it is judged.
#[derive(Debug, Clone)]
pub struct Case {
    /// `sessions`: the part of the table that it is in.
    pub group: String,
    /// `md5`.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// `case.yaml`.
    pub script: Script,
}

/// `case.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Script {
    /// What it is called in the table.
    pub title: String,
    /// Where the feature is defined.
    pub source: String,
    /// How many of our nodes take part.
    #[serde(default = "one")]
    pub nodes: usize,
    /// Base objects that are not there.
    #[serde(default)]
    pub without: Vec<String>,
    /// Daemons that have it not, and how they do not.
    #[serde(default)]
    pub absent: BTreeMap<String, String>,
    /// Daemons that do it wrong: what is seen. The case is played all the same and must fail in just this way.
    #[serde(default)]
    pub wrong: BTreeMap<String, Wrong>,
    /// What is worth knowing about a daemon that passes.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
    /// One after the other. What must be so may take a while to become so.
    pub steps: Vec<Step>,
}

/// A daemon's fault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wrong {
    /// What it does, for the table.
    pub observed: String,
    /// Words of the failure that it leads to.
    pub fails_with: String,
}

/// Named values, compared by [`super::matching`].
pub type Fields = Map<String, Value>;
/// By a daemon's key.
pub type ByDaemon<T> = BTreeMap<String, T>;

/// One step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Step {
    /// These sessions (`v4`, `v6`, `n2-v4`, …) are established, and both sides say so.
    Sessions(Vec<String>),
    /// None of the sessions was lost since they were first established.
    NoReset(Vec<String>),
    /// `margayctl bgp peers` shows this of a `session`.
    WeSee(Fields),
    /// `margayctl bgp routes TABLE` has such a path.
    WeHave(Fields),
    /// It has none.
    WeLack(Fields),
    /// `margayctl route list` has such a row.
    Kernel(Fields),
    /// The daemon has such a path.
    PeerHas(Fields),
    /// It has none.
    PeerLacks(Fields),
    /// The daemon has such a path now and for a second.
    PeerKeeps(Fields),
    /// The daemon's client, asked so, says all these words.
    PeerSays(ByDaemon<Saying>),
    /// Lines for the daemon's client.
    Ask(ByDaemon<Vec<String>>),
    /// Lines for `margayctl`, by node.
    Ctl(BTreeMap<String, Vec<String>>),
    /// Files of objects, written anew.
    Write(BTreeMap<String, String>),
    /// Objects taken away.
    Remove(Vec<String>),
    /// SIGKILL.
    Kill(Side),
    /// SIGTERM.
    Stop(Side),
    /// Started again after [`Step::Kill`] or [`Step::Stop`].
    Start(Side),
    /// Pings both ways over what BGP has taught.
    Traffic(Traffic),
    /// Lines of `ip` in a machine's namespace: `n1` or `peer`.
    Ip(BTreeMap<String, Vec<String>>),
}

/// What a client says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Saying {
    /// The line it is asked.
    pub ask: String,
    /// Words in the answer.
    #[serde(default)]
    pub words: Vec<String>,
    /// Values in an answer that is JSON, by their JSON pointer (RFC 6901).
    #[serde(default)]
    pub values: BTreeMap<String, Value>,
    /// Words that are not in the answer.
    #[serde(default)]
    pub never: Vec<String>,
}

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The agent of n1.
    Us,
    /// The daemon.
    Peer,
}

/// What traffic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Begins.
    Start,
    /// Goes on: more answers come in.
    Flows,
    /// Ends, and nothing was lost.
    Unbroken,
}

fn one() -> usize {
    1
}

impl Case {
    /// Every case below a folder, in order of group and name.
    pub fn discover(folder: &Path) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for group in subfolders(folder)?.into_iter().filter(|group| !group.ends_with("base")) {
            for case in subfolders(&group)? {
                let context = || format!("in the case {}", case.display());
                found.push(Self::read(&group, &case).with_context(context)?);
            }
        }
        Ok(found)
    }

    fn read(group: &Path, folder: &Path) -> Result<Self> {
        let text = fs::read_to_string(folder.join("case.yaml")).context("no case.yaml")?;
        let value: Value = serde_saphyr::from_str(&text).context("case.yaml")?;
        let script: Script = serde_json::from_value(value).context("case.yaml")?;
        let case = Self { group: last(group), name: last(folder), folder: folder.to_owned(), script };
        case.check()?;
        Ok(case)
    }

    /// Every daemon is spoken for, and nothing else lies about.
    fn check(&self) -> Result<()> {
        for daemon in DAEMONS {
            let (there, absent) = (self.applies(daemon), self.script.absent.contains_key(daemon.key()));
            ensure!(there || absent, "neither {} nor a line under `absent` for {daemon}", daemon.file());
            ensure!(!(there && absent), "{} and a line under `absent`, both", daemon.file());
        }
        let named = self.script.absent.keys().chain(self.script.wrong.keys()).chain(self.script.notes.keys());
        for key in named {
            key.parse::<Daemon>()?;
        }
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let known = ["case.yaml", "objects"].contains(&name.as_str());
            if !known && !DAEMONS.iter().any(|daemon| daemon.file() == name) {
                bail!("{name} is nothing that a case has");
            }
        }
        Ok(())
    }

    /// Whether it is played with a daemon.
    pub fn applies(&self, daemon: Daemon) -> bool {
        self.folder.join(daemon.file()).exists()
    }

    /// `sessions/md5`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
