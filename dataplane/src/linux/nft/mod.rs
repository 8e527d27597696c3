//! `table inet margay` over netlink: read back, compared, changed in one transaction. No other table is touched.
//!
//! The messages are written and read here, attribute by attribute: the one crate that would (netlink-bindings 0.3) numbers
//! those of `lookup` otherwise than the kernel does, and knows no `masq`.

mod decode;
mod element;
mod encode;
mod expression;
mod nfta;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::netlink::{Batch, Netlink, NetlinkError};
use crate::ruleset::{KeyType, MapKey, Ruleset, Set, Transaction, VerdictMap};

/// `NFTNL_UDATA_RULE_COMMENT`.
const COMMENT_KIND: u8 = 0;
/// Times the table is read anew because someone changed it meanwhile.
const READ_TRIES: usize = 5;

/// What had to be done to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was right already.
    Same,
    /// It was changed, as this was missing or different.
    Changed(String),
    /// It was removed, as nothing is wanted in it.
    Removed,
}

/// What a rule has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Octets of their network headers and all that follows.
    pub octets: u64,
}

/// By the name of a chain: what each of its rules has counted, in order; none for a rule without a counter.
pub type Counts = BTreeMap<String, Vec<Option<Count>>>;

/// Reads the table, makes it as wanted, and touches nothing that is right already.
pub fn settle(netlink: &mut Netlink, want: Option<&Ruleset>) -> Result<Outcome, NetlinkError> {
    let have = read(netlink)?;
    match (want, &have) {
        (None, None) => Ok(Outcome::Same),
        (None, Some(_)) => remove(netlink).map(|()| Outcome::Removed),
        (Some(want), None) => {
            commit(netlink, &Ruleset::transaction(None, want)).map(|()| Outcome::Changed("the table".into()))
        }
        (Some(want), Some(have)) => match want.difference(have) {
            None => Ok(Outcome::Same),
            Some(difference) => {
                commit(netlink, &Ruleset::transaction(Some(have), want))?;
                Ok(Outcome::Changed(difference))
            }
        },
    }
}

/// Changes the table: all of the transaction or nothing, so that no packet meets half of it.
///
/// A refusal names the operation. After any other error nobody knows whether it was done: read the table.
pub fn commit(netlink: &mut Netlink, transaction: &Transaction) -> Result<(), NetlinkError> {
    let ops = transaction.ops();
    if ops.is_empty() {
        return Ok(());
    }
    let (mut batch, of) = encode::transaction(&ops);
    let replies = netlink.transaction(&mut batch)?;
    let Some((position, refusal)) = replies.refused.into_iter().next() else { return Ok(()) };
    let op = of.get(position).copied().flatten().and_then(|at| ops.get(at));
    let part = op.map_or_else(|| "the transaction as a whole".into(), ToString::to_string);
    Err(NetlinkError::RefusedPart { part, refusal })
}

/// Removes the table, if it is there.
pub fn remove(netlink: &mut Netlink) -> Result<(), NetlinkError> {
    commit(netlink, &Transaction::removal())
}

/// Reads the table back as it is at one moment; none if there is no such table.
pub fn read(netlink: &mut Netlink) -> Result<Option<Ruleset>, NetlinkError> {
    let mut last = None;
    for _ in 0..READ_TRIES {
        let before = generation(netlink)?;
        let found = read_once(netlink);
        // Others' tables have the same generation, and may change all the time: what is read twice is true as well.
        let same = last.as_ref().is_some_and(|last| found.as_ref().is_ok_and(|found| found == last));
        if same || generation(netlink)? == before {
            return found;
        }
        last = found.ok();
    }
    Err(NetlinkError::Interrupted)
}

/// Reads what the rules of the table have counted; nothing if there is no table.
pub fn counters(netlink: &mut Netlink) -> Result<Counts, NetlinkError> {
    let mut counts = Counts::new();
    for (chain, count) in netlink.dump(encode::kind(libc::NFT_MSG_GETRULE), &encode::of_table(), decode::counted)? {
        counts.entry(chain).or_default().push(count);
    }
    Ok(counts)
}

