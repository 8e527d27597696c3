//! What changed on this node: the last some thousand changes, each with its time and reason.

use std::collections::VecDeque;
use std::time::Duration;

use bgp::speaker::{PeerChange, RouteChange};
use dataplane::diff::Step;
use dataplane::want::Names;
use ipam::{Lease, Record, Released};
use model::api::show::{ChangeKind, ChangeView};
use model::object::ObjectKey;
use model::{Prefix, Time};

use crate::fact::Fact;

/// The most changes that are remembered.
const LIMIT: usize = 4096;

/// A ring of changes. They are put into words only when somebody asks: a full table of routes may pass through here.
#[derive(Debug)]
pub(super) struct History {
    /// Seconds since the Unix epoch at [`Time::START`].
    born: u64,
    changes: VecDeque<(Time, Change)>,
}

#[derive(Debug)]
enum Change {
    Session(PeerChange),
    Best(RouteChange),
    Installed(Step),
    Object(ObjectKey, String),
    ObjectGone(ObjectKey),
    Leased(Lease),
    Released(Lease, String),
}

impl History {
    /// Of an agent that started then.
    pub(super) fn born(unix_seconds: u64) -> History {
        History { born: unix_seconds, changes: VecDeque::new() }
    }

    /// Remembers what a fact changes, if it is of a kind that people ask for.
    pub(super) fn note(&mut self, fact: &Fact, at: Time) {
        let change = match fact {
            Fact::Session(change) => Change::Session(change.clone()),
            Fact::Learned(change) => Change::Best(change.clone()),
            Fact::Object(fact) => Change::Object(fact.object.key(), fact.origin.clone()),
            Fact::ObjectGone(key) => Change::ObjectGone(key.clone()),
            Fact::Lease(Record::Lease(lease)) if lease.plumbed.is_none() => Change::Leased(lease.clone()),
            _ => return,
        };
        self.push(at, change);
    }

    /// Remembers steps that the kernel took.
    pub(super) fn steps<'a>(&mut self, steps: impl Iterator<Item = &'a Step> + Clone, at: Time) {
        // Of a full table only the last would be left.
        let forgotten = steps.clone().count().saturating_sub(LIMIT);
        steps.skip(forgotten).for_each(|step| self.push(at, Change::Installed(step.clone())));
    }

    /// Remembers leases that ended.
    pub(super) fn released(&mut self, released: &Released, at: Time) {
        for (lease, reason) in &released.leases {
            self.push(at, Change::Released(lease.clone(), reason.clone()));
        }
    }

    fn push(&mut self, at: Time, change: Change) {
        if self.changes.len() == LIMIT {
            self.changes.pop_front();
        }
        self.changes.push_back((at, change));
    }

    /// The changes, oldest first; of one subject, or of the prefixes inside one.
    pub(super) fn view(&self, of: Option<&str>, names: &Names) -> Vec<ChangeView> {
        let within: Option<Prefix> = of.and_then(|text| text.parse().ok());
        let chosen = |change: &&(Time, Change)| match (of, within, change.1.prefix()) {
            (None, ..) => true,
            (_, Some(outer), Some(inner)) => outer.covers(&inner),
            (Some(text), ..) => change.1.subject() == text,
        };
        self.changes.iter().filter(chosen).map(|(at, change)| change.view(self.time(*at), names)).collect()
    }

    /// RFC 3339, to the millisecond: what follows what is what people look for.
    fn time(&self, at: Time) -> String {
        let since_epoch = Duration::from_secs(self.born) + at.since(Time::START);
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_millisecond(millis);
        time.map(|t| format!("{t:.3}")).unwrap_or_default()
    }
}

impl Change {
    fn prefix(&self) -> Option<Prefix> {
        match self {
            Change::Best(change) => Some(change.prefix),
            Change::Installed(step) => Some(step.key().prefix),
            _ => None,
        }
    }

    fn subject(&self) -> String {
        match self {
            Change::Session(change) => change.peer.to_string(),
            Change::Best(change) => change.prefix.to_string(),
            Change::Installed(step) => step.key().prefix.to_string(),
            Change::Object(key, _) | Change::ObjectGone(key) => key.to_string(),
            Change::Leased(lease) | Change::Released(lease, _) => {
                lease.pod.as_ref().map_or(lease.attachment.container_id.clone(), ToString::to_string)
            }
        }
    }

    fn view(&self, time: String, names: &Names) -> ChangeView {
        let (kind, change, reason) = match self {
            Change::Session(change) => {
                let state = change.state.map_or("removed".to_string(), |state| format!("{state:?}"));
                (ChangeKind::Session, state, change.reason.clone())
            }
            Change::Best(RouteChange { best: None, .. }) => {
                (ChangeKind::BestPath, "none".into(), "withdrawn, or its peer is gone".into())
            }
            Change::Best(RouteChange { best: Some(best), .. }) => {
                let hops: Vec<String> = best.next_hops.iter().map(|hop| hop.address.to_string()).collect();
                (ChangeKind::BestPath, format!("via {}", hops.join(", ")), best.reason.to_string())
            }
            Change::Installed(step) => (ChangeKind::KernelRoute, step_text(step, names), step.reason().to_string()),
            Change::Object(_, origin) => (ChangeKind::Object, "in force".into(), format!("read from {origin}")),
            Change::ObjectGone(_) => (ChangeKind::Object, "gone".into(), "no file and no server holds it".into()),
            Change::Leased(lease) => (ChangeKind::Pod, addresses(lease), "CNI ADD".into()),
            Change::Released(lease, reason) => {
                (ChangeKind::Pod, format!("released {}", addresses(lease)), reason.clone())
            }
        };
        ChangeView { time, kind, subject: self.subject(), change, reason }
    }
}

fn step_text(step: &Step, names: &Names) -> String {
    match step {
        Step::Add(route) => format!("added {}", route.display(names)),
        Step::Replace { new, .. } => format!("replaced by {}", new.display(names)),
        Step::Delete(old) => format!("deleted {}", old.display(names)),
    }
}

fn addresses(lease: &Lease) -> String {
    let addresses: Vec<String> = lease.addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(prefix: &str) -> Fact {
        Fact::Learned(RouteChange { prefix: prefix.parse().unwrap(), best: None })
    }

    #[test]
    fn the_last_changes_are_remembered_with_their_times_and_no_more_than_fit() {
        let mut history = History::born(1_800_000_000);
        for i in 0..=LIMIT {
            history.note(&lost(&format!("10.{}.{}.0/24", i / 256, i % 256)), Time::from_micros(i as u64 * 1000));
        }
        let all = history.view(None, &Names::new());
        assert_eq!(all.len(), LIMIT);
        assert_eq!(all[0].subject, "10.0.1.0/24");
        assert_eq!(all[0].time, "2027-01-15T08:00:00.001Z");
    }

    #[test]
    fn one_subject_or_a_prefix_with_all_inside_can_be_asked_for() {
        let mut history = History::born(0);
        ["10.1.0.0/24", "10.1.1.0/24", "10.2.0.0/24"].iter().for_each(|p| history.note(&lost(p), Time::START));
        let subjects = |of| history.view(Some(of), &Names::new()).into_iter().map(|c| c.subject).collect::<Vec<_>>();
        assert_eq!(subjects("10.1.1.0/24"), ["10.1.1.0/24"]);
        assert_eq!(subjects("10.1.0.0/16"), ["10.1.0.0/24", "10.1.1.0/24"]);
        assert!(subjects("BGPPeer/tor").is_empty());
    }
}
