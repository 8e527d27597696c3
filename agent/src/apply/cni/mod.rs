//! Installs the shim and its configuration on the node, and keeps them as they should be.
//!
//! The configuration comes last, and not before an ADD can be served: with it the runtime declares the node's network
//! ready. It stays when the agent ends, because a successor is about to come: the shim waits for it.

mod ask;
mod files;
mod watcher;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::fact::Fact;
use crate::plan::cni::{CHAINED, Chained, SHIM, conflist, earlier};
use crate::reconcile::Status;
use crate::world::cni::{CONFLIST, Installed};
use watcher::Watcher;

/// How long to wait before trying again what failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Where things go, as this process sees the node's directories. A directory that is not given is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// `--cni-bin-dir`: the runtime's plugins.
    pub bin: Option<PathBuf>,
    /// `--cni-conf-dir`: the runtime's configurations.
    pub conf: Option<PathBuf>,
    /// The shim to install, which lies beside the agent.
    pub shim: PathBuf,
    /// Where the shim is to find the agent.
    pub socket: PathBuf,
}

/// Whether the runtime may be told already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    NotYet,
    Once,
}

/// Keeps the node's directories right until nobody listens any more.
pub async fn keep(directories: Directories, mut status: watch::Receiver<Status>, facts: mpsc::Sender<Fact>) {
    let watched: Vec<&Path> = directories.bin.iter().chain(&directories.conf).map(PathBuf::as_path).collect();
    let mut watcher = Watcher::new(&watched);
    let (mut served, mut told) = (Served::NotYet, None);
    loop {
        if status.borrow_and_update().not_ready.is_none() {
            served = Served::Once;
        }
        let now = tokio::task::block_in_place(|| settle(&directories, served));
        let failed = now.problem.is_some();
        if told.as_ref() != Some(&now) {
            report(&now);
            if facts.send(Fact::Cni(now.clone())).await.is_err() {
                return;
            }
            told = Some(now);
        }
        tokio::select! {
            changed = status.changed(), if served == Served::NotYet => if changed.is_err() { return },
            () = watcher.changed() => {}
            () = tokio::time::sleep(AGAIN), if failed => {}
        }
    }
}

fn report(installed: &Installed) {
    if let (Some(path), None) = (&installed.conflist, &installed.problem) {
        tracing::info!(conflist = %path.display(), "installed: the runtime finds us");
    }
    installed.problems().iter().for_each(|problem| tracing::warn!(problem, "installing"));
}

/// Lays down what is missing or different, the configuration last.
fn settle(directories: &Directories, served: Served) -> Installed {
    let mut installed = Installed::default();
    if let Some(conf) = &directories.conf {
        let beside = files::names(conf).map(|names| earlier(&names)).unwrap_or_default();
        installed.earlier = beside.into_iter().map(|name| conf.join(name)).collect();
    }
    match write(directories, served) {
        Ok(conflist) => installed.conflist = conflist,
        Err(problem) => installed.problem = Some(problem),
    }
    installed
}

fn write(directories: &Directories, served: Served) -> Result<Option<PathBuf>, String> {
    let said = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| format!("{path}: {error}")
    };
    if let Some(bin) = &directories.bin {
        let shim = std::fs::read(&directories.shim).map_err(said(&directories.shim))?;
        let target = bin.join(SHIM);
        files::put(&target, &shim, files::PROGRAM).map_err(said(&target))?;
    }
    let Some(conf) = directories.conf.as_ref().filter(|_| served == Served::Once) else { return Ok(None) };
    let chained = directories.bin.as_deref().map(chained).unwrap_or_default();
    let target = conf.join(CONFLIST);
    let text = conflist(&directories.socket, &chained);
    files::put(&target, text.as_bytes(), files::READABLE).map_err(said(&target))?;
    Ok(Some(target))
}

/// Which of the plugins that can come after ours the node has.
fn chained(bin: &Path) -> Vec<Chained> {
    let there = CHAINED.iter().filter(|(name, _)| bin.join(name).is_file());
    there.map(|(name, _)| Chained { name, versions: ask::versions(&bin.join(name)).unwrap_or_default() }).collect()
}

/// Takes away what [`keep`] laid down: the configuration first, so that the runtime asks nobody who is gone.
///
/// # Errors
/// Everything that could not be removed, a sentence each.
pub fn remove(directories: &Directories) -> Result<(), Vec<String>> {
    let conflist = directories.conf.iter().map(|conf| conf.join(CONFLIST));
    let shim = directories.bin.iter().map(|bin| bin.join(SHIM));
    let failed = |path: PathBuf| files::take(&path).err().map(|error| format!("{}: {error}", path.display()));
    let problems: Vec<String> = conflist.chain(shim).filter_map(failed).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

#[cfg(test)]
mod tests;
