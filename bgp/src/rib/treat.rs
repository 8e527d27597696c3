//! What becomes of received attributes: first the filter's operations, then what their communities ask for.

use model::Asn;
use model::filter::Operation;

use super::judge::changed;
use super::shared::SourceInfo;
use super::table::Age;
use crate::wire::{Attributes, Community, PeerKind};

/// Whether an external peer says that this route goes away soon (RFC 8326 §4.1). Inside an AS LOCAL_PREF itself says so.
pub(crate) fn is_leaving(attributes: &Attributes, from: PeerKind) -> bool {
    from == PeerKind::External && attributes.has_community(Community::GRACEFUL_SHUTDOWN)
}

/// Whether there is more to do with the attributes than its filters do.
pub(crate) fn is_treated(attributes: &Attributes, from: &SourceInfo) -> bool {
    is_leaving(attributes, from.kind) || mark(attributes, from).is_some()
}

fn mark(attributes: &Attributes, from: &SourceInfo) -> Option<Asn> {
    from.relation.as_ref().and_then(|relation| relation.marks(attributes))
}

/// The attributes that count; nothing where they are as received.
pub(crate) fn treated(
    received: &Attributes,
    operations: &[Operation],
    from: &SourceInfo,
    age: Age,
) -> Option<Attributes> {
    let filtered = (!operations.is_empty()).then(|| changed(received, operations));
    let now = filtered.as_ref().unwrap_or(received);
    let (leaving, mark) = (is_leaving(now, from.kind), mark(now, from));
    let long_lived = age == Age::LongLived;
    if !leaving && mark.is_none() && !long_lived {
        return filtered;
    }
    let mut draft = now.edit();
    if leaving {
        // RFC 8326 §4.1: any other path is better, but it is a path. Whatever a filter says: who leaves, leaves.
        draft.local_pref = Some(0);
    }
    if let Some(asn) = mark {
        draft.set_only_to_customer(asn);
    }
    if long_lived {
        draft.add_community(Community::LLGR_STALE); // RFC 9494 §4.2
    }
    Some(draft.build())
}

/// Whether a speaker is about to end its sessions (RFC 8326).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Staying,
    Leaving,
}
