//! What becomes of received attributes: first the filter's operations, then what their communities ask for.

use model::filter::Operation;

use super::judge::changed;
use crate::wire::{Attributes, Community, PeerKind};

/// Whether an external peer says that this route goes away soon (RFC 8326 §4.1). Inside an AS LOCAL_PREF itself says so.
pub(crate) fn is_leaving(attributes: &Attributes, from: PeerKind) -> bool {
    from == PeerKind::External && attributes.has_community(Community::GRACEFUL_SHUTDOWN)
}

/// The attributes that count; nothing where they are as received.
pub(crate) fn treated(received: &Attributes, operations: &[Operation], from: PeerKind) -> Option<Attributes> {
    let filtered = (!operations.is_empty()).then(|| changed(received, operations));
    let now = filtered.as_ref().unwrap_or(received);
    if !is_leaving(now, from) {
        return filtered;
    }
    // RFC 8326 §4.1: any other path is better, but it is a path. Whatever a filter says: who leaves, leaves.
    let mut draft = now.edit();
    draft.local_pref = Some(0);
    Some(draft.build())
}

/// Whether a speaker is about to end its sessions (RFC 8326).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Staying,
    Leaving,
}
