//! Ending leases: by DEL, by GC, and by a look at what still stands in the kernel.

use std::collections::BTreeSet;
use std::time::Duration;

use model::api::{Attachment, Detach, Gc};
use model::{Time, pod_link};

use crate::lease::{Lease, Record};
use crate::leases::{Leases, describe};
use crate::recover::PodLink;

/// How long a plumbed lease may be without its link before it ends: a repeated ADD makes the link anew within milliseconds.
const PLUMBED_GRACE: Duration = Duration::from_secs(5);
/// How long a lease may wait for its first link: longer than the shim waits and plumbs.
const PENDING_GRACE: Duration = Duration::from_secs(60);

/// Leases that end, to be recorded before anything else is done about them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// Which, each with its reason.
    pub leases: Vec<(Lease, String)>,
    /// Host sides to be removed: no other lease has them.
    pub links: Vec<String>,
    /// To be written, then applied.
    pub records: Vec<Record>,
}

/// What of the pods is still there, as far as the node can see.
#[derive(Debug, Clone, Default)]
pub struct Living {
    /// Host sides in the kernel.
    pub links: Vec<PodLink>,
    /// Paths of network namespaces, out of those in the leases, that no longer exist.
    pub missing_netns: BTreeSet<String>,
}

impl Leases {
    /// DEL. An attachment without a lease is already released: nothing to do, nothing wrong.
    pub fn release(&self, detach: &Detach) -> Released {
        let own = self.of(&detach.attachment);
        let by_link = || {
            let name = pod_link::name(detach.pod.as_ref(), &detach.attachment.container_id);
            self.of_link(&name)
        };
        let ended = own.or_else(by_link).map(|lease| (lease.clone(), "DEL".to_string()));
        self.released(ended.into_iter().collect())
    }

    /// GC: ends the leases of this network whose attachment is not in the list. Leases whose container is not known stay.
    pub fn release_absent(&self, gc: &Gc) -> Released {
        let valid: BTreeSet<&Attachment> = gc.valid.iter().collect();
        let absent = self
            .iter()
            .filter(|lease| lease.network == gc.network && !lease.is_unclaimed() && !valid.contains(&lease.attachment));
        let reason = "GC: the runtime does not list it as valid";
        self.released(absent.map(|lease| (lease.clone(), reason.to_string())).collect())
    }

    /// Ends the leases of pods that are gone: no link of theirs in the kernel, and either no namespace or a grace period over.
    ///
    /// Remembers since when a link is missing, so it is to be called again while [`Leases::awaits_reconcile`].
    pub fn reconcile(&mut self, living: &Living, now: Time) -> Released {
        let mut ended = Vec::new();
        let mut without_link = std::mem::take(&mut self.without_link);
        without_link.retain(|attachment, _| self.leases.contains_key(attachment));
        for lease in self.leases.values() {
            if living.links.iter().any(|link| link.is_of(lease)) {
                without_link.remove(&lease.attachment);
                continue;
            }
            let since = *without_link.entry(lease.attachment.clone()).or_insert(now);
            let grace = if lease.plumbed.is_some() { PLUMBED_GRACE } else { PENDING_GRACE };
            let link = &lease.host_interface;
            if !lease.netns.is_empty() && living.missing_netns.contains(&lease.netns) {
                ended
                    .push((lease.clone(), format!("neither its link {link} nor its namespace {} exists", lease.netns)));
            } else if now.since(since) >= grace {
                ended.push((lease.clone(), format!("its link {link} has been missing for {} s", grace.as_secs())));
            }
        }
        self.without_link = without_link;
        self.released(ended)
    }

    /// Is a lease without its link, so that another [`Leases::reconcile`] in a second or so may end it?
    pub fn awaits_reconcile(&self) -> bool {
        !self.without_link.is_empty()
    }

    fn released(&self, leases: Vec<(Lease, String)>) -> Released {
        let ended: BTreeSet<&Attachment> = leases.iter().map(|(lease, _)| &lease.attachment).collect();
        let mut links: Vec<String> = Vec::new();
        for (lease, _) in &leases {
            let name = &lease.host_interface;
            let shared = self.iter().any(|l| l.host_interface == *name && !ended.contains(&l.attachment));
            if !shared && !links.contains(name) {
                links.push(name.clone());
            }
        }
        let records = leases.iter().map(|(l, _)| Record::Release { attachment: l.attachment.clone() }).collect();
        Released { leases, links, records }
    }
}

impl Released {
    /// One line per lease, for the log.
    pub fn reasons(&self) -> impl Iterator<Item = String> {
        self.leases.iter().map(|(lease, reason)| format!("{} released: {reason}", describe(lease)))
    }
}
