//! What is to be said to the API when: each report at its turn, again after a failure, seldom if all is as it should be.
//!
//! Time is an argument: the hand that follows this agenda does the talking.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Time;
use model::api::show::{ReportState, ReportView};

use crate::plan::report::{Report, Reports, Says, Subject};

/// The first pause after a failure; doubles with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long what was found right is believed: others write to the same objects.
const RECHECK: Duration = Duration::from_secs(300);
/// An event that this node wrote is kept alive: the API server drops events after an hour.
const RENEWAL: Duration = Duration::from_secs(1800);
/// An event that another wrote is looked after sooner than it would be dropped.
const SUCCESSION: Duration = Duration::from_secs(1200);
/// Requests that may follow each other at once.
const BURST: u32 = 10;
/// Beyond these, one in so long.
const SPACING: Duration = Duration::from_millis(500);

/// What has come of saying something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The API has said something else; now it says this.
    Written(String),
    /// The API says so already.
    AsWanted(String),
    /// Another says something else there, and its word stands.
    Anothers(String),
    /// It could not be said.
    Failed(String),
}

#[derive(Debug)]
struct Entry {
    report: Report,
    due: Option<Time>,
    attempts: u32,
    state: ReportState,
    /// Seconds since the Unix epoch.
    since: u64,
    info: String,
    /// This node wrote it, not another in its turn.
    author: bool,
}

/// All reports with when they are due.
#[derive(Debug)]
pub struct Agenda {
    entries: BTreeMap<Subject, Entry>,
    /// When the burst is whole again.
    spent_until: Time,
}

/// Something to be said now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// About what.
    pub subject: Subject,
    /// What.
    pub says: Says,
    /// It was said by this node before: an event is then said again, not anew.
    pub again: bool,
}

impl Default for Agenda {
    fn default() -> Agenda {
        Agenda { entries: BTreeMap::new(), spent_until: Time::START }
    }
}

impl Agenda {
    /// Takes in what should be said from now on. What is as before keeps its time.
    pub fn want(&mut self, reports: &Reports, now: Time, unix_seconds: u64) {
        self.entries.retain(|subject, _| reports.contains_key(subject));
        for (subject, report) in reports {
            match self.entries.get_mut(subject) {
                // That nodes came or went changes turns, not what is said.
                Some(entry) if entry.report.says == report.says => entry.report.turn = report.turn,
                Some(entry) => {
                    entry.report = report.clone();
                    (entry.attempts, entry.state, entry.since) = (0, ReportState::Pending, unix_seconds);
                    entry.due = Some(now + report.turn);
                }
                None => {
                    let entry = Entry {
                        report: report.clone(),
                        due: Some(now + report.turn),
                        attempts: 0,
                        state: ReportState::Pending,
                        since: unix_seconds,
                        info: String::new(),
                        author: false,
                    };
                    self.entries.insert(subject.clone(), entry);
                }
            }
        }
    }

    /// Something due, if the rate allows it now. The same until [`Agenda::done`] is told of it.
    pub fn next(&self, now: Time) -> Option<Item> {
        if now < self.allowed() {
            return None;
        }
        let due = self
            .entries
            .iter()
            .filter_map(|(subject, entry)| Some((entry.due.filter(|at| *at <= now)?, subject, entry)));
        let (_, subject, entry) = due.min_by_key(|(at, ..)| *at)?;
        Some(Item { subject: subject.clone(), says: entry.report.says.clone(), again: entry.author })
    }

    /// When [`Agenda::next`] has something.
    pub fn deadline(&self) -> Option<Time> {
        let first = self.entries.values().filter_map(|entry| entry.due).min()?;
        Some(first.max(self.allowed()))
    }

    /// What has come of an item. One that should no longer be said is forgotten.
    pub fn done(&mut self, item: &Item, outcome: Outcome, now: Time, unix_seconds: u64) {
        self.spent_until = self.spent_until.max(now) + SPACING;
        let Some(entry) = self.entries.get_mut(&item.subject).filter(|entry| entry.report.says == item.says) else {
            return;
        };
        entry.author |= matches!(outcome, Outcome::Written(_));
        let again = match (&entry.report.says, &outcome) {
            (_, Outcome::Failed(_)) => {
                let pause = PAUSE.saturating_mul(1 << entry.attempts.min(16)).min(LONGEST_PAUSE);
                entry.attempts = entry.attempts.saturating_add(1);
                Some(pause)
            }
            // Its object is a fact: should it say otherwise, there is a new report.
            (Says::Pod(_), _) => None,
            (Says::NodeStatus { period, .. }, _) => Some(*period),
            (Says::Event(_), Outcome::Written(_)) => Some(RENEWAL),
            (Says::Event(_), _) => Some(SUCCESSION + entry.report.turn),
            (Says::Node(_) | Says::Pool(_), _) => Some(RECHECK + entry.report.turn),
        };
        let (state, info) = match outcome {
            Outcome::Written(info) | Outcome::AsWanted(info) => (ReportState::Said, info),
            Outcome::Anothers(info) => (ReportState::Anothers, info),
            Outcome::Failed(info) => (ReportState::Failed, info),
        };
        if state != ReportState::Failed {
            entry.attempts = 0;
        }
        if entry.state != state {
            (entry.state, entry.since) = (state, unix_seconds);
        }
        entry.info = info;
        entry.due = again.map(|pause| now + pause);
    }

