//! Why a path won or lost: the steps of the decision process by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The step of the decision process (RFC 4271 §9.1.2) that set the best path apart from the second, or from this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// There is no other path.
    OnlyPath,
    /// Own routes come before learned ones.
    Originated,
    /// RFC 9494 §4.3: long-lived stale routes come last.
    LongLivedStale,
    /// §9.1.1: the higher LOCAL_PREF.
    LocalPref,
    /// §9.1.2.2 a: the shorter AS_PATH.
    AsPathLength,
    /// §9.1.2.2 b: the lower ORIGIN.
    Origin,
    /// §9.1.2.2 c: the lower MULTI_EXIT_DISC from the same neighbouring AS.
    Med,
    /// §9.1.2.2 d: external before internal.
    External,
    /// §9.1.2.2 f with RFC 4456 §9: the lower BGP identifier, or ORIGINATOR_ID.
    RouterId,
    /// RFC 4456 §9: the shorter CLUSTER_LIST.
    ClusterListLength,
    /// §9.1.2.2 g: the lower peer address.
    PeerAddress,
    /// Several paths of one peer (RFC 7911): the lower path identifier.
    PathId,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::OnlyPath => "only path",
            Reason::Originated => "originated by this node",
            Reason::LongLivedStale => "fresher word (the other is long-lived stale)",
            Reason::LocalPref => "higher local preference",
            Reason::AsPathLength => "shorter AS path",
            Reason::Origin => "lower origin",
            Reason::Med => "lower MED",
            Reason::External => "external before internal",
            Reason::RouterId => "lower router id",
            Reason::ClusterListLength => "shorter cluster list",
            Reason::PeerAddress => "lower peer address",
            Reason::PathId => "lower path id",
        })
    }
}
