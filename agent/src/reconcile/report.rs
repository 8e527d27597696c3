//! What the API should say, planned again when something it follows from has changed.

use dataplane::actual::KernelEvent;
use model::Time;

use super::Reconciler;
use crate::fact::Fact;
use crate::plan::report::{self, GRACE, Reports, Standing};

/// What is remembered between two plans of the reports.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    /// A fact has come that a report may follow from.
    pub(super) touched: bool,
    /// Why no pod can be attached, and since when that is so.
    not_ready: Option<(String, Time)>,
    /// What was last planned with: whether the grace was over, and why no pod could be attached.
    planned: Option<(bool, Option<String>)>,
}

impl Reporting {
    pub(super) fn note(&mut self, fact: &Fact) {
        self.touched |= match fact {
            Fact::Object(_) | Fact::ObjectGone(_) | Fact::ObjectErrors(_) => true,
            Fact::Lease(_) | Fact::Cni(_) | Fact::InSync(_) => true,
            Fact::Kernel(event) => {
                !matches!(event, KernelEvent::Route(_) | KernelEvent::RouteReplaced(_) | KernelEvent::RouteGone(_))
            }
            _ => false,
        };
    }

    /// When the grace ends.
    pub(super) fn deadline(&self, now: Time) -> Option<Time> {
        self.not_ready.as_ref().map(|(_, since)| *since + GRACE).filter(|at| now < *at)
    }
}

impl Reconciler {
    /// All reports, if they may be others than when this was last asked.
    pub fn take_reports(&mut self, now: Time) -> Option<Reports> {
        let since = self.reporting.not_ready.take().map_or(now, |(_, since)| since);
        let not_installed = || self.world.cni.as_ref().and_then(|installed| installed.not_yet());
        self.reporting.not_ready = self.not_ready().or_else(not_installed).map(|why| (why, since));
        let not_ready = self.reporting.not_ready.as_ref();
        let grace_over = not_ready.is_some_and(|(_, since)| now.since(*since) >= GRACE);
        let state = Some((grace_over, not_ready.map(|(why, _)| why.clone())));
        if !std::mem::take(&mut self.reporting.touched) && self.reporting.planned == state {
            return None;
        }
        let peering = self.desired.bgp.as_ref().map_or(&[][..], |plan| &plan.problems);
        let standing = Standing { not_ready: not_ready.map(|(why, since)| (why.as_str(), now.since(*since))), peering };
        let reports = report::reports(&self.world, standing, &self.voice);
        self.reporting.planned = state;
        Some(reports)
    }
}
