//! Takes everything of ours off a node: what the kernel holds by its mark, and files by their names.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{fs, io};

use dataplane::diff::Step;
use dataplane::linux::netlink::{Netlink, NetlinkError};
use dataplane::linux::routes::Whose;
use dataplane::linux::{links, nexthops, nft, routes, tunnel};
use dataplane::nexthop::NexthopKind;
use dataplane::ours::Ours;
use dataplane::requests::{Request, Work};

use super::worker::DELETED_GROUP;
use super::{cni, names};

/// Where things of ours are, as this process sees the node.
#[derive(Debug, Clone)]
pub struct Places {
    /// What was installed for the runtime.
    pub cni: Option<cni::Directories>,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `--socket`.
    pub socket: PathBuf,
    /// Where iproute2 looks for names of protocols.
    pub names: PathBuf,
}

/// Removes all, from the runtime's configuration to the last file, and goes on where something cannot be removed.
/// Concerns the calling thread's network namespace. Tells each thing that it did.
///
/// # Errors
/// Everything that stayed, a sentence each. If an agent still runs, that alone: it would make it all again.
pub fn uninstall(places: &Places, mut tell: impl FnMut(String)) -> Result<(), Vec<String>> {
    if std::os::unix::net::UnixStream::connect(&places.socket).is_ok() {
        let socket = places.socket.display();
        return Err(vec![format!("an agent answers at {socket}: end it first, it would make everything anew")]);
    }
    let mut stayed = Vec::new();
    if let Some(directories) = &places.cni {
        match cni::remove(directories) {
            Ok(()) => tell("the plugin and its configuration are gone".into()),
            Err(problems) => stayed.extend(problems),
        }
    }
    type Removal = (&'static str, fn() -> Result<usize, String>);
    let kernel: [Removal; 5] = [
        ("links of pods", remove_links),
        ("routes", remove_routes),
        ("nexthop objects", remove_nexthops),
        ("addresses of the tunnel", retire_tunnel),
        ("tables of packet rules", remove_rules),
    ];
    for (what, remove) in kernel {
        match remove() {
            Ok(count) => tell(format!("{what}: {count} removed")),
            Err(problem) => stayed.push(format!("{what}: {problem}")),
        }
    }
    stayed.extend(files(places));
    if stayed.is_empty() { Ok(()) } else { Err(stayed) }
}

fn netlink() -> Result<Netlink, String> {
    Netlink::route().map_err(text)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// First, as the kernel takes their routes with them.
fn remove_links() -> Result<usize, String> {
    let mut netlink = netlink()?;
    let found = links::read(&mut netlink).map_err(text)?;
    let ours: Vec<_> = found.into_iter().filter_map(|link| Ours::recognise(link).ok()).collect();
    if !ours.is_empty() {
        links::delete_group(&mut netlink, &ours, DELETED_GROUP).map_err(text)?;
    }
    Ok(ours.len())
}

fn remove_routes() -> Result<usize, String> {
    let mut netlink = netlink()?;
    let found = routes::read(&mut netlink, Whose::Ours).map_err(text)?;
    let steps: Vec<Step> =
        found.into_iter().filter_map(|route| Ours::recognise(route).ok().map(Step::Delete)).collect();
    let requests = (0..steps.len()).map(|step| Request::Route { step, object: None }).collect();
    work(&mut netlink, &Work { steps, requests })
}

fn remove_nexthops() -> Result<usize, String> {
    let mut netlink = netlink()?;
    let found = nexthops::read(&mut netlink).map_err(text)?.unwrap_or_default();
    // Groups before their members.
    let (groups, members): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|object| matches!(object.kind, NexthopKind::Group(_)));
    let ours = groups.into_iter().chain(members).filter_map(|object| Ours::recognise(object).ok());
    work(&mut netlink, &Work { steps: Vec::new(), requests: ours.map(Request::Remove).collect() })
}

fn work(netlink: &mut Netlink, work: &Work) -> Result<usize, String> {
    let outcome = routes::apply(netlink, work, |_| ()).map_err(text)?;
    match outcome.failures.first() {
        Some(first) => Err(format!("{} could not be removed: {first}", outcome.failures.len())),
        None => Ok(work.requests.len()),
    }
}

fn retire_tunnel() -> Result<usize, String> {
    tunnel::retire(&mut netlink()?).map(|changes| changes.len()).map_err(text)
}

fn remove_rules() -> Result<usize, String> {
    let remove = || -> Result<usize, NetlinkError> {
        let mut netlink = Netlink::netfilter()?;
        let there = usize::from(nft::read(&mut netlink)?.is_some());
        if there > 0 {
            nft::remove(&mut netlink)?;
        }
        Ok(there)
    };
    remove().map_err(text)
}

/// The journal, the socket, the protocol's name, and the directories that were made for them.
fn files(places: &Places) -> Vec<String> {
    let mut stayed = Vec::new();
    let mut removed = |path: &Path, outcome: io::Result<()>| match outcome {
        Err(error) if error.kind() != ErrorKind::NotFound => stayed.push(format!("{}: {error}", path.display())),
        _ => {}
    };
    removed(&places.state_dir, fs::remove_dir_all(&places.state_dir));
    removed(&places.socket, fs::remove_file(&places.socket));
    let name = places.names.join(names::FILE);
    removed(&name, fs::remove_file(&name));
    if let Some(directory) = places.socket.parent() {
        // It may be another's too.
        let _ = fs::remove_dir(directory);
    }
    stayed
}
