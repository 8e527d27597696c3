//! Types and elements of sets and maps as nftables messages have them, written and read.

use std::net::IpAddr;

use model::{Family, Prefix};

use super::{expression, nfta};
use crate::linux::attribute::{Writer, address, find, number, text};
use crate::ruleset::{Key, KeyType, MapKey, Range, Verdict, octets, successor};

/// nft's own numbers for types of data, by which it lists a set; the kernel takes any.
mod datatype {
    pub const IPV4_ADDRESS: u32 = 7;
    pub const IPV6_ADDRESS: u32 = 8;
    pub const PROTOCOL: u32 = 12;
    pub const PORT: u32 = 13;
    pub const INTERFACE: u32 = 41;
    /// Bits of one in a concatenation.
    pub const BITS: u32 = 6;
}

/// Octets of an interface's name, with the 0 octets that follow it.
const NAME: usize = 16;

/// A field of a key: nft's type of it, and its octets.
type Field = (u32, u32);

pub(super) const INTERFACE: Field = (datatype::INTERFACE, NAME as u32);
const PORT: Field = (datatype::PORT, 2);

fn of_address(family: Family) -> Field {
    match family {
        Family::Ipv4 => (datatype::IPV4_ADDRESS, 4),
        Family::Ipv6 => (datatype::IPV6_ADDRESS, 16),
    }
}

/// What a key of a set is made of.
pub(super) fn fields(key: KeyType) -> Vec<Field> {
    match key {
        KeyType::Address(family) | KeyType::Ranges(family) => vec![of_address(family)],
        KeyType::Ports => vec![PORT],
        KeyType::Socket(family) => vec![of_address(family), (datatype::PROTOCOL, 1), PORT],
        KeyType::InterfaceAddress(family) => vec![INTERFACE, of_address(family)],
        KeyType::Pair(family) => vec![of_address(family); 2],
        KeyType::Other => vec![],
    }
}

/// What a key of a map is made of.
pub(super) fn map_fields(key: MapKey) -> Vec<Field> {
    match key {
        MapKey::Interface => vec![INTERFACE],
        MapKey::Address(family) => vec![of_address(family)],
        MapKey::Other => vec![],
    }
}

/// nft's number for a concatenation of types.
pub(super) fn type_number(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |number, (one, _)| (number << datatype::BITS) | one)
}

/// Octets of a whole key: each field begins a register.
pub(super) fn key_length(fields: &[Field]) -> u32 {
    match fields {
        [(_, one)] => *one,
        many => many.iter().map(|(_, octets)| octets.next_multiple_of(4)).sum(),
    }
}

/// `NFT_SET_…` flags.
pub(super) const INTERVAL: u32 = libc::NFT_SET_INTERVAL as u32;
pub(super) const MAP: u32 = libc::NFT_SET_MAP as u32;
/// `NFT_SET_CONCAT` (linux/netfilter/nf_tables.h).
pub(super) const CONCATENATION: u32 = 0x80;

/// The flags of a set.
pub(super) fn flags(key: KeyType) -> u32 {
    let interval = if key.is_interval() { INTERVAL } else { 0 };
    let concatenation = if fields(key).len() > 1 { CONCATENATION } else { 0 };
    interval | concatenation
}

/// The type of set that has this number and these flags.
pub(super) fn key_type(number: u32, flags_are: u32) -> KeyType {
    let families = Family::ALL.into_iter();
    let kinds = [KeyType::Address, KeyType::Ranges, KeyType::Socket, KeyType::InterfaceAddress, KeyType::Pair];
    let mut all = families.flat_map(|family| kinds.map(|kind| kind(family))).chain([KeyType::Ports]);
    all.find(|key| type_number(&fields(*key)) == number && flags(*key) == flags_are).unwrap_or(KeyType::Other)
}

