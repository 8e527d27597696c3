//! What the table's rules log: read from the kernel, named by the reconcile loop, kept for a while and told in the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataplane::linux::nflog::{Logged, Reader, Transport};
use jiff::Timestamp;
use model::Protocol;
use model::api::show::{DenialView, DenialsView};
use policy::{Head, Packet};

use crate::plan::policies::denials::Noted;
use crate::run::Handle;

/// The group that rules log to.
const GROUP: u16 = 4;
/// How many are remembered.
const KEPT: usize = 1000;
/// How many are taken in within a second: each rule may log so many, and there may be many rules.
const A_SECOND: u32 = 50;
/// How long the kernel is waited for.
const LOOK: Duration = Duration::from_secs(5);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// The last packets that were dropped or logged.
#[derive(Debug, Clone, Default)]
pub struct Denials(Arc<Mutex<DenialsKept>>);

#[derive(Debug, Default)]
struct DenialsKept {
    last: VecDeque<DenialView>,
    forgotten: u64,
    missed: u64,
    problem: String,
}

impl Denials {
    /// All that is remembered.
    pub fn view(&self) -> DenialsView {
        self.with(|kept| DenialsView {
            denials: kept.last.iter().cloned().collect(),
            forgotten: kept.forgotten,
            missed: kept.missed,
            problem: kept.problem.clone(),
        })
    }

    /// Reads the group for ever, on a thread of its own in the calling thread's network namespace.
    pub fn watch(&self, handle: Handle) -> std::io::Result<()> {
        let denials = self.clone();
        std::thread::Builder::new().name("denials".into()).spawn(move || denials.run(&handle)).map(drop)
    }

    fn with<T>(&self, look: impl FnOnce(&mut DenialsKept) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(&self, handle: &Handle) {
        loop {
            let problem = match Reader::open(GROUP) {
                Ok(mut reader) => {
                    self.with(|kept| kept.problem.clear());
                    match self.read(&mut reader, handle) {
                        Ok(()) => return,
                        Err(problem) => problem,
                    }
                }
                Err(error) => error.to_string(),
            };
            let problem = format!("NFLOG group {GROUP} can't be read: {problem}");
            if self.with(|kept| std::mem::replace(&mut kept.problem, problem.clone())) != problem {
                tracing::warn!(problem, "denials are not logged");
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Ends well when nobody names packets any more: the agent is ending.
    fn read(&self, reader: &mut Reader, handle: &Handle) -> Result<(), String> {
        let mut allowance = Allowance::new(Instant::now());
        loop {
            let heard = reader.wait(LOOK).map_err(|error| error.to_string())?;
            let noted: Vec<Noted> = heard.packets.iter().filter_map(note).collect();
            let taken = allowance.take(noted.len(), Instant::now());
            let missed = (noted.len() - taken) as u64 + u64::from(heard.lost);
            self.with(|kept| kept.missed += missed);
            if taken == 0 {
                continue;
            }
            let at = Timestamp::now().to_string();
            let views = handle.consult_and_wait(move |core| core.denials(noted.into_iter().take(taken), &at));
            let Ok(views) = views else { return Ok(()) };
            views.into_iter().for_each(|view| self.keep(view));
        }
    }

    fn keep(&self, view: DenialView) {
        tracing::info!(
            from = %view.from,
            to = %view.to,
            connection = %view.connection,
            direction = view.direction,
            why = view.judged.reason,
            "{} by policy",
            view.event.word()
        );
        self.with(|kept| {
            kept.last.push_back(view);
            if kept.last.len() > KEPT {
                kept.last.pop_front();
                kept.forgotten += 1;
            }
        });
    }
}

/// How many packets may still be taken in within the second.
struct Allowance {
    since: Instant,
    left: usize,
}

impl Allowance {
    fn new(now: Instant) -> Allowance {
        Allowance { since: now, left: A_SECOND as usize }
    }

    fn take(&mut self, asked: usize, now: Instant) -> usize {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            *self = Allowance::new(now);
        }
        let taken = asked.min(self.left);
        self.left -= taken;
        taken
    }
}

fn note(logged: &Logged) -> Option<Noted> {
    let flow = logged.flow?;
    let head = match flow.transport {
        Transport::Ports { source, destination } => Head::Ports { source, destination },
        Transport::Icmp { kind, code } => Head::Icmp { kind, code },
        Transport::None => Head::Other,
    };
    let packet = Packet { from: flow.source, to: flow.destination, protocol: Protocol(flow.protocol), head };
    Some(Noted { rule: logged.prefix.clone(), packet })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_are_taken_in_within_a_second() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        assert_eq!(allowance.take(30, now), 30);
        assert_eq!(allowance.take(30, now), 20);
        assert_eq!(allowance.take(1, now + Duration::from_millis(999)), 0);
        assert_eq!(allowance.take(30, now + Duration::from_secs(1)), 30);
    }

    #[test]
    fn only_the_last_thousand_are_remembered_and_it_is_said_how_many_were_before() {
        let denials = Denials::default();
        let text = r#"{"at": "", "event": "denied", "direction": "egress", "protocol": "TCP", "port": 80, "sourcePort": 5,
            "from": {"kind": "address", "name": "", "address": "192.0.2.1"},
            "to": {"kind": "address", "name": "", "address": "192.0.2.2"},
            "judged": {"verdict": "denied", "reason": ""}}"#;
        let view: DenialView = serde_json::from_str(text).expect("a view");
        (0..KEPT + 5).for_each(|_| denials.keep(view.clone()));
        let kept = denials.view();
        assert_eq!((kept.denials.len(), kept.forgotten), (KEPT, 5));
    }
}