    /// Every report and how it stands, for a person. `moment` writes seconds since the Unix epoch.
    pub fn view(&self, moment: impl Fn(u64) -> String) -> Vec<ReportView> {
        let view = |(subject, entry): (&Subject, &Entry)| ReportView {
            report: subject.to_string(),
            state: entry.state,
            since: moment(entry.since),
            info: entry.info.clone(),
        };
        self.entries.iter().map(view).collect()
    }

    /// When the next request may be made.
    fn allowed(&self) -> Time {
        let burst = SPACING * (BURST - 1);
        Time::START + self.spent_until.since(Time::START).saturating_sub(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::report::{Allocatable, Gives};

    fn at(seconds: u64) -> Time {
        Time::START + Duration::from_secs(seconds)
    }
    fn pool(message: &str, turn: u64) -> Report {
        let says = Says::Pool(Allocatable { uid: None, gives: Gives::Ok, message: message.into() });
        Report { says, turn: Duration::from_secs(turn) }
    }
    fn reports(list: &[(&str, &str, u64)]) -> Reports {
        list.iter().map(|(name, message, turn)| (Subject::Pool(name.to_string()), pool(message, *turn))).collect()
    }
    fn failed() -> Outcome {
        Outcome::Failed("503".into())
    }

    #[test]
    fn failures_are_tried_again_ever_more_seldom_and_success_forgets_them() {
        let mut agenda = Agenda::default();
        agenda.want(&reports(&[("p", "a", 0)]), at(0), 0);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            let item = agenda.next(now).unwrap();
            agenda.done(&item, failed(), now, 0);
            let due = agenda.deadline().unwrap();
            pauses.push(due.since(now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(agenda.view(|_| String::new())[0].state, ReportState::Failed);
        let item = agenda.next(now).unwrap();
        agenda.done(&item, Outcome::Written(String::new()), now, 0);
        assert_eq!(agenda.deadline(), Some(now + RECHECK));
        agenda.done(&item, failed(), now, 0);
        assert_eq!(agenda.deadline(), Some(now + PAUSE), "the count began anew");
    }

    #[test]
    fn the_rate_is_bounded_however_much_there_is_to_say() {
        let mut agenda = Agenda::default();
        let many: Vec<(String, u64)> = (0..100).map(|i| (format!("p{i}"), 0)).collect();
        let many: Vec<(&str, &str, u64)> = many.iter().map(|(name, turn)| (name.as_str(), "a", *turn)).collect();
        agenda.want(&reports(&many), at(0), 0);
        let mut said = 0;
        let mut milliseconds = 0;
        while milliseconds <= 10_000 {
            let now = Time::START + Duration::from_millis(milliseconds);
            while let Some(item) = agenda.next(now) {
                agenda.done(&item, Outcome::Written(String::new()), now, 0);
                said += 1;
            }
            milliseconds += 10;
        }
        assert_eq!(said, 10 + 20, "a burst of ten, then two a second");
    }

    #[test]
    fn a_turn_is_waited_for_and_what_is_as_before_keeps_its_time() {
        let mut agenda = Agenda::default();
        agenda.want(&reports(&[("p", "a", 7)]), at(0), 0);
        assert_eq!((agenda.next(at(6)), agenda.deadline()), (None, Some(at(7))));
        agenda.want(&reports(&[("p", "a", 9)]), at(5), 0);
        assert_eq!(agenda.deadline(), Some(at(7)));
        let item = agenda.next(at(7)).unwrap();
        agenda.want(&reports(&[("p", "b", 9)]), at(7), 0);
        agenda.done(&item, Outcome::Written(String::new()), at(7), 0);
        assert_eq!(agenda.deadline(), Some(at(16)), "what was said is no longer what should be said");
        agenda.want(&Reports::new(), at(8), 0);
        assert_eq!((agenda.deadline(), agenda.view(|_| String::new())), (None, vec![]));
    }
}