/// The type of map that has this number and these flags.
pub(super) fn map_key(number: u32, flags: u32) -> MapKey {
    let all = [MapKey::Interface, MapKey::Address(Family::Ipv4), MapKey::Address(Family::Ipv6)];
    let found = all.into_iter().find(|key| type_number(&map_fields(*key)) == number && flags == MAP);
    found.unwrap_or(MapKey::Other)
}

/// Writes a set's element: one of the kernel's, or the beginning and the end of a range.
pub(super) fn write(w: &mut Writer<'_>, key: &Key) {
    let mut range = |first: &[u8], after: Option<&[u8]>| {
        w.nested(nfta::ITEM, |w| write_key(w, first));
        // The end is the first value after the range; a range to the last of all needs none.
        if let Some(after) = after {
            w.nested(nfta::ITEM, |w| {
                w.number(nfta::element::FLAGS, libc::NFT_SET_ELEM_INTERVAL_END as u32);
                write_key(w, after);
            });
        }
    };
    match key {
        Key::Range(Range { first, last }) => range(&octets(*first), successor(*last).map(octets).as_deref()),
        Key::Ports(first, last) => {
            let after = last.checked_add(1).map(u16::to_be_bytes);
            range(&first.to_be_bytes(), after.as_ref().map(<[u8; 2]>::as_slice));
        }
        Key::Address(_) | Key::Socket(..) | Key::InterfaceAddress(..) | Key::Pair(..) | Key::Interface(_) => {
            w.nested(nfta::ITEM, |w| write_key(w, &key_octets(key)));
        }
    }
}

/// Writes a map's element.
pub(super) fn write_mapped(w: &mut Writer<'_>, key: &Key, verdict: &Verdict) {
    w.nested(nfta::ITEM, |w| {
        write_key(w, &key_octets(key));
        w.nested(nfta::element::DATA, |w| expression::write_verdict(w, verdict));
    });
}

fn write_key(w: &mut Writer<'_>, octets: &[u8]) {
    w.nested(nfta::element::KEY, |w| w.octets(nfta::VALUE, octets));
}

/// A key that is no range.
fn key_octets(key: &Key) -> Vec<u8> {
    let name = |interface: &String| {
        let mut name = interface.as_bytes().to_vec();
        // One that is too long stays so, and the kernel refuses it.
        name.resize(name.len().max(NAME), 0);
        name
    };
    match key {
        Key::Address(address) => octets(*address),
        Key::Socket(address, protocol, port) => {
            let [high, low] = port.to_be_bytes();
            [octets(*address), vec![*protocol, 0, 0, 0, high, low, 0, 0]].concat()
        }
        Key::InterfaceAddress(interface, address) => [name(interface), octets(*address)].concat(),
        Key::Pair(source, destination) => [octets(*source), octets(*destination)].concat(),
        Key::Interface(interface) => name(interface),
        Key::Range(_) | Key::Ports(..) => vec![],
    }
}

/// An element as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    key: Vec<u8>,
    /// Sorted so that an end comes before a beginning at the same key.
    begins: bool,
    verdict: Option<Verdict>,
}

impl Element {
    /// Reads one of a message's list; none of what stands for all other keys.
    pub(super) fn read(item: &[u8]) -> Option<Element> {
        let flags = number(item, nfta::element::FLAGS).unwrap_or_default();
        Some(Element {
            key: find(find(item, nfta::element::KEY)?, nfta::VALUE)?.to_vec(),
            begins: flags & libc::NFT_SET_ELEM_INTERVAL_END as u32 == 0,
            verdict: find(item, nfta::element::DATA).and_then(expression::read_verdict),
        })
    }

    /// As an element of a map.
    pub(super) fn mapped(self, key: MapKey) -> Option<(Key, Verdict)> {
        let key = match key {
            MapKey::Interface => Key::Interface(read_name(&self.key)?),
            MapKey::Address(_) => Key::Address(address(&self.key)?),
            MapKey::Other => return None,
        };
        Some((key, self.verdict?))
    }

