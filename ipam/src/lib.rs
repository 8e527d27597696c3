//! Addresses of pods: which are ours to give, who holds one, and how that outlives a kill -9.
//!
//! ```text
//! Space   what this node may give: blocks, pools, reserved addresses          pure
//! Ask     what one pod wants: an attachment, annotations                       pure
//! Leases  who holds what; decides, and returns the records of its decision     pure
//! journal records as lines of text, and back                                   pure
//! Ledger  Leases that write their records down before they answer              the only I/O of this room
//! ```
//! The agent uses [`Ledger`]: every change is decided, written, applied, in that order, so an answer that anybody saw is on record.

pub mod ask;
pub mod block;
pub mod check;
pub mod free;
pub mod journal;
pub mod lease;
pub mod leases;
pub mod ledger;
pub mod recover;
pub mod release;
pub mod space;
pub mod usage;

pub use ask::{Annotations, Ask, Wish};
pub use check::{Finding, FindingKind};
pub use lease::{Lease, Plumbed, Record};
pub use leases::{Decision, IpamError, Leases};
pub use ledger::{Ledger, LedgerError, Opening};
pub use recover::PodLink;
pub use release::{Living, Released};
pub use space::{Block, Openness, Space};
pub use usage::{AddressView, BlockView};
