//! What feeders announce: prefixes by number, and the messages that carry them, made before the clock starts.

use std::net::Ipv4Addr;
use std::ops::Range;

/// How a scenario's prefixes look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As in a table of the Internet: three in five a /24, paths of three to six, some six prefixes to one set of attributes.
    Internet,
    /// As nodes announce their pods: /26 blocks, one set of attributes for each feeder.
    Blocks,
}

impl Shape {
    const fn base(self) -> u32 {
        match self {
            Shape::Internet => 11 << 24,
            Shape::Blocks => u32::from_be_bytes([100, 64, 0, 0]),
        }
    }

    const fn shift(self) -> u32 {
        match self {
            Shape::Internet => 10,
            Shape::Blocks => 6,
        }
    }

    /// Prefix number `index`: address and length.
    fn prefix(self, index: u32) -> (u32, u8) {
        let address = self.base() + (index << self.shift());
        let length = match (self, index.wrapping_mul(2_654_435_761) >> 16 & 0xff) {
            (Shape::Blocks, _) => 26,
            (Shape::Internet, 0..154) => 24,
            (Shape::Internet, 154..192) => 23,
            (Shape::Internet, _) => 22,
        };
        (address, length)
    }

    /// The number of the prefix at an address, if it is one of the first `count`.
    pub(super) fn index(self, address: u32, count: usize) -> Option<usize> {
        let index = (address.checked_sub(self.base())? >> self.shift()) as usize;
        (index < count).then_some(index)
    }
}

/// How many prefixes share their attributes, in turns: six on average.
const GROUPS: [u32; 12] = [1, 4, 1, 12, 1, 2, 30, 3, 1, 9, 2, 6];
/// Room for prefixes in a message beside the header and the two lengths.
const ROOM: usize = 4096 - 19 - 4;

/// Who announces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feeder {
    pub address: Ipv4Addr,
    pub asn: u32,
    /// The AS of who is fed.
    pub peer_as: u32,
}

/// A message of this type.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend_from_slice(&((19 + body.len()) as u16).to_be_bytes());
    octets.push(kind);
    octets.extend_from_slice(body);
    octets
}

/// An OPEN with 4-octet AS numbers, IPv4 and route refresh.
pub(super) fn open(asn: u32, id: Ipv4Addr, hold: u16) -> Vec<u8> {
    let mut capabilities = vec![1, 4, 0, 1, 0, 1, 2, 0, 65, 4];
    capabilities.extend_from_slice(&asn.to_be_bytes());
    let mut body = vec![4];
    body.extend_from_slice(&u16::try_from(asn).unwrap_or(23456).to_be_bytes());
    body.extend_from_slice(&hold.to_be_bytes());
    body.extend_from_slice(&id.octets());
    let length = capabilities.len() as u8;
    body.extend_from_slice(&[length + 2, 2, length]);
    body.extend_from_slice(&capabilities);
    message(1, &body)
}

/// UPDATEs that announce a range of prefixes.
pub(super) fn announcements(shape: Shape, feeder: Feeder, range: Range<u32>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(range.len() * 20 + 64);
    let (mut next, mut set) = (range.start, range.start / 6);
    while next < range.end {
        let group = match shape {
            Shape::Internet => GROUPS[set as usize % GROUPS.len()],
            Shape::Blocks => range.end - next,
        };
        let attributes = attributes(feeder, set);
        let end = range.end.min(next + group);
        while next < end {
            let mut body = vec![0, 0];
            body.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
            body.extend_from_slice(&attributes);
            while next < end && body.len() < ROOM {
                put(&mut body, shape.prefix(next));
                next += 1;
            }
            octets.extend(message(2, &body));
        }
        set += 1;
    }
    octets
}

