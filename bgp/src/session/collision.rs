//! Two connections to one peer: which of them stays (RFC 4271 §6.8, RFC 6286 §2.3).
//!
//! Both sides dial, so two connections at once are the rule in a mesh. Who closes what must follow from what both sides know
//! alike, or each closes the one that the other keeps. That is the direction of a connection and the identifiers: the
//! connection that the higher side has dialled stays, and the other goes as soon as an OPEN has come on either, whatever
//! state the two are in. How far a connection has come says nothing: the two sides see that differently. Hence a dial that
//! comes through beside a connection that is further is not simply dropped either.

use std::time::Duration;

use super::open::local_as;
use super::{Agreed, Direction, Env, Link, Session};

/// How long after a connection was made its OPEN is no longer just on its way.
const SILENT: Duration = Duration::from_secs(2);

/// The connection that §6.8 keeps is the one that the side with the higher identifier has dialled; if both have the same,
/// the side with the higher AS (RFC 6286 §2.3).
pub(super) fn favoured(env: &Env<'_>, agreed: &Agreed) -> Direction {
    let ours = (env.local.router_id, local_as(env.local, env.peer));
    if ours > (agreed.peer_id, agreed.peer_as) { Direction::Outgoing } else { Direction::Incoming }
}

/// Whether `link`, on which an OPEN has come, stays and not `rival`. Of two that one side has dialled, the newer; of two
/// that both have dialled at the same time, the one that §6.8 names, unless it has been silent for so long that nobody
/// seems to be there.
pub(super) fn stays(env: &Env<'_>, agreed: &Agreed, link: &Link, rival: &Session) -> bool {
    let Some(other) = rival.link() else { return true };
    if link.direction == other.direction {
        return link.conn > other.conn;
    }
    let silent = matches!(rival, Session::OpenSent(_)) && env.now.since(other.since) >= SILENT;
    silent || link.direction == favoured(env, agreed)
}