    /// As an element of a set that has no ranges.
    pub(super) fn key(&self, of: KeyType) -> Option<Key> {
        let at = |from: usize, length: usize| self.key.get(from..from + length);
        match of {
            KeyType::Address(_) => address(&self.key).map(Key::Address),
            KeyType::Socket(family) => {
                let length = usize::from(family.bits()) / 8;
                let port = at(length + 4, 2)?.try_into().ok().map(u16::from_be_bytes)?;
                Some(Key::Socket(address(at(0, length)?)?, *at(length, 1)?.first()?, port))
            }
            KeyType::InterfaceAddress(family) => {
                let address = address(at(NAME, usize::from(family.bits()) / 8)?)?;
                Some(Key::InterfaceAddress(read_name(at(0, NAME)?)?, address))
            }
            KeyType::Pair(family) => {
                let length = usize::from(family.bits()) / 8;
                Some(Key::Pair(address(at(0, length)?)?, address(at(length, length)?)?))
            }
            KeyType::Ranges(_) | KeyType::Ports | KeyType::Other => None,
        }
    }
}

fn read_name(octets: &[u8]) -> Option<String> {
    (octets.len() == NAME).then(|| text(octets))
}

/// The ranges between beginnings and ends, each by its octets. An end without a beginning says nothing.
fn between(mut elements: Vec<Element>, last_of_all: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    elements.sort();
    let mut ranges = Vec::new();
    let mut begun: Option<Vec<u8>> = None;
    for element in elements {
        if let Some(last) = before(&element.key) {
            ranges.extend(begun.take().map(|first| (first, last)));
        }
        begun = element.begins.then_some(element.key);
    }
    ranges.extend(begun.map(|first| (first, last_of_all.to_vec())));
    ranges
}

/// The value before, unless this is the first of all.
fn before(octets: &[u8]) -> Option<Vec<u8>> {
    let mut octets = octets.to_vec();
    for octet in octets.iter_mut().rev() {
        let borrows = *octet == 0;
        *octet = octet.wrapping_sub(1);
        if !borrows {
            return Some(octets);
        }
    }
    None
}

/// The keys of an interval set.
pub(super) fn ranges(key: KeyType, elements: Vec<Element>) -> Option<Vec<Key>> {
    let read_address = |octets: &[u8]| -> Option<IpAddr> { address(octets) };
    match key {
        KeyType::Ranges(family) => {
            let last = octets(Prefix::default_route(family).last());
            let range = |(first, last): (Vec<u8>, Vec<u8>)| {
                Some(Key::Range(Range { first: read_address(&first)?, last: read_address(&last)? }))
            };
            between(elements, &last).into_iter().map(range).collect()
        }
        KeyType::Ports => {
            let port = |octets: Vec<u8>| octets.as_slice().try_into().ok().map(u16::from_be_bytes);
            let range = |(first, last)| Some(Key::Ports(port(first)?, port(last)?));
            between(elements, &[0xff; 2]).into_iter().map(range).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(key: [u8; 4], begins: bool) -> Element {
        Element { key: key.into(), begins, verdict: None }
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
        let keys = ranges(KeyType::Ranges(Family::Ipv4), elements).unwrap();
        let texts: Vec<String> = keys.iter().map(Key::to_string).collect();
        assert_eq!(texts, ["10.0.0.0-10.0.255.255", "10.1.0.0-10.1.255.255", "240.0.0.0-255.255.255.255"]);
    }

    proptest::proptest! {
        #[test]
        fn no_elements_make_the_reading_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..128)) {
            for family in Family::ALL {
                for kind in [KeyType::Address, KeyType::Socket, KeyType::InterfaceAddress, KeyType::Pair] {
                    _ = Element { key: bytes.clone(), begins: true, verdict: None }.key(kind(family));
                }
                let element = Element { key: bytes.clone(), begins: false, verdict: None };
                _ = ranges(KeyType::Ranges(family), vec![element.clone(), element]);
            }
            _ = Element::read(&bytes).and_then(|element| element.mapped(MapKey::Interface));
        }
    }
}
