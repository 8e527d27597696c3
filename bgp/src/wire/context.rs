//! What the two OPEN messages agreed on, as far as the codec needs to know it.

use std::fmt;
use std::net::IpAddr;

use model::{Asn, Family};
use smallvec::SmallVec;

/// A set of address families, one octet large.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FamilySet(u8);

impl FamilySet {
    /// No family.
    pub const NONE: FamilySet = FamilySet(0);
    /// IPv4 and IPv6 unicast.
    pub const ALL: FamilySet = FamilySet(3);

    const fn bit(family: Family) -> u8 {
        match family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        }
    }
    /// The set of this one family.
    pub const fn of(family: Family) -> FamilySet {
        FamilySet(FamilySet::bit(family))
    }
    /// Whether the family is in the set.
    pub const fn contains(self, family: Family) -> bool {
        self.0 & FamilySet::bit(family) != 0
    }
    /// This set and the family.
    pub const fn with(self, family: Family) -> FamilySet {
        FamilySet(self.0 | FamilySet::bit(family))
    }
    /// What is in both sets.
    pub const fn and(self, other: FamilySet) -> FamilySet {
        FamilySet(self.0 & other.0)
    }
    /// Whether the set holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The families in AFI order.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |&f| self.contains(f))
    }
}

impl FromIterator<Family> for FamilySet {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> FamilySet {
        families.into_iter().fold(FamilySet::NONE, FamilySet::with)
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// On which side of our autonomous system's border the peer is (RFC 4271 §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// In another autonomous system (eBGP).
    External,
    /// In our own autonomous system (iBGP).
    Internal,
}

/// How many octets an AS number takes in AS_PATH and AGGREGATOR (RFC 6793).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsWidth {
    /// One of the two did not announce the 4-octet AS capability.
    Two,
    /// Both announced it.
    Four,
}

impl AsWidth {
    /// Octets per AS number.
    pub const fn octets(self) -> usize {
        match self {
            AsWidth::Two => 2,
            AsWidth::Four => 4,
        }
    }
}

/// Whether an external peer's AS_PATH must begin with its own AS (RFC 4271 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FirstAs {
    /// A path that begins otherwise is treated as withdrawn.
    Enforce,
    /// Any first AS is taken: for a route server's clients (RFC 7947 §2.2.2.1).
    Any,
}

/// What decoding needs to know of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// External or internal.
    pub kind: PeerKind,
    /// The peer's AS, as its OPEN said.
    pub peer_as: Asn,
    /// Octets per AS number in AS_PATH and AGGREGATOR.
    pub as_width: AsWidth,
    /// Families both announced (RFC 4760); all else is ignored.
    pub families: FamilySet,
    /// Families in which the peer's prefixes carry a path identifier (RFC 7911).
    pub add_path: FamilySet,
    /// Families whose prefixes may come with an IPv6 next hop (RFC 8950); IPv6 itself needs no entry.
    pub extended_next_hop: FamilySet,
    /// Longest message of the peer in octets, header included: [`super::MAX_MESSAGE`], or
    /// [`super::MAX_EXTENDED_MESSAGE`] once both sides have announced it (RFC 8654 §4).
    pub max_message: usize,
    /// The check of an external peer's first AS.
    pub first_as: FirstAs,
    /// Our own addresses: a next hop among them is refused (RFC 4271 §6.3).
    pub own_addresses: SmallVec<[IpAddr; 2]>,
}

impl Context {
    /// The context of a session in which both sides support 4-octet AS numbers and both families, and nothing else.
    pub fn new(kind: PeerKind, peer_as: Asn) -> Context {
        Context {
            kind,
            peer_as,
            as_width: AsWidth::Four,
            families: FamilySet::ALL,
            add_path: FamilySet::NONE,
            extended_next_hop: FamilySet::NONE,
            max_message: super::MAX_MESSAGE,
            first_as: FirstAs::Enforce,
            own_addresses: SmallVec::new(),
        }
    }
}

/// What encoding needs to know of the session. Two peers with equal values get equal octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transmit {
    /// Octets per AS number in AS_PATH and AGGREGATOR; with two, AS4_PATH and AS4_AGGREGATOR are added where needed.
    pub as_width: AsWidth,
    /// Families in which our prefixes carry a path identifier (RFC 7911).
    pub add_path: FamilySet,
    /// Longest message in octets, header included: [`super::MAX_MESSAGE`], or [`super::MAX_EXTENDED_MESSAGE`] (RFC 8654).
    pub max_message: usize,
}

impl Transmit {
    /// 4-octet AS numbers, no path identifiers, 4096 octets.
    pub const PLAIN: Transmit =
        Transmit { as_width: AsWidth::Four, add_path: FamilySet::NONE, max_message: super::MAX_MESSAGE };
}
