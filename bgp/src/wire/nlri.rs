//! Network layer reachability information: prefixes as they lie in a message, with or without path identifiers.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use model::{Family, Prefix};

use super::reader::{Reader, Short};

/// An IPv4 prefix in eight octets. Bits beyond the length are 0 when it came from [`Prefix4::new`] or the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix4 {
    bits: u32,
    length: u8,
}

/// An IPv6 prefix. Bits beyond the length are 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix6 {
    high: u64,
    low: u64,
    length: u8,
}

impl Prefix4 {
    /// The prefix of `length` bits (at most 32) that contains the address; further bits are cleared.
    #[inline]
    pub fn new(address: u32, length: u8) -> Option<Prefix4> {
        let mask = match length {
            0 => 0,
            1..=32 => u32::MAX << (32 - u32::from(length)),
            _ => return None,
        };
        Some(Prefix4 { bits: address & mask, length })
    }
    /// The address as a number, most significant octet first.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.bits
    }
    /// Leading bits that count, 0 to 32.
    #[inline]
    pub const fn length(self) -> u8 {
        self.length
    }
}

impl Prefix6 {
    /// The prefix of `length` bits (at most 128) that contains the address; further bits are cleared.
    #[inline]
    pub fn new(address: u128, length: u8) -> Option<Prefix6> {
        let mask = match length {
            0 => 0,
            1..=128 => u128::MAX << (128 - u32::from(length)),
            _ => return None,
        };
        let bits = address & mask;
        Some(Prefix6 { high: (bits >> 64) as u64, low: bits as u64, length })
    }
    /// The address as a number, most significant octet first.
    #[inline]
    pub const fn bits(self) -> u128 {
        ((self.high as u128) << 64) | self.low as u128
    }
    /// Leading bits that count, 0 to 128.
    #[inline]
    pub const fn length(self) -> u8 {
        self.length
    }
}

impl From<Prefix4> for Prefix {
    fn from(p: Prefix4) -> Prefix {
        let address = IpAddr::V4(Ipv4Addr::from_bits(p.bits));
        Prefix::masked(address, p.length).unwrap_or_else(|_| Prefix::host(address))
    }
}
impl From<Prefix6> for Prefix {
    fn from(p: Prefix6) -> Prefix {
        let address = IpAddr::V6(Ipv6Addr::from_bits(p.bits()));
        Prefix::masked(address, p.length).unwrap_or_else(|_| Prefix::host(address))
    }
}

/// A prefix is of the other family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not {1}")]
pub struct OtherFamily(pub Prefix, pub Family);

impl TryFrom<Prefix> for Prefix4 {
    type Error = OtherFamily;
    fn try_from(p: Prefix) -> Result<Prefix4, OtherFamily> {
        match p.address() {
            IpAddr::V4(a) => Ok(Prefix4 { bits: a.to_bits(), length: p.length() }),
            IpAddr::V6(_) => Err(OtherFamily(p, Family::Ipv4)),
        }
    }
}
impl TryFrom<Prefix> for Prefix6 {
    type Error = OtherFamily;
    fn try_from(p: Prefix) -> Result<Prefix6, OtherFamily> {
        match p.address() {
            IpAddr::V6(a) => {
                let bits = a.to_bits();
                Ok(Prefix6 { high: (bits >> 64) as u64, low: bits as u64, length: p.length() })
            }
            IpAddr::V4(_) => Err(OtherFamily(p, Family::Ipv6)),
        }
    }
}

impl fmt::Display for Prefix4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.bits), self.length)
    }
}
impl fmt::Display for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv6Addr::from_bits(self.bits()), self.length)
    }
}
impl fmt::Debug for Prefix4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A prefix as a message carries it: one octet of length in bits, then as many octets as those bits need (RFC 4271 §4.3).
pub trait WirePrefix: Copy {
    /// The family that this prefix belongs to.
    fn family(self) -> Family;
    /// Leading bits that count.
    fn bit_length(self) -> u8;
    /// Appends length and address to `out`.
    fn put(self, out: &mut Vec<u8>);
}

/// Octets that so many bits need.
#[inline]
pub(crate) fn octets(bits: u8) -> usize {
    usize::from(bits).div_ceil(8)
}

impl WirePrefix for Prefix4 {
    #[inline]
    fn family(self) -> Family {
        Family::Ipv4
    }
    #[inline]
    fn bit_length(self) -> u8 {
        self.length
    }
    #[inline]
    fn put(self, out: &mut Vec<u8>) {
        out.push(self.length);
        out.extend(self.bits.to_be_bytes().iter().take(octets(self.length)));
    }
}
impl WirePrefix for Prefix6 {
    #[inline]
    fn family(self) -> Family {
        Family::Ipv6
    }
    #[inline]
    fn bit_length(self) -> u8 {
        self.length
    }
    #[inline]
    fn put(self, out: &mut Vec<u8>) {
        out.push(self.length);
        out.extend(self.bits().to_be_bytes().iter().take(octets(self.length)));
    }
}
impl WirePrefix for Prefix {
    fn family(self) -> Family {
        Prefix::family(&self)
    }
    fn bit_length(self) -> u8 {
        self.length()
    }
    fn put(self, out: &mut Vec<u8>) {
        out.push(self.length());
        match self.address() {
            IpAddr::V4(a) => out.extend(a.octets().iter().take(octets(self.length()))),
            IpAddr::V6(a) => out.extend(a.octets().iter().take(octets(self.length()))),
        }
    }
}

