//! The thread that changes packet rules: a conversation of its own, so that routes do not wait for a large transaction, nor
//! pods for a large table of routes.

use dataplane::linux::netlink::{Netlink, NetlinkError};
use dataplane::linux::nft;
use dataplane::ruleset::{Op, Ruleset, Transaction};

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
    /// This kernel has no such tables, and why we think so.
    Unsupported(String),
}

/// Does the work. A socket that failed is made anew with the next, at its port if that is still free.
pub(super) fn perform(
    netlink: &mut Option<Netlink>,
    port: Option<u32>,
    work: &RulesWork,
) -> Result<RulesOutcome, NetlinkError> {
    attempt(netlink, port, work).or_else(|error| match is_unsupported(&error) {
        true => Ok(RulesOutcome::Unsupported(error.to_string())),
        false => Err(error),
    })
}

/// Without nfnetlink there is no such socket; without tables of family inet (`CONFIG_NF_TABLES_INET`) the table is refused.
fn is_unsupported(error: &NetlinkError) -> bool {
    let without = matches!(error.errno(), Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT));
    let of_all = match error {
        NetlinkError::Socket { .. } | NetlinkError::Refused(_) => true,
        NetlinkError::RefusedPart { part, .. } => *part == Op::AddTable.to_string(),
        _ => false,
    };
    without && of_all
}

fn attempt(netlink: &mut Option<Netlink>, port: Option<u32>, work: &RulesWork) -> Result<RulesOutcome, NetlinkError> {
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
