//! A set of attributes in the making: what a filter, a reflector or the export to a peer changes.

use model::{Asn, ClusterId, RouterId};

use super::values::{self, Value};
use super::{
    Aggregator, Attributes, Community, ExtendedCommunity, LargeCommunity, NextHop, Origin, as_path, code, flag, table,
};

/// Attributes to change; [`Draft::build`] makes them a set again.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where to send packets.
    pub next_hop: NextHop,
    /// ORIGIN.
    pub origin: Origin,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    store: Vec<u8>,
}

impl From<&Attributes> for Draft {
    fn from(a: &Attributes) -> Draft {
        Draft {
            next_hop: a.next_hop,
            origin: a.origin,
            med: a.med,
            local_pref: a.local_pref,
            store: a.store().to_vec(),
        }
    }
}

impl Draft {
    /// The set.
    pub fn build(self) -> Attributes {
        Attributes::of_parts(self.origin, self.next_hop, self.med, self.local_pref, self.store.into_boxed_slice())
    }

    /// Puts the AS in front of AS_PATH, `count` times (RFC 4271 §5.1.2).
    pub fn prepend(&mut self, asn: Asn, count: usize) -> &mut Draft {
        let octets = values::find(&self.store, code::AS_PATH).map_or(&[][..], |v| v.octets);
        let path = super::AsPath::trusted(octets).prepended(asn, count);
        self.set(code::AS_PATH, &path)
    }
    /// Replaces AS_PATH by one sequence of these numbers, latest first.
    pub fn set_as_path(&mut self, asns: &[Asn]) -> &mut Draft {
        self.set(code::AS_PATH, &as_path::sequence(asns))
    }
    /// Replaces COMMUNITIES; none takes the attribute away.
    pub fn set_communities(&mut self, all: impl IntoIterator<Item = Community>) -> &mut Draft {
        self.set_list(code::COMMUNITIES, all.into_iter().map(|c| c.0.to_be_bytes()))
    }
    /// Adds a community unless it is there.
    pub fn add_community(&mut self, community: Community) -> &mut Draft {
        let mut octets = values::find(&self.store, code::COMMUNITIES).map_or(&[][..], |v| v.octets).to_vec();
        let added = community.0.to_be_bytes();
        if octets.as_chunks::<4>().0.contains(&added) {
            return self;
        }
        octets.extend_from_slice(&added);
        self.set(code::COMMUNITIES, &octets)
    }
    /// Replaces LARGE_COMMUNITY; none takes the attribute away.
    pub fn set_large_communities(&mut self, all: impl IntoIterator<Item = LargeCommunity>) -> &mut Draft {
        let numbers = all.into_iter().flat_map(|c| [c.global, c.first, c.second]);
        self.set_list(code::LARGE_COMMUNITIES, numbers.map(u32::to_be_bytes))
    }
    /// Replaces EXTENDED COMMUNITIES; none takes the attribute away.
    pub fn set_extended_communities(&mut self, all: impl IntoIterator<Item = ExtendedCommunity>) -> &mut Draft {
        self.set_list(code::EXTENDED_COMMUNITIES, all.into_iter().map(|c| c.0))
    }
    /// Replaces AGGREGATOR.
    pub fn set_aggregator(&mut self, aggregator: Aggregator) -> &mut Draft {
        let mut value = aggregator.asn.value().to_be_bytes().to_vec();
        value.extend_from_slice(&aggregator.address.octets());
        self.set(code::AGGREGATOR, &value)
    }
    /// Says that more specific parts of the path were left out (RFC 4271 §5.1.6).
    pub fn set_atomic_aggregate(&mut self) -> &mut Draft {
        self.set(code::ATOMIC_AGGREGATE, &[])
    }
    /// Replaces ORIGINATOR_ID (RFC 4456 §8).
    pub fn set_originator_id(&mut self, id: RouterId) -> &mut Draft {
        self.set(code::ORIGINATOR_ID, &id.bits().to_be_bytes())
    }
    /// Puts a cluster in front of CLUSTER_LIST (RFC 4456 §8).
    pub fn prepend_cluster(&mut self, id: ClusterId) -> &mut Draft {
        let mut list = id.0.to_be_bytes().to_vec();
        list.extend_from_slice(values::find(&self.store, code::CLUSTER_LIST).map_or(&[], |v| v.octets));
        self.set(code::CLUSTER_LIST, &list)
    }
    /// Replaces OTC (RFC 9234 §5).
    pub fn set_only_to_customer(&mut self, asn: Asn) -> &mut Draft {
        self.set(code::ONLY_TO_CUSTOMER, &asn.value().to_be_bytes())
    }
    /// Takes away what must not cross the border of an AS: LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST, non-transitive extended
    /// communities, and MED, which means something only to the neighbour it was made for (RFC 4271 §5.1.4, §5.1.5,
    /// RFC 4360 §6, RFC 4456 §8).
    pub fn leave_as(&mut self) -> &mut Draft {
        self.local_pref = None;
        self.med = None;
        let octets = values::find(&self.store, code::EXTENDED_COMMUNITIES).map_or(&[][..], |v| v.octets);
        let all: Vec<_> = octets.as_chunks::<8>().0.iter().map(|c| ExtendedCommunity(*c)).collect();
        if !all.iter().all(|c| c.is_transitive()) {
            self.set_extended_communities(all.into_iter().filter(|c| c.is_transitive()));
        }
        self.remove(code::ORIGINATOR_ID).remove(code::CLUSTER_LIST)
    }
    /// Takes an attribute of the stored kind away: none of ORIGIN, NEXT_HOP, MULTI_EXIT_DISC, LOCAL_PREF, which are fields.
    pub fn remove(&mut self, code: u8) -> &mut Draft {
        values::remove(&mut self.store, code);
        self
    }
    /// Adds or replaces an attribute that margay does not know. One that it knows has a setter, and is left as it is.
    pub fn set_unknown(&mut self, code: u8, flags: u8, value: &[u8]) -> &mut Draft {
        if table::row(code).is_none() {
            let flags = flags & (flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL);
            values::set(&mut self.store, Value { code, flags, octets: value });
        }
        self
    }

    fn set(&mut self, code: u8, octets: &[u8]) -> &mut Draft {
        let flags = table::row(code).map_or(flag::OPTIONAL | flag::TRANSITIVE, |row| row.flags);
        values::set(&mut self.store, Value { code, flags, octets });
        self
    }
    fn set_list<const N: usize>(&mut self, code: u8, all: impl Iterator<Item = [u8; N]>) -> &mut Draft {
        let octets: Vec<u8> = all.flatten().collect();
        if octets.is_empty() { self.remove(code) } else { self.set(code, &octets) }
    }
}
