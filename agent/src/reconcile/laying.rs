//! The reconciler and the kernel: differences to jobs, results to what is remembered.

use std::collections::BTreeSet;
use std::time::Duration;

use dataplane::actual::KernelEvent;
use dataplane::diff::{self, Keys, Step};
use dataplane::linux::routes::Outcome;
use dataplane::requests::Work;
use dataplane::want::RouteKey;
use model::Time;

use super::Reconciler;
use super::flight::Flight;
use crate::apply::{Done, Job};
use crate::fact::Fact;

/// How long to wait after the tunnel or the packet rules could not be made.
const PAUSE: Duration = Duration::from_secs(5);
/// The most requests in one job: results and other jobs get their turn in between.
const REQUESTS: usize = 16_384;

/// One thing that is made whole by one kind of job.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// A job is to be given.
    pub wanted: bool,
    /// A job is under way.
    pub busy: bool,
    /// Why the last one failed.
    pub problem: Option<String>,
    /// When to try again after a failure.
    pub again: Option<Time>,
}

impl Slot {
    /// Whether to give a job now.
    pub(super) fn begin(&mut self, now: Time) -> bool {
        let due = self.again.is_some_and(|again| again <= now);
        let begin = (self.wanted || due) && !self.busy;
        if begin {
            (self.wanted, self.busy, self.again) = (false, true, None);
        }
        begin
    }

    pub(super) fn end(&mut self, outcome: Result<(), String>, what: &str, now: Time) {
        self.busy = false;
        match outcome {
            Ok(()) => self.problem = None,
            Err(problem) => {
                if self.problem.as_ref() != Some(&problem) {
                    tracing::warn!(what, %problem, "could not be made; will be tried again");
                }
                self.problem = Some(problem);
                self.again = Some(now + PAUSE);
            }
        }
    }
}

impl Reconciler {
    /// Gives jobs for all that is other than wanted.
    pub(super) fn push(&mut self, now: Time) {
        if self.reading.begin(now) {
            self.meanwhile = Some(Vec::new());
            self.worker.give(Job::ReadRoutes);
        }
        if self.tunnel.begin(now) {
            self.worker.give(Job::Tunnel(self.desired.tunnel));
        }
        self.push_rules(now);
        if self.forwarding.begin(now) {
            self.worker.give(Job::Forward(self.desired.forwarding.clone()));
        }
        self.push_routes(now);
        if !self.links.is_empty() && self.links_going.is_empty() {
            self.links_going = std::mem::take(&mut self.links);
            self.worker.give(Job::RemoveLinks(self.links_going.clone()));
        }
    }

    /// Whether the picture of the routes is right, so that steps can be planned by it.
    pub(super) fn may_lay(&self) -> bool {
        !self.routes_busy && self.flight.is_none()
    }

    /// Work is over once the kernel is through with it and all that others did meanwhile is known.
    pub(super) fn land(&mut self) {
        if let Some(flight) = self.flight.take_if(|flight| flight.is_over())
            && flight.is_doubtful()
        {
            self.read_routes();
        }
    }

    fn push_routes(&mut self, now: Time) {
        if !self.may_lay() {
            return;
        }
        if self.places.is_empty() {
            return self.push_unused(now);
        }
        let places = self.next_places();
        let found = diff::routes(&self.desired.table, &self.world.kernel.actual, Keys::Only(&places));
        let benched = |step: &Step| matches!(step, Step::Delete(_));
        let mut steps = found.steps;
        if !self.may_delete(now) {
            // Remembered, so that they are compared again once every source is in sync.
            self.places.extend(steps.iter().filter(|s| benched(s)).map(Step::key));
            steps.retain(|step| !benched(step));
        }
        let mut work = Work::new(steps, &self.desired.table, &self.world.kernel.actual);
        self.places.extend(work.limit(REQUESTS).iter().map(Step::key));
        if !self.bench.is_empty() {
            let touched: BTreeSet<RouteKey> = work.steps.iter().map(Step::key).collect();
            places.iter().filter(|place| !touched.contains(place)).for_each(|place| self.bench.clear(place));
        }
        for (place, held) in found.held {
            self.bench.held(place, held.to_string());
        }
        self.give(work);
    }

