//! What goes over the agent's unix socket: one JSON object a line, a request, then its reply.
//!
//! ```text
//! → {"attach":{"containerId":"…","ifname":"eth0","netns":"/run/netns/x","pod":{"namespace":"a","name":"b"}}}
//! ← {"ok":{"attach":{…}}}     or     ← {"error":{"code":"tryAgain","message":"…"}}
//! ```
//!
//! A connection may carry many requests, one after the other. A line longer than [`LINE_LIMIT`] is refused.

pub mod pod;
pub mod reset;
pub mod show;

use serde::{Deserialize, Serialize};

pub use pod::{Attach, AttachPlan, Attached, Attachment, Check, Detach, Gc, PodRoute};
pub use reset::{BgpReset, ResetKind};
pub use show::Show;

/// The longest request line in octets: all objects of a large cluster go into one (`margayctl plan`).
pub const LINE_LIMIT: usize = 16 << 20;
/// Where the agent listens unless told otherwise (`--socket`, `MARGAY_SOCKET`).
pub const DEFAULT_SOCKET: &str = "/run/margay/agent.sock";

/// What can be asked of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// CNI ADD, first half: an address and a plan for one pod interface.
    Attach(Attach),
    /// CNI ADD, second half: the pod is plumbed as planned.
    Attached(Attached),
    /// CNI DEL.
    Detach(Detach),
    /// CNI CHECK: the plan as it stands, to hold against the kernel.
    Check(Check),
    /// CNI GC: all attachments that still live; the rest is released.
    Gc(Gc),
    /// CNI STATUS: can an ADD be served now?
    Status,
    /// Take the node out of service, until [`Request::Undrain`] (RFC 8326): sessions end when the peers have had time to
    /// turn to others.
    Drain {
        /// For the peers' operators (RFC 9003).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Back into service.
    Undrain,
    /// Take addresses back that blocks say are held here, although no pod has them.
    IpamRelease(Vec<IpamRelease>),
    /// Sessions begin anew, or tell their routes again.
    BgpReset(BgpReset),
    /// A question of margayctl's.
    Show(Show),
}

/// An address to take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpamRelease {
    /// Which.
    pub ip: std::net::IpAddr,
    /// Only if it was given at this number, and not again since; whatever the number is, if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_at: Option<u64>,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// As asked.
    Ok(Answer),
    /// Not done, and why.
    Error(Refusal),
}

/// The answer to a [`Request`] of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// To [`Request::Attach`] and [`Request::Check`].
    Attach(AttachPlan),
    /// To requests that only want to be done: attached, detach, gc, status, drain, undrain, bgpReset.
    Done,
    /// To [`Request::Show`]: the view that the question names. Not typed here, because the shim reads replies
    /// too and would carry a parser for every view.
    Show(serde_json::Value),
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of refusal.
    pub code: RefusalCode,
    /// For a person: what is wrong and what to do.
    pub message: String,
}

/// Kinds of refusal, as far as the caller acts on them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalCode {
    /// The request itself is wrong: asking again will not help (CNI code 7, or 4 for environment).
    Invalid,
    /// Not now: no address free, not in sync (CNI code 11; STATUS: 50).
    TryAgain,
    /// Not yet, but in a moment: the agent has just begun and is still reading (as [`RefusalCode::TryAgain`] after a while).
    NotReady,
    /// There is no such attachment (CNI code 3).
    Unknown,
    /// Something broke inside (CNI code 999).
    Internal,
}