/// UPDATEs that withdraw a range of prefixes.
pub(super) fn withdrawals(shape: Shape, range: Range<u32>) -> Vec<u8> {
    let mut octets = Vec::with_capacity(range.len() * 4 + 64);
    let mut next = range.start;
    while next < range.end {
        let mut gone = Vec::with_capacity(ROOM);
        while next < range.end && gone.len() + 5 < ROOM {
            put(&mut gone, shape.prefix(next));
            next += 1;
        }
        let mut body = (gone.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(&gone);
        body.extend_from_slice(&[0, 0]);
        octets.extend(message(2, &body));
    }
    octets
}

fn put(octets: &mut Vec<u8>, (address, length): (u32, u8)) {
    octets.push(length);
    octets.extend_from_slice(&address.to_be_bytes()[..usize::from(length).div_ceil(8)]);
}

fn attributes(feeder: Feeder, set: u32) -> Vec<u8> {
    let mut octets = vec![0x40, 1, 1, if set.is_multiple_of(7) { 2 } else { 0 }];
    let internal = feeder.asn == feeder.peer_as;
    let mut path: Vec<u32> = if internal { vec![] } else { vec![feeder.asn] };
    path.extend([3000 + set % 50, 400_000 + set]);
    path.extend((0..set % 4).map(|hop| 200_000 + (set * 7 + hop * 131) % 70_000));
    octets.extend_from_slice(&[0x40, 2, (2 + path.len() * 4) as u8, 2, path.len() as u8]);
    path.iter().for_each(|asn| octets.extend_from_slice(&asn.to_be_bytes()));
    octets.extend_from_slice(&[0x40, 3, 4]);
    octets.extend_from_slice(&feeder.address.octets());
    if set.is_multiple_of(3) {
        octets.extend_from_slice(&[0x80, 4, 4]);
        octets.extend_from_slice(&(set % 200).to_be_bytes());
    }
    if internal {
        octets.extend_from_slice(&[0x40, 5, 4, 0, 0, 0, 100]);
    }
    let communities = set % 9;
    if communities > 0 {
        octets.extend_from_slice(&[0xc0, 8, (communities * 4) as u8]);
        let community = |number: u32| (3000 + set % 50) << 16 | (set % 97 + number * 100);
        (0..communities).for_each(|number| octets.extend_from_slice(&community(number).to_be_bytes()));
    }
    octets
}

/// Calls `each` with the address of every prefix in a list of them; what is cut off at the end is left.
pub(super) fn prefixes(mut octets: &[u8], mut each: impl FnMut(u32)) {
    while let [length, rest @ ..] = octets {
        let taken = usize::from(*length).div_ceil(8).min(4);
        let Some((prefix, after)) = rest.split_at_checked(taken) else { return };
        let mut address = [0; 4];
        address[..taken].copy_from_slice(prefix);
        each(u32::from_be_bytes(address));
        octets = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(octets: &[u8], shape: Shape, count: usize) -> (Vec<usize>, Vec<usize>) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        let mut rest = octets;
        while rest.len() >= 19 {
            let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
            assert!(length <= 4096, "a message of {length} octets");
            let body = &rest[19..length];
            let withdrawn = usize::from(u16::from_be_bytes([body[0], body[1]]));
            prefixes(&body[2..2 + withdrawn], |address| gone.extend(shape.index(address, count)));
            let after = &body[2 + withdrawn..];
            let attributes = usize::from(u16::from_be_bytes([after[0], after[1]]));
            prefixes(&after[2 + attributes..], |address| new.extend(shape.index(address, count)));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        (new, gone)
    }

    #[test]
    fn every_prefix_is_announced_once_and_withdrawn_once() {
        let feeder = Feeder { address: Ipv4Addr::new(10, 99, 0, 2), asn: 65001, peer_as: 65000 };
        for (shape, count) in [(Shape::Internet, 20_000), (Shape::Blocks, 5_000)] {
            let all: Vec<usize> = (0..count as usize).collect();
            assert_eq!(told(&announcements(shape, feeder, 0..count), shape, count as usize), (all.clone(), vec![]));
            assert_eq!(told(&withdrawals(shape, 0..count), shape, count as usize), (vec![], all));
        }
    }
}