/// Like [`counters`], of one chain.
pub fn counters_of(netlink: &mut Netlink, chain: &str) -> Result<Vec<Option<Count>>, NetlinkError> {
    let counts = netlink.dump(encode::kind(libc::NFT_MSG_GETRULE), &encode::of_chain(chain), decode::counted)?;
    Ok(counts.into_iter().map(|(_, count)| count).collect())
}

fn generation(netlink: &mut Netlink) -> Result<Option<u32>, NetlinkError> {
    let replies = netlink.request(encode::kind(libc::NFT_MSG_GETGEN), 0, &encode::of_family())?;
    Ok(replies.answers.first().and_then(|(_, _, payload)| decode::generation(payload)))
}

fn read_once(netlink: &mut Netlink) -> Result<Option<Ruleset>, NetlinkError> {
    let mut ruleset = Ruleset::default();
    let kind = encode::kind;
    let mut batch = Batch::new();
    batch.push(kind(libc::NFT_MSG_GETTABLE), 0, &encode::of_table());
    let dormant = match netlink.run(&mut batch)?.all() {
        Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(None),
        result => result?.answers.first().is_some_and(|(_, _, table)| decode::is_dormant(table)),
    };
    // The kernel does not choose chains by table.
    let chains = netlink.dump(kind(libc::NFT_MSG_GETCHAIN), &encode::of_family(), decode::chain)?;
    let mut chains: BTreeMap<_, _> = chains.into_iter().collect();
    for (chain, rule) in netlink.dump(kind(libc::NFT_MSG_GETRULE), &encode::of_table(), decode::rule)? {
        if let Some(chain) = chains.get_mut(&chain) {
            chain.rules.push(rule);
        }
    }
    // A dormant table is one whose chains hook in nowhere, which is how it differs.
    chains.values_mut().filter(|_| dormant).for_each(|chain| chain.hook = None);
    ruleset.chains = chains.into_iter().map(|(name, chain)| (name, Arc::new(chain))).collect();
    for (name, kind) in netlink.dump(kind(libc::NFT_MSG_GETSET), &encode::of_table(), decode::set)? {
        match kind {
            decode::Kind::Set(key) => _ = ruleset.sets.insert(name.clone(), read_set(netlink, &name, key)?),
            decode::Kind::Map(key) => _ = ruleset.maps.insert(name.clone(), read_map(netlink, &name, key)?),
        }
    }
    Ok(Some(ruleset))
}

/// A set with its elements. With one that we would never put there it is of another type, and will be replaced.
fn read_set(netlink: &mut Netlink, name: &str, key: KeyType) -> Result<Set, NetlinkError> {
    let elements = read_elements(netlink, name)?;
    let keys = elements.and_then(|elements| match key {
        interval if interval.is_interval() => element::ranges(key, elements),
        _ => elements.iter().map(|element| element.key(key)).collect(),
    });
    Ok(keys.map_or(Set::new(KeyType::Other), |keys| Set::of(key, keys)))
}

fn read_map(netlink: &mut Netlink, name: &str, key: MapKey) -> Result<VerdictMap, NetlinkError> {
    let elements = read_elements(netlink, name)?;
    let pairs = elements.and_then(|all| all.into_iter().map(|element| element.mapped(key)).collect());
    Ok(pairs.map_or(VerdictMap::new(MapKey::Other), |elements| VerdictMap { key, elements }))
}

/// None if one of them is of no sort that we make.
fn read_elements(netlink: &mut Netlink, set: &str) -> Result<Option<Vec<element::Element>>, NetlinkError> {
    let found = netlink.dump(encode::kind(libc::NFT_MSG_GETSETELEM), &encode::of_set(set), decode::elements)?;
    Ok(found.into_iter().flatten().collect())
}
