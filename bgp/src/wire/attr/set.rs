//! The attributes of a route: what selection reads as fields, the rest as it came, in two pieces of memory.

use std::fmt;
use std::net::Ipv4Addr;

use model::{Asn, ClusterId, RouterId};

use super::super::reader::Reader;
use super::community::{Community, ExtendedCommunity, LargeCommunity};
use super::values::{self, Value};
use super::{AsPath, Draft, NextHop, code, table};

/// ORIGIN. Ordered: the lower is preferred (RFC 4271 §9.1.2.2 b).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// 0
    Igp,
    /// 1
    Egp,
    /// 2
    Incomplete,
}

impl Origin {
    pub(crate) const fn from_value(value: u8) -> Option<Origin> {
        match value {
            0 => Some(Origin::Igp),
            1 => Some(Origin::Egp),
            2 => Some(Origin::Incomplete),
            _ => None,
        }
    }
    pub(crate) const fn value(self) -> u8 {
        match self {
            Origin::Igp => 0,
            Origin::Egp => 1,
            Origin::Incomplete => 2,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Igp => "igp",
            Origin::Egp => "egp",
            Origin::Incomplete => "incomplete",
        })
    }
}

/// AGGREGATOR: who formed an aggregate (RFC 4271 §5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// The AS.
    pub asn: Asn,
    /// The BGP identifier, or another address of the speaker.
    pub address: Ipv4Addr,
}

/// An attribute as it came, or as it is to go out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// Type code.
    pub code: u8,
    /// Optional, Transitive and Partial bits.
    pub flags: u8,
    /// The value.
    pub value: &'a [u8],
}

/// The attributes of a route, equal and hashed by content: made to be shared behind an `Arc`.
///
/// What is here was checked; a mandatory attribute is there. Change one by [`Attributes::edit`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub next_hop: NextHop,
    /// ORIGIN.
    pub origin: Origin,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF. From an internal peer always there: one that sends none means 100, as BIRD and FRR have it.
    pub local_pref: Option<u32>,
    path_length: u32,
    neighbor: Option<Asn>,
    store: Box<[u8]>,
}

impl Attributes {
    /// An empty path and nothing optional: a route of our own.
    pub fn new(origin: Origin, next_hop: NextHop) -> Attributes {
        Attributes::of_parts(origin, next_hop, None, None, Box::default())
    }

    pub(super) fn of_parts(
        origin: Origin,
        next_hop: NextHop,
        med: Option<u32>,
        local_pref: Option<u32>,
        store: Box<[u8]>,
    ) -> Attributes {
        let path = path_in(&store);
        let (path_length, neighbor) = (path.length(), path.first());
        Attributes { next_hop, origin, med, local_pref, path_length, neighbor, store }
    }

    pub(super) fn store(&self) -> &[u8] {
        &self.store
    }

    /// A copy to change.
    pub fn edit(&self) -> Draft {
        Draft::from(self)
    }

