//! What of the pods is still there: the picture's links and, where it lacks one, the kernel's own word.

use std::collections::BTreeSet;
use std::path::Path;

use dataplane::linux::links;
use dataplane::linux::netlink::{Netlink, NetlinkError};
use ipam::{Leases, Living, PodLink};
use model::kernel;

/// What is there of the pods of `leases`, if the picture has the links `told`.
///
/// # Errors
/// The kernel can't be asked. Then nothing is known to be gone.
pub(super) fn living(leases: &Leases, mut told: Vec<PodLink>) -> Result<Living, NetlinkError> {
    let paths: BTreeSet<&String> = leases.iter().map(|lease| &lease.netns).collect();
    let gone = |path: &&&String| !path.is_empty() && !Path::new(path.as_str()).exists();
    let missing_netns = paths.iter().filter(gone).map(|path| path.to_string()).collect();
    told.extend(not_told_of(leases, &told)?);
    Ok(Living { links: told, missing_netns })
}

/// Links of leases that the kernel has and the picture has not. Its events may be late, and a lease that ends takes its link
/// along: the kernel itself has the last word.
fn not_told_of(leases: &Leases, told: &[PodLink]) -> Result<Vec<PodLink>, NetlinkError> {
    let told: BTreeSet<&str> = told.iter().map(|side| side.name.as_str()).collect();
    let names = leases.iter().map(|lease| lease.host_interface.as_str());
    let names: BTreeSet<&str> = names.filter(|name| !told.contains(name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut netlink = Netlink::route()?;
    let mut found = Vec::new();
    for name in names {
        let link = links::by_name(&mut netlink, name)?.filter(|link| link.group == kernel::POD_LINK_GROUP);
        found.extend(link.map(|l| PodLink::new(&l.name, l.index, l.mtu, l.alias.as_deref(), Vec::new())));
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use ipam::{Lease, Record};
    use model::Time;
    use model::api::Attachment;

    use super::*;

    fn leases(links: &[&str]) -> Leases {
        let mut leases = Leases::default();
        for link in links {
            leases.apply(Record::Lease(Lease {
                attachment: Attachment { container_id: format!("of-{link}"), ifname: "eth0".into() },
                network: String::new(),
                pod: None,
                uid: None,
                netns: String::new(),
                host_interface: link.to_string(),
                addresses: Vec::new(),
                mtu: 1500,
                since: 1,
                plumbed: None,
            }));
        }
        leases
    }

    fn ip(arguments: &str) {
        assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
    }

    #[test]
    fn a_lease_stays_while_the_kernel_has_its_link_though_nobody_told_of_it() {
        let released = std::thread::spawn(|| {
            let _namespace = dataplane::linux::netns::unshare().expect("a network namespace (needs root)");
            ip("link add cali0 group 109 type veth peer name pod0");
            ip("link add cali1 type veth peer name pod1");
            let mut leases = leases(&["cali0", "cali1", "cali2"]);
            [0, 3600u64].map(|seconds| {
                let living = living(&leases, Vec::new()).unwrap();
                leases.reconcile(&living, Time::from_micros(seconds * 1_000_000)).links
            })
        });
        // cali1 is another's link of that name, cali2 does not exist.
        assert_eq!(released.join().unwrap(), [vec![], vec!["cali1".to_string(), "cali2".to_string()]]);
    }
}
