//! The reconciler and pods: requests of the shim, and leases held against what still lives.

use std::time::Duration;

use dataplane::linux::netlink::NetlinkError;
use ipam::{Ask, Ledger, Living, Opening, Record, Released};
use model::Time;
use model::api::{Answer, Attach, Attached, Check, Detach, Gc, RefusalCode, Reply};

use super::{Reconciler, living, refuse};
use crate::fact::{Fact, Source};
use crate::plan::{mtu, pods};
use crate::world::Mode;

/// How often leases without a link are looked at again.
const AGAIN: Duration = Duration::from_secs(1);

impl Reconciler {
    pub(super) fn attach(&mut self, attach: Attach, now: Time, unix_seconds: u64) -> Reply {
        if let Some(message) = self.still_reading() {
            return refuse(RefusalCode::NotReady, message);
        }
        if let Some(message) = self.not_ready() {
            return refuse(RefusalCode::TryAgain, message);
        }
        if self.world.mode == Mode::PolicyOnly {
            return refuse(
                RefusalCode::Invalid,
                "this agent enforces policies only (--policy-only): pods are another plugin's",
            );
        }
        if self.is_unseen(&attach) {
            self.unseen_pods += 1;
            tracing::warn!(pod = ?attach.pod, "the API server does not show this pod: it is attached without its annotations");
        }
        let Some(ledger) = &mut self.ledger else {
            return refuse(RefusalCode::NotReady, "the leases are not read yet");
        };
        let space = pods::space(&self.world, attach.pod.as_ref());
        let annotations = pods::annotations(&self.world, attach.pod.as_ref());
        let mtu = attach.mtu.unwrap_or_else(|| mtu::of_pods(&self.world).0);
        let ask = Ask { attach, annotations, mtu, unix_seconds };
        match ledger.attach(&ask, &space) {
            Ok(decision) => {
                let lease = decision.lease;
                tracing::info!(container = %lease.attachment.container_id, link = %lease.host_interface, addresses = ?lease.addresses, reason = %decision.reason, "attach");
                self.learn_records(decision.records, now);
                Reply::Ok(Answer::Attach(lease.plan()))
            }
            Err(error) => {
                tracing::warn!(container = %ask.attach.attachment.container_id, %error, "attach refused");
                refuse(error.refusal_code(), error.to_string())
            }
        }
    }

    pub(super) fn attached(&mut self, attached: &Attached, now: Time) -> Reply {
        let Some(ledger) = &mut self.ledger else {
            return refuse(RefusalCode::NotReady, "the leases are not read yet");
        };
        match ledger.attached(attached) {
            Ok(true) => {
                let plumbed = ipam::Plumbed { host_ifindex: attached.host_ifindex, mac: attached.mac.clone() };
                let record = Record::Plumbed { attachment: attached.attachment.clone(), plumbed };
                self.learn_records(vec![record], now);
                Reply::Ok(Answer::Done)
            }
            Ok(false) => refuse(RefusalCode::Unknown, "the lease was released meanwhile: run ADD again"),
            Err(error) => refuse(error.refusal_code(), error.to_string()),
        }
    }

    pub(super) fn detach(&mut self, detach: &Detach, now: Time) -> Reply {
        let Some(ledger) = &mut self.ledger else {
            return refuse(RefusalCode::NotReady, "the leases are not read yet");
        };
        match ledger.detach(detach) {
            Ok(released) => {
                self.release(released, now);
                Reply::Ok(Answer::Done)
            }
            Err(error) => refuse(error.refusal_code(), error.to_string()),
        }
    }

    pub(super) fn gc(&mut self, gc: &Gc, now: Time) -> Reply {
        let Some(ledger) = &mut self.ledger else {
            return refuse(RefusalCode::NotReady, "the leases are not read yet");
        };
        match ledger.gc(gc) {
            Ok(released) => {
                self.release(released, now);
                Reply::Ok(Answer::Done)
            }
            Err(error) => refuse(error.refusal_code(), error.to_string()),
        }
    }

