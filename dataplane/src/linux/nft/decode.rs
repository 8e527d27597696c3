//! Reading nftables messages, only of our table, down to every value that we write.

use std::net::IpAddr;

use model::{Family, Prefix, kernel};

use super::encode::{REGISTER, key_type};
use super::nfta;
use crate::linux::attribute::{Message, address, attributes, text};
use crate::ruleset::{Chain, Expression, Hook, Range, predecessor};

/// The attributes of a message about our table.
fn ours<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    // After `struct nfgenmsg`.
    let bytes = message.payload.get(4..)?;
    (find(bytes, nfta::TABLE).map(text)? == kernel::NFT_TABLE).then_some(bytes)
}

fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn number(bytes: &[u8], attribute: u16) -> Option<u32> {
    find(bytes, attribute).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes)
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
pub(super) fn rule(message: &Message<'_>) -> Option<(String, Vec<Expression>)> {
    let bytes = ours(message)?;
    let list = find(bytes, nfta::rule::EXPRESSIONS).unwrap_or_default();
    let expressions = attributes(list).map(|(_, item)| expression(item)).collect();
    Some((find(bytes, nfta::rule::CHAIN).map(text)?, expressions))
}

fn expression(item: &[u8]) -> Expression {
    let name = find(item, nfta::expression::NAME).map(text).unwrap_or_default();
    let data = find(item, nfta::expression::DATA).unwrap_or_default();
    known_expression(&name, data).unwrap_or(Expression::Other(name))
}

/// An expression of those that we write; none if any value in it is another.
fn known_expression(name: &str, data: &[u8]) -> Option<Expression> {
    let is = |attribute: u16, value: u32| number(data, attribute) == Some(value);
    match name {
        "meta" => {
            let ours = is(nfta::meta::DESTINATION, REGISTER) && is(nfta::meta::KEY, libc::NFT_META_NFPROTO as u32);
            ours.then_some(Expression::LoadFamily)
        }
        "cmp" => {
            let ours = is(nfta::compare::SOURCE, REGISTER) && is(nfta::compare::OPERATION, libc::NFT_CMP_EQ as u32);
            let value = find(find(data, nfta::compare::DATA)?, nfta::VALUE)?;
            ours.then(|| Expression::Equals(value.to_vec()))
        }
        "payload" => {
            let ours = is(nfta::payload::DESTINATION, REGISTER)
                && is(nfta::payload::BASE, libc::NFT_PAYLOAD_NETWORK_HEADER as u32);
            let (offset, length) = (number(data, nfta::payload::OFFSET)?, number(data, nfta::payload::LENGTH)?);
            ours.then_some(Expression::LoadNetworkHeader { offset, length })
        }
        "lookup" => {
            let ours = is(nfta::lookup::SOURCE, REGISTER) && find(data, nfta::lookup::DESTINATION).is_none();
            let set = find(data, nfta::lookup::SET).map(text)?;
            match number(data, nfta::lookup::FLAGS).unwrap_or_default() as i32 {
                0 if ours => Some(Expression::In(set)),
                libc::NFT_LOOKUP_F_INV if ours => Some(Expression::NotIn(set)),
                _ => None,
            }
        }
        "masq" => {
            // With any other attribute it maps ports to a range too.
            let only = attributes(data).all(|(kind, _)| kind == nfta::masquerade::FLAGS);
            let flags = number(data, nfta::masquerade::FLAGS).unwrap_or_default();
            only.then_some(Expression::Masquerade { flags })
        }
        "immediate" => {
            let verdict = find(find(data, nfta::immediate::DATA)?, nfta::VERDICT)?;
            let drops = is(nfta::immediate::DESTINATION, libc::NFT_REG_VERDICT as u32)
                && number(verdict, nfta::verdict::CODE) == Some(libc::NF_DROP as u32);
            drops.then_some(Expression::Drop)
        }
        "reject" => match find(data, nfta::reject::CODE)? {
            [code] if is(nfta::reject::TYPE, libc::NFT_REJECT_ICMPX_UNREACH as u32) => {
                Some(Expression::Reject { code: *code })
            }
            _ => None,
        },
        _ => None,
    }
}

/// A set of our table: its name and family. One of another type is taken for an IPv4 set, and differs by its elements.
pub(super) fn set(message: &Message<'_>) -> Option<(String, Family)> {
    let bytes = ours(message)?;
    let number = number(bytes, nfta::set::KEY_TYPE);
    let family = Family::ALL.into_iter().find(|family| Some(key_type(*family)) == number).unwrap_or(Family::Ipv4);
    Some((find(bytes, nfta::set::NAME).map(text)?, family))
}

/// An element of an interval set: where a range begins, or where one has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    key: IpAddr,
    /// Sorted so that an end comes before a beginning at the same address.
    begins: bool,
}

/// The elements that a message tells.
pub(super) fn elements(message: &Message<'_>) -> Option<Vec<Element>> {
    let list = find(ours(message)?, nfta::elements::ELEMENTS)?;
    let read = |item: &[u8]| {
        let flags = number(item, nfta::element::FLAGS).unwrap_or_default();
        let key = address(find(find(item, nfta::element::KEY)?, nfta::VALUE)?)?;
        Some(Element { key, begins: flags & libc::NFT_SET_ELEM_INTERVAL_END as u32 == 0 })
    };
    Some(attributes(list).filter_map(|(_, item)| read(item)).collect())
}

/// The ranges between beginnings and ends. An end without a beginning says nothing.
pub(super) fn ranges(family: Family, mut elements: Vec<Element>) -> Vec<Range> {
    elements.sort();
    let mut ranges = Vec::new();
    let mut begun: Option<IpAddr> = None;
    for element in elements {
        if let Some(last) = predecessor(element.key) {
            ranges.extend(begun.take().map(|first| Range { first, last }));
        }
        begun = element.begins.then_some(element.key);
    }
    let last = Prefix::default_route(family).last();
    ranges.extend(begun.map(|first| Range { first, last }));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(key: [u8; 4], begins: bool) -> Element {
        Element { key: key.into(), begins }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reading_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..256)) {
            // A message about our table, and anything after.
            let mut payload = vec![1, 0, 0, 0, 11, 0, 1, 0];
            payload.extend(b"margay\0\0");
            payload.extend(bytes);
            let message = Message { kind: 0, flags: 0, sequence: 0, payload: &payload };
            proptest::prop_assert!(ours(&message).is_some());
            _ = (chain(&message), rule(&message), set(&message), elements(&message));
            for name in ["meta", "cmp", "payload", "lookup", "masq", "immediate", "reject"] {
                _ = known_expression(name, &payload);
            }
        }
    }

    #[test]
    fn ranges_lie_between_beginnings_and_ends_in_whatever_order_the_kernel_lists_them() {
        let elements = vec![
            element([240, 0, 0, 0], true),
            element([10, 1, 0, 0], false),
            element([0, 0, 0, 0], false),
            element([10, 0, 0, 0], true),
            element([10, 2, 0, 0], false),
            element([10, 1, 0, 0], true),
        ];
        let texts: Vec<String> = ranges(Family::Ipv4, elements).iter().map(Range::to_string).collect();
        assert_eq!(texts, ["10.0.0.0-10.0.255.255", "10.1.0.0-10.1.255.255", "240.0.0.0-255.255.255.255"]);
    }
}
