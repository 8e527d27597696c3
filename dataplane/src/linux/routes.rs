//! The routes of table `main` and their nexthop objects: read, and changed in bulk.

use std::collections::BTreeMap;
use std::fmt;

use model::{Family, kernel};

use super::netlink::{Batch, CHUNK_REQUESTS, Netlink, NetlinkError, Refusal, rtm};
use super::nexthops::{self, family_number};
use super::{decode, route_message};
use crate::actual::ActualRoute;
use crate::diff::Step;
use crate::requests::{Request, Work};

/// Which routes of table `main` are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    All,
    /// Those of our protocol number; the kernel does the choosing.
    Ours,
}

/// Reads the routes of table `main`, both families.
pub fn read(netlink: &mut Netlink, whose: Whose) -> Result<Vec<ActualRoute>, NetlinkError> {
    let mut routes = Vec::new();
    for family in Family::ALL {
        let mut request = route_message::Header { family: family_number(family), ..Default::default() };
        if whose == Whose::Ours {
            request.protocol = kernel::ROUTE_PROTOCOL;
        }
        // A kernel without the family answers with every family it has.
        let wanted = |route: &ActualRoute| {
            route.prefix.family() == family && (whose == Whose::All || route.protocol == kernel::ROUTE_PROTOCOL)
        };
        match netlink.dump(rtm::GETROUTE, &request, |message| decode::route(message).filter(wanted)) {
            Ok(found) => routes.extend(found),
            // A namespace where no IPv4 route was ever made has no such table yet.
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(routes)
}

/// What became of some work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that the kernel refused.
    pub failures: Vec<Failure>,
    /// Objects that the kernel would not make.
    pub unmade: Vec<u32>,
    /// The picture the work was planned by is out of date: read the routes again, then plan again.
    pub stale: bool,
}

/// A step that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its position among the steps.
    pub position: usize,
    /// The step.
    pub step: Step,
    /// The object it was to go by, if the kernel would not make or move that.
    pub object: Option<u32>,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: ", self.step)?;
        self.object.map_or(Ok(()), |id| write!(f, "nexthop {id}: "))?;
        write!(f, "{}", self.refusal)
    }
}

/// Does the requests in order, in chunks; a refused one stops nothing but what needs its object.
///
/// `progress` hears after each chunk how many steps are behind. Something already gone counts as deleted.
/// An error means that the fate of some steps is unknown: read the routes again.
pub fn apply(netlink: &mut Netlink, work: &Work, progress: impl FnMut(usize)) -> Result<Outcome, NetlinkError> {
    let mut run = Run {
        netlink,
        steps: &work.steps,
        batch: Batch::new(),
        sent: Vec::new(),
        refused: BTreeMap::new(),
        outcome: Outcome::default(),
        behind: 0,
        progress,
    };
    for request in &work.requests {
        // What becomes of an object is known before routes name it.
        let turns = run.sent.last().is_some_and(|last| is_route(last) != is_route(request));
        if turns || run.sent.len() == CHUNK_REQUESTS {
            run.flush()?;
        }
        run.take(request);
    }
    run.flush()?;
    Ok(run.outcome)
}

fn is_route(request: &Request) -> bool {
    matches!(request, Request::Route { .. })
}

/// Work under way.
struct Run<'a, P> {
    netlink: &'a mut Netlink,
    steps: &'a [Step],
    batch: Batch,
    /// The requests in the batch.
    sent: Vec<&'a Request>,
    /// Objects that the kernel would not make.
    refused: BTreeMap<u32, Refusal>,
    outcome: Outcome,
    behind: usize,
    progress: P,
}

impl<'a, P: FnMut(usize)> Run<'a, P> {
    fn take(&mut self, request: &'a Request) {
        match request {
            Request::Route { step, object } => {
                let refusal = object.and_then(|id| self.refused.get(&id).cloned());
                let Some(wanted) = self.steps.get(*step) else { return };
                if let Some(refusal) = refusal {
                    self.failed(*step, *object, refusal);
                    self.behind += 1;
                    return;
                }
                route_message::push(&mut self.batch, wanted, *object);
            }
            Request::Make(new) => nexthops::push_make(&mut self.batch, new),
            Request::Move { new, .. } => nexthops::push_replace(&mut self.batch, new),
            Request::Remove(old) => nexthops::push_remove(&mut self.batch, old.id),
        }
        self.sent.push(request);
    }

    fn flush(&mut self) -> Result<(), NetlinkError> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let replies = self.netlink.run(&mut self.batch)?;
        self.batch.clear();
        let sent = std::mem::take(&mut self.sent);
        self.behind += sent.iter().map(|request| request.steps().count()).sum::<usize>();
        for (at, refusal) in replies.refused {
            let Some(request) = sent.get(at) else { continue };
            self.refuse(request, refusal);
        }
        (self.progress)(self.behind);
        Ok(())
    }

    fn refuse(&mut self, request: &Request, refusal: Refusal) {
        match request {
            Request::Route { step, object } => {
                let stale = match self.steps.get(*step) {
                    // It may be the object that is gone.
                    Some(Step::Add(_)) => refusal.errno == libc::EEXIST || object.is_some(),
                    Some(Step::Replace { .. }) => {
                        matches!(refusal.errno, libc::ENOENT | libc::EEXIST) || object.is_some()
                    }
                    Some(Step::Delete(_)) if refusal.errno == libc::ESRCH => return,
                    Some(Step::Delete(_)) | None => false,
                };
                self.outcome.stale |= stale;
                self.failed(*step, None, refusal);
            }
            Request::Make(new) => {
                self.outcome.stale |= refusal.errno == libc::EEXIST;
                self.outcome.unmade.push(new.id);
                self.refused.insert(new.id, refusal);
            }
            Request::Move { new, steps, .. } => {
                self.outcome.stale = true;
                steps.iter().for_each(|step| self.failed(*step, Some(new.id), refusal.clone()));
            }
            Request::Remove(_) => self.outcome.stale |= refusal.errno != libc::ENOENT,
        }
    }

    fn failed(&mut self, position: usize, object: Option<u32>, refusal: Refusal) {
        let Some(step) = self.steps.get(position).cloned() else { return };
        self.outcome.failures.push(Failure { position, step, object, refusal });
    }
}