    /// AS_PATH.
    pub fn as_path(&self) -> AsPath<'_> {
        path_in(&self.store)
    }
    /// Length of AS_PATH as it counts in route selection, worked out beforehand.
    pub fn path_length(&self) -> u32 {
        self.path_length
    }
    /// The neighbouring AS: the first of AS_PATH, worked out beforehand. Nothing for a route from within the AS.
    pub fn neighbor_as(&self) -> Option<Asn> {
        self.neighbor
    }
    /// Whether ATOMIC_AGGREGATE is there.
    pub fn is_atomic_aggregate(&self) -> bool {
        self.octets(code::ATOMIC_AGGREGATE).is_some()
    }
    /// AGGREGATOR.
    pub fn aggregator(&self) -> Option<Aggregator> {
        let (asn, address) = self.octets(code::AGGREGATOR)?.split_first_chunk::<4>()?;
        let address = address.first_chunk::<4>()?;
        Some(Aggregator { asn: Asn::new(u32::from_be_bytes(*asn))?, address: Ipv4Addr::from(*address) })
    }
    /// ORIGINATOR_ID (RFC 4456).
    pub fn originator_id(&self) -> Option<RouterId> {
        RouterId::new(u32::from_be_bytes(*self.octets(code::ORIGINATOR_ID)?.first_chunk::<4>()?))
    }
    /// CLUSTER_LIST (RFC 4456), latest first.
    pub fn cluster_list(&self) -> impl Iterator<Item = ClusterId> {
        self.chunks::<4>(code::CLUSTER_LIST).map(|c| ClusterId(u32::from_be_bytes(*c)))
    }
    /// COMMUNITIES (RFC 1997), in the order they came.
    pub fn communities(&self) -> impl Iterator<Item = Community> {
        self.chunks::<4>(code::COMMUNITIES).map(|c| Community(u32::from_be_bytes(*c)))
    }
    /// Whether the community is among COMMUNITIES.
    pub fn has_community(&self, community: Community) -> bool {
        self.communities().any(|c| c == community)
    }
    /// EXTENDED COMMUNITIES (RFC 4360), in the order they came.
    pub fn extended_communities(&self) -> impl Iterator<Item = ExtendedCommunity> {
        self.chunks::<8>(code::EXTENDED_COMMUNITIES).map(|c| ExtendedCommunity(*c))
    }
    /// LARGE_COMMUNITY (RFC 8092), in the order they came.
    pub fn large_communities(&self) -> impl Iterator<Item = LargeCommunity> {
        self.chunks::<12>(code::LARGE_COMMUNITIES).map(LargeCommunity::from_octets)
    }
    /// Whether OTC is there, whatever AS it names (RFC 9234 §5).
    pub fn has_only_to_customer(&self) -> bool {
        self.octets(code::ONLY_TO_CUSTOMER).is_some()
    }
    /// OTC (RFC 9234 §5); nothing also where it says AS 0.
    pub fn only_to_customer(&self) -> Option<Asn> {
        Asn::new(u32::from_be_bytes(*self.octets(code::ONLY_TO_CUSTOMER)?.first_chunk::<4>()?))
    }
    /// Attributes that we pass on without knowing them.
    pub fn unknown(&self) -> impl Iterator<Item = RawAttribute<'_>> {
        let all = values::iter(&self.store).filter(|v| table::row(v.code).is_none());
        all.map(|v| RawAttribute { code: v.code, flags: v.flags, value: v.octets })
    }
    /// Octets that this set takes in memory, allocations included.
    pub fn memory(&self) -> usize {
        size_of::<Attributes>() + self.store.len()
    }

    pub(super) fn octets(&self, code: u8) -> Option<&[u8]> {
        values::find(&self.store, code).map(|v| v.octets)
    }
    fn chunks<const N: usize>(&self, code: u8) -> std::slice::Iter<'_, [u8; N]> {
        self.octets(code).unwrap_or_default().as_chunks::<N>().0.iter()
    }
}

fn path_in(store: &[u8]) -> AsPath<'_> {
    AsPath::trusted(values::find(store, code::AS_PATH).map_or(&[], |v| v.octets))
}

impl LargeCommunity {
    fn from_octets(octets: &[u8; 12]) -> LargeCommunity {
        let mut reader = Reader::new(octets);
        let mut part = || reader.u32().unwrap_or_default(); // three parts are there
        LargeCommunity { global: part(), first: part(), second: part() }
    }
}

impl<'a> From<Value<'a>> for RawAttribute<'a> {
    fn from(v: Value<'a>) -> RawAttribute<'a> {
        RawAttribute { code: v.code, flags: v.flags, value: v.octets }
    }
}

impl fmt::Debug for RawAttribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:02x}:", self.code, self.flags)?;
        self.value.iter().take(64).try_for_each(|octet| write!(f, "{octet:02x}"))?;
        f.write_str(if self.value.len() > 64 { "…" } else { "" })
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "next hop {}, path [{}], origin {}", self.next_hop, self.as_path(), self.origin)?;
        if let Some(n) = self.local_pref {
            write!(f, ", local pref {n}")?;
        }
        if let Some(n) = self.med {
            write!(f, ", med {n}")?;
        }
        if self.is_atomic_aggregate() {
            f.write_str(", atomic aggregate")?;
        }
        if let Some(a) = self.aggregator() {
            write!(f, ", aggregator {} {}", a.asn, a.address)?;
        }
        if let Some(id) = self.originator_id() {
            write!(f, ", originator {id}")?;
        }
        list(f, "clusters", self.cluster_list())?;
        list(f, "communities", self.communities())?;
        list(f, "extended", self.extended_communities())?;
        list(f, "large", self.large_communities())?;
        if let Some(asn) = self.only_to_customer() {
            write!(f, ", only to customer {asn}")?;
        }
        self.unknown().try_for_each(|raw| write!(f, ", attribute {raw:?}"))
    }
}

/// `, name a b c`, or nothing for nothing.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, all: impl Iterator<Item = T>) -> fmt::Result {
    let mut all = all.peekable();
    if all.peek().is_some() {
        write!(f, ", {name}")?;
    }
    all.try_for_each(|one| write!(f, " {one}"))
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({self})")
    }
}
