//! The thread that changes packet rules: a conversation of its own, so that routes do not wait for a large transaction, nor
//! pods for a large table of routes.

use dataplane::linux::netlink::{Netlink, NetlinkError};
use dataplane::linux::nft;
use dataplane::ruleset::{Ruleset, Transaction};

/// What to do with the table of packet rules.
#[derive(Debug)]
pub enum RulesWork {
    /// Read it, and make it so if it is not.
    Settle(Box<Ruleset>),
    /// Change it: it is as it was left.
    Change(Box<Transaction>),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesOutcome {
    /// It was so already.
    Same,
    /// It was changed; of a table that was read, where it first differed.
    Changed(Option<String>),
}

/// Does the work. A socket that failed is made anew with the next, at its port if that is still free.
pub(super) fn perform(
    netlink: &mut Option<Netlink>,
    port: Option<u32>,
    work: &RulesWork,
) -> Result<RulesOutcome, NetlinkError> {
    let mut socket = match (netlink.take(), port) {
        (Some(socket), _) => socket,
        (None, Some(port)) => Netlink::netfilter_at(port).or_else(|_| Netlink::netfilter())?,
        (None, None) => Netlink::netfilter()?,
    };
    let outcome = match work {
        RulesWork::Settle(table) => match nft::settle(&mut socket, Some(table))? {
            nft::Outcome::Same => RulesOutcome::Same,
            nft::Outcome::Changed(what) => RulesOutcome::Changed(Some(what)),
            nft::Outcome::Removed => RulesOutcome::Changed(None),
        },
        RulesWork::Change(transaction) => {
            nft::commit(&mut socket, transaction)?;
            RulesOutcome::Changed(None)
        }
    };
    // Kept only if it worked: after a failure a new one is surer.
    *netlink = Some(socket);
    Ok(outcome)
}
