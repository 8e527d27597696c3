//! Reading nftables messages, only of our table, down to every value that we write.

use model::kernel;

use super::element::{self, Element, MAP};
use super::{expression, nfta};
use crate::linux::attribute::{Message, attributes, find, long_number, number, text};
use crate::ruleset::{Chain, Expression, Hook, KeyType, MapKey, Rule};

/// The attributes of a message about our table.
fn ours<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    // After `struct nfgenmsg`.
    let bytes = message.payload.get(4..)?;
    (find(bytes, nfta::TABLE).map(text)? == kernel::NFT_TABLE).then_some(bytes)
}

/// Whether the table's chains hook in nowhere for now (`NFT_TABLE_F_DORMANT`).
pub(super) fn is_dormant(table: &[u8]) -> bool {
    const DORMANT: u32 = 1;
    table.get(4..).and_then(|bytes| number(bytes, nfta::table::FLAGS)).unwrap_or_default() & DORMANT != 0
}

/// A chain of our table, by name, still without its rules.
pub(super) fn chain(message: &Message<'_>) -> Option<(String, Chain)> {
    let bytes = ours(message)?;
    let hook = find(bytes, nfta::chain::HOOK).and_then(|hook| {
        Some(Hook {
            kind: find(bytes, nfta::chain::TYPE).map(text)?,
            number: number(hook, nfta::hook::NUMBER)?,
            priority: number(hook, nfta::hook::PRIORITY)? as i32,
            policy: number(bytes, nfta::chain::POLICY)?,
        })
    });
    Some((find(bytes, nfta::chain::NAME).map(text)?, Chain { hook, rules: vec![] }))
}

/// A rule of our table, and the name of its chain.
pub(super) fn rule(message: &Message<'_>) -> Option<(String, Rule)> {
    let bytes = ours(message)?;
    let list = find(bytes, nfta::rule::EXPRESSIONS).unwrap_or_default();
    let expressions: Vec<Expression> = attributes(list).map(|(_, item)| expression::read(item)).collect();
    let comment = find(bytes, nfta::rule::USERDATA).and_then(comment);
    Some((find(bytes, nfta::rule::CHAIN).map(text)?, Rule { expressions, comment }))
}

/// The comment among nft's own data of a rule.
fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == super::COMMENT_KIND {
            return Some(text(value));
        }
        data = rest.get(usize::from(*length)..)?;
    }
    None
}

/// Packets and octets that a rule has counted, and the name of its chain; none for a rule that does not count.
pub(super) fn counted(message: &Message<'_>) -> Option<(String, Option<super::Count>)> {
    let bytes = ours(message)?;
    let list = find(bytes, nfta::rule::EXPRESSIONS).unwrap_or_default();
    let is_counter = |item: &&[u8]| find(item, nfta::expression::NAME).map(text).as_deref() == Some("counter");
    let counter = attributes(list).map(|(_, item)| item).find(is_counter);
    let count = counter.and_then(|item| find(item, nfta::expression::DATA)).map(|data| super::Count {
        packets: long_number(data, nfta::counter::PACKETS).unwrap_or_default(),
        octets: long_number(data, nfta::counter::OCTETS).unwrap_or_default(),
    });
    Some((find(bytes, nfta::rule::CHAIN).map(text)?, count))
}

/// What a set of our table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Set(KeyType),
    Map(MapKey),
}

/// A set or map of our table, by name.
pub(super) fn set(message: &Message<'_>) -> Option<(String, Kind)> {
    let bytes = ours(message)?;
    let type_number = number(bytes, nfta::set::KEY_TYPE).unwrap_or_default();
    let flags = number(bytes, nfta::set::FLAGS).unwrap_or_default();
    let kind = if flags & MAP == 0 {
        Kind::Set(element::key_type(type_number, flags))
    } else if number(bytes, nfta::set::DATA_TYPE) == Some(libc::NFT_DATA_VERDICT) {
        Kind::Map(element::map_key(type_number, flags))
    } else {
        Kind::Map(MapKey::Other)
    };
    Some((find(bytes, nfta::set::NAME).map(text)?, kind))
}

/// The elements that a message tells, each none if it is of no sort that we make.
pub(super) fn elements(message: &Message<'_>) -> Option<Vec<Option<Element>>> {
    let list = find(ours(message)?, nfta::elements::ELEMENTS)?;
    Some(attributes(list).map(|(_, item)| Element::read(item)).collect())
}

/// The number of the table of all tables, which each transaction of anyone raises.
pub(super) fn generation(message: &[u8]) -> Option<u32> {
    number(message.get(4..)?, nfta::generation::ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reading_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..256)) {
            // A message about our table, and anything after.
            let mut payload = vec![1, 0, 0, 0, 11, 0, 1, 0];
            payload.extend(b"margay\0\0");
            payload.extend(&bytes);
            let message = Message { kind: 0, flags: 0, sequence: 0, payload: &payload };
            proptest::prop_assert!(ours(&message).is_some());
            _ = (chain(&message), rule(&message), set(&message), elements(&message), counted(&message));
            _ = (comment(&bytes), generation(&bytes), is_dormant(&bytes));
            for name in ["meta", "ct", "payload", "bitwise", "cmp", "range", "lookup", "counter", "limit", "log", "masq", "immediate", "reject"] {
                _ = expression::known(name, &bytes);
            }
        }
    }
}
