//! Facts: the one closed list of what can happen to an agent, each a line of JSON when recorded.

use std::net::Ipv6Addr;
use std::num::NonZeroU32;

use bgp::speaker::{PeerChange, RouteChange};
use dataplane::actual::KernelEvent;
use ipam::Record;
use ipam::block::Told;
use model::Time;
use model::object::{Object, ObjectError, ObjectKey};
use serde::{Deserialize, Serialize};

use crate::world::Mode;
use crate::world::autodetection::Autodetection;
use crate::world::cni::Installed;

/// Something that happened. Deciding what follows from it is another's business.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fact {
    /// How this node's addresses are to be found.
    Autodetection(Autodetection),
    /// How much of the node's network is ours; the first fact, where it is not all.
    Mode(Mode),
    /// An object is new, or has changed.
    Object(Box<ObjectFact>),
    /// An object is no longer there.
    ObjectGone(ObjectKey),
    /// Everything that is now wrong with the objects; replaces what was said before.
    ObjectErrors(Vec<ObjectError>),
    /// The API server answers, or does so no longer; or something about what it has is other than expected.
    ApiServer(ApiServerState),
    /// The kernel has something, or has it no longer.
    Kernel(KernelEvent),
    /// The best paths of a prefix changed.
    Learned(RouteChange),
    /// A session changed its state.
    Session(PeerChange),
    /// A router has advertised itself on the link of an interface.
    Router {
        /// The interface's index.
        interface: NonZeroU32,
        /// Its link-local address.
        address: Ipv6Addr,
    },
    /// A router has not advertised itself for so long that it is taken as gone.
    RouterGone {
        /// The interface's index.
        interface: NonZeroU32,
        /// Its link-local address.
        address: Ipv6Addr,
    },
    /// A lease began, was plumbed, or ended: written down already.
    Lease(Record),
    /// What the API server says of blocks.
    Blocks(Box<Told>),
    /// The steps given to the hand for blocks are done; or why not to their end.
    BlocksDone(Option<String>),
    /// How far we are installed on the node; replaces what was said before.
    Cni(Installed),
    /// Why packets between pods of one bridge may pass their policies by; none where they do not, or never were to meet them.
    Bridged(Option<String>),
    /// An operator took the node out of service, with this message for its peers; or back in.
    Drained(Option<String>),
    /// A source has told all that it had when it was asked first.
    InSync(Source),
}

/// An object in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectFact {
    /// What it says.
    pub object: Object,
    /// Where it comes from: a file's path, or the API server.
    pub origin: String,
    /// As it was written; of a Secret nothing.
    pub written: serde_json::Value,
}

/// How it is with the API server as the source of the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiServerState {
    /// `https://host:port`.
    pub address: String,
    /// The agent's own namespace, where Secrets are looked for.
    #[serde(default)]
    pub namespace: String,
    /// Why it does not answer; none while it does.
    pub away: Option<String>,
    /// Since when it is so, seconds since the Unix epoch.
    pub since: u64,
    /// Kinds that it does not know.
    pub absent: Vec<String>,
    /// What has not been listed once, with the reason where there is one.
    pub unlisted: Vec<String>,
}

/// Who can be in sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The objects' directory was read once, or every list of the API server.
    Objects,
    /// The kernel was dumped once.
    Kernel,
    /// The journal of leases was read.
    Leases,
    /// The speaker's first routes are complete.
    Speaker,
}

/// A line of a recording: when, and what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Microseconds since the agent's start.
    pub at: Time,
    /// What.
    pub fact: Fact,
}