/// A prefix with its path identifier (RFC 7911); the identifier is 0 where none is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nlri<P = Prefix> {
    /// The prefix.
    pub prefix: P,
    /// Which of several paths to the prefix. 0 in a session without ADD-PATH.
    pub path_id: u32,
}

impl<P> Nlri<P> {
    /// A prefix without a path identifier.
    pub const fn plain(prefix: P) -> Nlri<P> {
        Nlri { prefix, path_id: 0 }
    }
}

impl<P: fmt::Display> fmt::Display for Nlri<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path_id {
            0 => write!(f, "{}", self.prefix),
            id => write!(f, "{} (path {id})", self.prefix),
        }
    }
}

/// Whether each prefix of a block is preceded by a path identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PathIds {
    Absent,
    Present,
}

/// Why a block of prefixes is not one (RFC 7606 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NlriError {
    /// A length above the family's bits.
    #[error("prefix length {0} is too long for {1}")]
    Length(u8, Family),
    /// The block ends within a prefix.
    #[error("the last prefix is cut off")]
    Truncated,
}

/// Prefixes of one family, still as they came: checked once, read again at no cost in memory.
///
/// It keeps the message's octets alive; take what is needed and let it go.
#[derive(Clone)]
pub struct NlriBlock {
    family: Family,
    path_ids: PathIds,
    count: u32,
    octets: Bytes,
}

impl NlriBlock {
    /// Checks the whole block.
    pub(crate) fn new(family: Family, path_ids: PathIds, octets: Bytes) -> Result<NlriBlock, NlriError> {
        let mut reader = Reader::new(&octets);
        let mut count = 0;
        while !reader.is_empty() {
            if path_ids == PathIds::Present {
                reader.u32().map_err(|Short| NlriError::Truncated)?;
            }
            let length = reader.u8().map_err(|Short| NlriError::Truncated)?;
            if length > family.bits() {
                return Err(NlriError::Length(length, family));
            }
            reader.take(self::octets(length)).map_err(|Short| NlriError::Truncated)?;
            count += 1;
        }
        Ok(NlriBlock { family, path_ids, count, octets })
    }

    /// The family of all prefixes.
    pub fn family(&self) -> Family {
        self.family
    }
    /// How many prefixes.
    pub fn len(&self) -> usize {
        self.count as usize
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// The prefixes in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = Nlri> {
        let v4 = self.ipv4().map(|n| Nlri { prefix: n.prefix.into(), path_id: n.path_id });
        let v6 = self.ipv6().map(|n| Nlri { prefix: n.prefix.into(), path_id: n.path_id });
        v4.chain(v6)
    }
    /// The prefixes if the family is IPv4, else nothing.
    #[inline]
    pub fn ipv4(&self) -> Prefixes<'_, Prefix4> {
        self.prefixes(Family::Ipv4)
    }
    /// The prefixes if the family is IPv6, else nothing.
    #[inline]
    pub fn ipv6(&self) -> Prefixes<'_, Prefix6> {
        self.prefixes(Family::Ipv6)
    }

    fn prefixes<P>(&self, family: Family) -> Prefixes<'_, P> {
        let octets: &[u8] = if family == self.family { &self.octets } else { &[] };
        Prefixes { reader: Reader::new(octets), path_ids: self.path_ids, kind: PhantomData }
    }
}

impl fmt::Debug for NlriBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|n| n.to_string())).finish()
    }
}

/// The prefixes of a block, of one family.
#[derive(Debug, Clone)]
pub struct Prefixes<'a, P> {
    reader: Reader<'a>,
    path_ids: PathIds,
    kind: PhantomData<P>,
}

impl<'a, P> Prefixes<'a, P> {
    /// Path identifier, length, and the address octets that are carried.
    #[inline]
    fn step(&mut self) -> Result<(u32, u8, &'a [u8]), Short> {
        let path_id = match self.path_ids {
            PathIds::Absent => 0,
            PathIds::Present => self.reader.u32()?,
        };
        let length = self.reader.u8()?;
        Ok((path_id, length, self.reader.take(octets(length))?))
    }
}

/// The octets, followed by zeros.
#[inline]
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    for (to, from) in all.iter_mut().zip(octets) {
        *to = *from;
    }
    all
}

impl Iterator for Prefixes<'_, Prefix4> {
    type Item = Nlri<Prefix4>;
    #[inline]
    fn next(&mut self) -> Option<Nlri<Prefix4>> {
        let (path_id, length, octets) = self.step().ok()?;
        Some(Nlri { prefix: Prefix4::new(u32::from_be_bytes(padded(octets)), length)?, path_id })
    }
}
impl Iterator for Prefixes<'_, Prefix6> {
    type Item = Nlri<Prefix6>;
    #[inline]
    fn next(&mut self) -> Option<Nlri<Prefix6>> {
        let (path_id, length, octets) = self.step().ok()?;
        Some(Nlri { prefix: Prefix6::new(u128::from_be_bytes(padded(octets)), length)?, path_id })
    }
}
