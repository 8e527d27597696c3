//! `table inet margay` over netlink: read back, compared, replaced in one transaction. No other table is touched.
//!
//! The messages are written and read here, attribute by attribute: the one crate that would (netlink-bindings 0.3) numbers
//! those of `lookup` otherwise than the kernel does, and knows no `masq`.

mod decode;
mod encode;
mod nfta;

use std::net::IpAddr;

use super::netlink::{Batch, Netlink, NetlinkError};
use crate::ruleset::{Ruleset, Set};
use crate::want::Nat;

/// What had to be done to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was right already.
    Same,
    /// It was put in place, as this was missing or different.
    Replaced(String),
    /// It was removed, as nothing is wanted in it.
    Removed,
}

/// Makes the table treat packets as wanted, and touches nothing if it does already.
pub fn settle(netlink: &mut Netlink, nat: &Nat) -> Result<Outcome, NetlinkError> {
    let want = Ruleset::treating(nat);
    let have = read(netlink)?;
    match (want, have) {
        (None, None) => Ok(Outcome::Same),
        (None, Some(_)) => remove(netlink).map(|()| Outcome::Removed),
        (Some(want), None) => replace(netlink, &want).map(|()| Outcome::Replaced("the table".into())),
        (Some(want), Some(have)) => match want.difference(&have) {
            None => Ok(Outcome::Same),
            Some(difference) => replace(netlink, &want).map(|()| Outcome::Replaced(difference)),
        },
    }
}

/// Puts the table in place of whatever is there, in one transaction: no packet meets half of it.
pub fn replace(netlink: &mut Netlink, ruleset: &Ruleset) -> Result<(), NetlinkError> {
    let mut batch = encode::begin();
    // Made if missing, so that there is something to delete.
    encode::table(&mut batch, libc::NFT_MSG_NEWTABLE);
    encode::table(&mut batch, libc::NFT_MSG_DELTABLE);
    encode::table(&mut batch, libc::NFT_MSG_NEWTABLE);
    for (id, (name, set)) in (1..).zip(&ruleset.sets) {
        encode::set(&mut batch, id, name, set);
        encode::elements(&mut batch, name, set);
    }
    for (name, chain) in &ruleset.chains {
        encode::chain(&mut batch, name, chain.hook.as_ref());
    }
    for (name, chain) in &ruleset.chains {
        for rule in &chain.rules {
            encode::rule(&mut batch, name, rule);
        }
    }
    encode::end(&mut batch);
    netlink.transaction(&mut batch)
}

/// Removes the table, if it is there.
pub fn remove(netlink: &mut Netlink) -> Result<(), NetlinkError> {
    let mut batch = encode::begin();
    encode::table(&mut batch, libc::NFT_MSG_NEWTABLE);
    encode::table(&mut batch, libc::NFT_MSG_DELTABLE);
    encode::end(&mut batch);
    netlink.transaction(&mut batch)
}

/// Reads the table back; none if there is no such table.
pub fn read(netlink: &mut Netlink) -> Result<Option<Ruleset>, NetlinkError> {
    let mut ruleset = Ruleset::default();
    let mut batch = Batch::new();
    encode::table(&mut batch, libc::NFT_MSG_GETTABLE);
    match netlink.run(&mut batch)?.all() {
        Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(None),
        result => _ = result?,
    }
    let kind = encode::kind;
    // The kernel does not choose chains by table.
    let chains = netlink.dump(kind(libc::NFT_MSG_GETCHAIN), &encode::of_family(), decode::chain)?;
    ruleset.chains.extend(chains);
    for (chain, rule) in netlink.dump(kind(libc::NFT_MSG_GETRULE), &encode::of_table(), decode::rule)? {
        if let Some(chain) = ruleset.chains.get_mut(&chain) {
            chain.rules.push(rule);
        }
    }
    for (name, family) in netlink.dump(kind(libc::NFT_MSG_GETSET), &encode::of_table(), decode::set)? {
        let elements = netlink.dump(kind(libc::NFT_MSG_GETSETELEM), &encode::of_set(&name), decode::elements)?;
        let ranges = decode::ranges(family, elements.into_iter().flatten().collect());
        ruleset.sets.insert(name, Set { family, ranges });
    }
    Ok(Some(ruleset))
}

/// An address as a key of a set.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
