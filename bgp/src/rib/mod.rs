//! The tables: what peers said, what is believed of it, and what peers were told.
//!
//! One owner, no locks. An announcement costs a hash lookup and touches its destination; touched destinations are settled
//! later, in batches: best path, report, update groups. Several changes of one prefix in between are one.

mod aggregate;
pub mod best;
mod choice;
mod compare;
mod dump;
mod export;
mod few;
mod group;
mod intern;
mod judge;
mod members;
mod outbox;
mod reason;
mod regroup;
mod several;
mod shared;
mod table;
mod treat;
mod unicast;
mod watch;

pub use reason::Reason;

pub(crate) use aggregate::Formed;
pub(crate) use choice::{Choice, reason_against};
pub(crate) use compare::{Differences, View, compare};
pub(crate) use export::outgoing;
pub(crate) use group::{Closing, Group, GroupKey, LongLivedSupport, Telling};
pub(crate) use outbox::Emit;
pub(crate) use shared::{Counts, Flow, Hold, RouteAttrs, Shared, SourceInfo};
pub(crate) use table::{Age, Dest, DestId, OWN, Path, Source};
pub(crate) use treat::{Standing, is_leaving};
pub(crate) use unicast::{Forget, RibPrefix, Unicast};
pub(crate) use watch::{Seen, Sight};
