//! What a change of objects would do: the question and the view of `margayctl plan`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{ObjectErrorView, SessionState};
use crate::Prefix;

/// Objects that are not in force, to be planned with. They may hold passwords: not to be logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Texts of files, by name.
    pub files: BTreeMap<String, String>,
    /// Whether these are all objects.
    pub extent: Extent,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.extent, self.files.keys())
    }
}

/// What is planned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Extent {
    /// All objects: what is in force and not among these would go.
    Whole,
    /// Objects that would come beside those in force, or in their place.
    Beside,
}

/// Whether something would come, go, or be other than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// It would be new.
    Add,
    /// It would be other.
    Change,
    /// It would be gone.
    Remove,
}

impl Step {
    /// As `terraform plan` and `diff` mark it.
    pub const fn sign(self) -> char {
        match self {
            Step::Add => '+',
            Step::Change => '~',
            Step::Remove => '-',
        }
    }
}

/// All that would follow. Lists that could be long are cut, and say how long they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Of which node.
    pub node: String,
    /// Whether anything would change: objects, sessions, routes, rules or addresses.
    pub changes: bool,
    /// Objects that differ from those in force.
    pub objects: Vec<LineView>,
    /// What of the proposed objects would not be in force, or is odd.
    pub object_errors: Vec<ObjectErrorView>,
    /// Settings of the speaker as a whole, with the class of each (`docs/plan.md`).
    pub settings: Vec<FieldView>,
    /// Peers for which something changes.
    pub sessions: Vec<SessionPlan>,
    /// Routes in the kernel's table.
    pub kernel_routes: CutLines,
    /// Rules of packets, the tunnel device, forwarding.
    pub rules: Vec<LineView>,
    /// Blocks of addresses, and whether pods may have them.
    pub addresses: Vec<LineView>,
    /// What would be wanted and could not be, that can be now or is not wanted.
    pub new_problems: Vec<String>,
    /// What is wrong now and would not be.
    pub solved_problems: Vec<String>,
    /// What this plan does not know.
    pub notes: Vec<String>,
}

/// One thing that would come, go or be other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    /// Which of these.
    pub step: Step,
    /// What: an object's key, a prefix, a rule.
    pub what: String,
    /// As it is now; empty if it is not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub now: String,
    /// As it would be; empty if it would not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub then: String,
}

/// The first of many lines, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CutLines {
    /// New ones.
    pub added: u64,
    /// Other ones.
    pub changed: u64,
    /// Those that would go.
    pub removed: u64,
    /// The first of all of them.
    pub first: Vec<LineView>,
}

impl CutLines {
    /// The most lines that are kept.
    pub const MOST: usize = 200;

    /// One more.
    pub fn add(&mut self, line: LineView) {
        match line.step {
            Step::Add => self.added += 1,
            Step::Change => self.changed += 1,
            Step::Remove => self.removed += 1,
        }
        if self.first.len() < CutLines::MOST {
            self.first.push(line);
        }
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        self.added + self.changed + self.removed
    }
}

/// A setting that would be other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldView {
    /// The field of the speaker's configuration.
    pub field: String,
    /// `hot`, `soft-in`, `soft-out`, `soft-both`, `reset`.
    pub class: String,
    /// For a person: "the password".
    pub reason: String,
}

/// What would become of one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPlan {
    /// Its address.
    pub peer_address: IpAddr,
    /// Its port.
    pub peer_port: u16,
    /// Its name.
    pub name: String,
    /// What would be done to the session.
    pub does: SessionStep,
    /// Settings that would be other, with what each does.
    pub fields: Vec<FieldView>,
    /// Its state now; none if it is new.
    pub state: Option<SessionState>,
    /// Prefixes it has said.
    pub received: u64,
    /// Of these, believed.
    pub accepted: NowThen,
    /// Prefixes it is told.
    pub advertised: NowThen,
    /// What it would be told that it is not told now.
    pub announced: CutPrefixes,
    /// What would be withdrawn from it.
    pub withdrawn: CutPrefixes,
    /// What it would be told with other attributes.
    pub altered: CutPrefixes,
}

/// What would be done to a session, the greatest of what its settings ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionStep {
    /// Nothing, though routes to or from the peer change.
    Keep,
    /// Settings are taken over, no route is looked at again.
    Hot,
    /// What the peer said is judged anew.
    SoftIn,
    /// What the peer is told is judged anew.
    SoftOut,
    /// Both.
    SoftBoth,
    /// The session ends and begins again.
    Reset,
    /// It is new.
    Add,
    /// It ends.
    Remove,
}

/// A count as it is, and as it would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NowThen {
    /// As it is.
    pub now: u64,
    /// As it would be.
    pub then: u64,
}

/// The first of many prefixes, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CutPrefixes {
    /// All of them.
    pub count: u64,
    /// The lowest, in order.
    pub first: Vec<Prefix>,
}