    pub(super) fn check(&self, check: &Check) -> Reply {
        match self.world.leases.of(&check.attachment) {
            Some(lease) => Reply::Ok(Answer::Attach(lease.plan())),
            None => {
                let id = &check.attachment.container_id;
                refuse(RefusalCode::Unknown, format!("container {id} has no lease for {}", check.attachment.ifname))
            }
        }
    }

    /// Opens the journal, once the kernel has been read: should the journal be lost, running pods' links tell.
    pub(super) fn open_ledger(&mut self, now: Time) {
        let links = self.world.kernel.host_sides();
        match Ledger::open(&self.state_dir, &self.boot, &links) {
            Ok((ledger, opening)) => {
                self.ledger_notes = notes(&opening);
                self.ledger_notes.iter().for_each(|note| tracing::warn!(note, "leases"));
                self.ledger_problem = None;
                let records = ledger.leases().records();
                self.ledger = Some(ledger);
                self.learn_records(records, now);
                self.recall_drain(now);
                self.learn(Fact::InSync(Source::Leases), now);
                self.leases_due = Some(now);
            }
            Err(error) => {
                let problem = error.to_string();
                if self.ledger_problem.as_ref() != Some(&problem) {
                    tracing::error!(%problem, "the leases can't be read: no pod can be attached until this is mended");
                }
                self.ledger_problem = Some(problem);
                self.leases_due = Some(now + AGAIN);
            }
        }
    }

    /// Ends leases whose pods are gone, if a look is due.
    pub(super) fn reconcile_leases(&mut self, now: Time) {
        if self.leases_due.is_none_or(|due| due > now) {
            return;
        }
        self.leases_due = None;
        let living = match self.living() {
            Ok(living) => living,
            Err(error) => {
                tracing::error!(%error, "which pods' links are there can't be read: no lease ends meanwhile");
                self.leases_due = Some(now + AGAIN);
                return;
            }
        };
        let Some(ledger) = &mut self.ledger else { return };
        let released = match ledger.reconcile(&living, now) {
            Ok(released) => released,
            Err(error) => {
                tracing::error!(%error, "leases can't be released");
                Released::default()
            }
        };
        if ledger.leases().awaits_reconcile() {
            self.leases_due = Some(now + AGAIN);
        }
        self.release(released, now);
    }

    /// What of the pods is still there.
    ///
    /// # Errors
    /// The kernel can't be asked.
    pub(super) fn living(&self) -> Result<Living, NetlinkError> {
        living::living(&self.world.leases, self.world.kernel.host_sides())
    }

    fn release(&mut self, released: Released, now: Time) {
        released.reasons().for_each(|reason| tracing::info!("{reason}"));
        self.history.released(&released, now);
        self.links.extend(released.links);
        self.learn_records(released.records, now);
    }

    fn learn_records(&mut self, records: Vec<Record>, now: Time) {
        let planned = records.iter().any(|r| matches!(r, Record::Lease(lease) if lease.plumbed.is_none()));
        if planned && self.leases_due.is_none() {
            // Should the shim die before it is done, nobody else will tell.
            self.leases_due = Some(now + AGAIN);
        }
        for record in records {
            self.learn(Fact::Lease(record), now);
        }
    }
}

/// What a person should know of how the leases were found.
fn notes(opening: &Opening) -> Vec<String> {
    match opening {
        Opening::Continued { torn: 0, .. } => vec![],
        Opening::Continued { torn, .. } => vec![format!("a last record of {torn} octets was cut short and is dropped")],
        Opening::OtherBoot { ended } => vec![format!("the machine was started anew: {ended} leases ended")],
        Opening::Missing { recovered: 0, left_out } => left_out.clone(),
        Opening::Missing { recovered, left_out } => {
            let mut notes = vec![format!("no journal: {recovered} leases recovered from the kernel's links")];
            notes.extend(left_out.iter().cloned());
            notes
        }
        Opening::Recovered { problem, aside, recovered, left_out } => {
            let kept = format!("{problem}; kept as {}", aside.display());
            let mut notes = vec![kept, format!("{recovered} leases recovered from the kernel's links")];
            notes.extend(left_out.iter().cloned());
            notes
        }
    }
}