    /// The places to compare now: all that hold a route, lest an object's routes be taken for fewer than they are, and of
    /// those that are empty as many as one job takes. The others wait.
    fn next_places(&mut self) -> BTreeSet<RouteKey> {
        let places = std::mem::take(&mut self.places);
        if places.len() <= REQUESTS {
            return places;
        }
        let mut empty = 0;
        let (now, later) = places.into_iter().partition(|place| {
            empty += usize::from(self.world.kernel.at(place).is_empty());
            empty <= REQUESTS || !self.world.kernel.at(place).is_empty()
        });
        self.places = later;
        now
    }

    /// Objects that nobody uses go last, when nothing else is to be done that could use them.
    fn push_unused(&mut self, now: Time) {
        if std::mem::take(&mut self.objects_touched) {
            if self.may_delete(now) {
                self.give(Work::of_unused(&self.world.kernel.actual));
            } else {
                self.objects_touched = true;
            }
        }
    }

    fn give(&mut self, work: Work) {
        if work.is_empty() {
            return;
        }
        self.flight = Some(Flight::of(&work));
        self.objects_touched = true;
        // Written into the picture before it is done: of what we do ourselves the kernel tells nothing. What others do to
        // these places meanwhile is told in no order with it, and has the routes read again.
        for effect in work.requests.iter().filter_map(|request| work.effect(request)) {
            self.world.kernel.actual.learn(effect);
        }
        self.worker.give(Job::Routes(work));
    }

    /// A job is done.
    pub fn done(&mut self, done: Done, now: Time) {
        match done {
            Done::Routes { work, outcome, marked } => self.routes_done(work, outcome, marked, now),
            Done::Read(Ok(table)) => {
                self.reading.end(Ok(()), "reading of the routes", now);
                self.routes_busy = self.reading.wanted;
                // Whichever is the newer: the last word on each place comes last.
                let meanwhile = self.meanwhile.take().unwrap_or_default();
                let objects = table.nexthops.map(KernelEvent::Nexthops);
                let read = objects.into_iter().chain([KernelEvent::Routes(table.routes)]);
                read.chain(meanwhile).map(Fact::Kernel).for_each(|fact| self.take_in(fact, now));
            }
            Done::Read(Err(problem)) => self.reading.end(Err(problem), "reading of the routes", now),
            Done::Tunnel(outcome) => {
                outcome.iter().flatten().for_each(|change| tracing::info!(%change, "tunnel device"));
                self.tunnel.end(outcome.map(|_| ()), "tunnel device", now);
            }
            Done::Rules { work, outcome } => self.rules_done(work, outcome, now),
            // The loop's owner has ended it.
            Done::Gone => {}
            Done::Forward(outcome) => self.forwarding.end(outcome, "forwarding", now),
            Done::Links(outcome) => {
                self.links_going.clear();
                if let Err(problem) = outcome {
                    tracing::warn!(%problem, "links of pods can't be removed");
                }
            }
        }
    }

    /// The picture has it that all steps were done: those that failed are taken out of it again.
    fn routes_done(&mut self, work: Work, outcome: Result<Outcome, String>, marked: bool, now: Time) {
        if let Some(flight) = &mut self.flight {
            flight.done(marked);
        }
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(problem) => {
                tracing::warn!(%problem, steps = work.steps.len(), "what became of these routes is not known");
                self.places.extend(work.steps.iter().map(Step::key));
                return self.read_routes();
            }
        };
        let mut failed: BTreeSet<usize> = BTreeSet::new();
        let mut unknown = outcome.stale;
        for failure in &outcome.failures {
            failed.insert(failure.position);
            self.bench.failed(failure.step.key(), failure.to_string(), now);
            match &failure.step {
                Step::Add(route) if !unknown => self.world.kernel.actual.routes.remove(&route.made()),
                _ => unknown = true,
            }
        }
        for id in outcome.unmade {
            self.world.kernel.actual.learn(KernelEvent::NexthopGone(id));
        }
        let taken = work.steps.iter().enumerate().filter(|(position, _)| !failed.contains(position));
        let taken = taken.map(|(_, step)| step);
        taken.clone().for_each(|step| self.bench.clear(&step.key()));
        self.history.steps(taken, now);
        if unknown {
            self.read_routes();
        }
    }

    /// No step is taken by a picture that is out of date: the reading comes first.
    fn read_routes(&mut self) {
        self.routes_busy = true;
        self.reading.wanted = true;
    }
}
