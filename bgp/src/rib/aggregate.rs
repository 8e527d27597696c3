//! Aggregates (RFC 4271 §9.2.2.2): announced while something more specific is in the table.
//!
//! Their AS_PATH is empty, as no AS_SET may be made any more (RFC 9774 §3): ATOMIC_AGGREGATE says where that leaves an AS out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::{Asn, Prefix, RouterId};

use super::shared::{RouteAttrs, Shared};
use super::table::DestId;
use super::unicast::{RibPrefix, Unicast};
use crate::config::{Aggregate, Specifics};
use crate::wire::attr::Aggregator;
use crate::wire::{Attributes, Community, LargeCommunity, NextHop, Origin};

/// What a contributor brings in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contribution {
    origin: Origin,
    /// Whether an AS that it came through is left out of the aggregate's path, or was left out of its own.
    atomic: bool,
}

impl Contribution {
    pub(crate) fn of(attributes: &Attributes) -> Contribution {
        let atomic = attributes.is_atomic_aggregate() || !attributes.as_path().is_empty();
        Contribution { origin: attributes.origin, atomic }
    }
}

/// One aggregate and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Formed {
    pub prefix: Prefix,
    how: Aggregate,
    contributors: BTreeMap<DestId, Contribution>,
    /// What was last announced.
    said: Option<Contribution>,
}

/// What is to be done about an aggregate.
#[derive(Debug)]
pub(crate) enum Step {
    Announce(Prefix, Attributes),
    Withdraw(Prefix),
}

impl Formed {
    pub(crate) fn new(prefix: Prefix, how: Aggregate) -> Formed {
        Formed { prefix, how, contributors: BTreeMap::new(), said: None }
    }

    /// Whether a prefix is inside, and not the same.
    fn takes(&self, prefix: &Prefix) -> bool {
        prefix.length() > self.prefix.length() && self.prefix.covers(prefix)
    }

    /// Takes in what is best for a prefix now.
    pub(crate) fn note(&mut self, id: DestId, prefix: &Prefix, best: Option<Contribution>) {
        match best {
            Some(best) if self.takes(prefix) => drop(self.contributors.insert(id, best)),
            _ => drop(self.contributors.remove(&id)),
        }
    }

    /// How many contributors it has, while it is announced.
    pub(crate) fn contributors(&self) -> usize {
        self.contributors.len()
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.said.is_some()
    }

    /// Whether external peers are told of it instead of what is inside.
    pub(crate) fn hides(&self, prefix: &Prefix) -> bool {
        self.is_announced() && self.how.specifics == Specifics::Suppressed && self.takes(prefix)
    }

    /// Destinations whose telling hangs on whether it is announced.
    pub(crate) fn hidden(&self) -> Vec<DestId> {
        match self.how.specifics {
            Specifics::Told => Vec::new(),
            Specifics::Suppressed => self.contributors.keys().copied().collect(),
        }
    }

    /// What has to be said that was not.
    pub(crate) fn step(&mut self, asn: Asn, id: RouterId) -> Option<Step> {
        // §9.2.2.2: the worst ORIGIN, and ATOMIC_AGGREGATE if any has it or loses a part of its path.
        let all = self.contributors.values().copied();
        let now = all.reduce(|a, b| Contribution { origin: a.origin.max(b.origin), atomic: a.atomic || b.atomic });
        if now == self.said {
            return None;
        }
        self.said = now;
        Some(match now {
            Some(said) => Step::Announce(self.prefix, self.attributes(said, asn, id)),
            None => Step::Withdraw(self.prefix),
        })
    }

    fn attributes(&self, said: Contribution, asn: Asn, id: RouterId) -> Attributes {
        let unspecified = Prefix::default_route(self.prefix.family()).address();
        let mut draft = Attributes::new(said.origin, NextHop::from(unspecified)).edit();
        draft.set_aggregator(Aggregator { asn, address: Ipv4Addr::from_bits(id.bits()) });
        if said.atomic {
            draft.set_atomic_aggregate();
        }
        draft.set_communities(self.how.communities.iter().map(|community| Community(*community)));
        let large = self.how.large_communities.iter();
        draft.set_large_communities(large.map(|&[global, first, second]| LargeCommunity { global, first, second }));
        draft.build()
    }
}

impl<P: RibPrefix> Unicast<P> {
    /// Other aggregates from now on; all destinations are to be looked at for them.
    pub(crate) fn aggregate(&mut self, shared: &mut Shared, aggregates: Vec<Formed>) {
        for old in std::mem::replace(&mut self.aggregates, aggregates).into_iter().filter(Formed::is_announced) {
            if let Ok(prefix) = P::try_from(old.prefix) {
                self.cease(shared, prefix);
            }
        }
        self.touch_all();
    }

    /// Announces aggregates that have their first contributor, or others than before, and withdraws empty ones.
    pub(super) fn form_aggregates(&mut self, shared: &mut Shared) {
        for place in 0..self.aggregates.len() {
            let Some(formed) = self.aggregates.get_mut(place) else { continue };
            let before = formed.is_announced();
            let Some(step) = formed.step(shared.local_as, shared.router_id) else { continue };
            let hidden = if before == formed.is_announced() { Vec::new() } else { formed.hidden() };
            hidden.into_iter().for_each(|id| self.table.touch(id));
            match step {
                Step::Announce(prefix, attributes) => {
                    let Ok(prefix) = P::try_from(prefix) else { continue };
                    let attrs = shared.attrs.intern(RouteAttrs::new(Arc::new(attributes)));
                    self.originate(shared, prefix, attrs);
                    shared.attrs.release(attrs);
                }
                Step::Withdraw(prefix) => {
                    if let Ok(prefix) = P::try_from(prefix) {
                        self.cease(shared, prefix);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn contribution(origin: Origin, path: &[u32]) -> Contribution {
        let mut draft = Attributes::new(origin, NextHop::from(IpAddr::from([10, 0, 0, 9]))).edit();
        draft.set_as_path(&path.iter().map(|n| Asn::new(*n).unwrap()).collect::<Vec<_>>());
        Contribution::of(&draft.build())
    }

    fn announced(contributions: &[Contribution]) -> Attributes {
        let mut formed = Formed::new("10.0.0.0/8".parse().unwrap(), Aggregate::default());
        for (id, contribution) in contributions.iter().enumerate() {
            let prefix = format!("10.{id}.0.0/16").parse().unwrap();
            formed.note(id as DestId, &prefix, Some(*contribution));
        }
        match formed.step(Asn::CALICO_DEFAULT, RouterId::new(0x0a00_0001).unwrap()) {
            Some(Step::Announce(_, attributes)) => attributes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rfc4271_9_2_2_2_the_worst_origin_counts_and_atomic_aggregate_where_an_as_is_left_out() {
        let (own, learned) = (contribution(Origin::Igp, &[]), contribution(Origin::Incomplete, &[65001]));
        let of_own = announced(&[own, own]);
        assert_eq!((of_own.origin, of_own.is_atomic_aggregate()), (Origin::Igp, false));
        let mixed = announced(&[own, learned]);
        assert_eq!((mixed.origin, mixed.is_atomic_aggregate()), (Origin::Incomplete, true));
        let aggregator = Aggregator { asn: Asn::CALICO_DEFAULT, address: Ipv4Addr::new(10, 0, 0, 1) };
        assert_eq!(mixed.aggregator(), Some(aggregator));
    }

    #[test]
    fn rfc9774_3_no_as_set_is_made() {
        let learned = [contribution(Origin::Igp, &[65001]), contribution(Origin::Igp, &[65002, 65003])];
        assert!(announced(&learned).as_path().is_empty());
    }

    #[test]
    fn neither_the_prefix_itself_nor_what_is_outside_contributes() {
        let mut formed = Formed::new("10.0.0.0/8".parse().unwrap(), Aggregate::default());
        for (id, prefix) in ["10.0.0.0/8", "0.0.0.0/0", "11.0.0.0/16"].into_iter().enumerate() {
            formed.note(id as DestId, &prefix.parse().unwrap(), Some(contribution(Origin::Igp, &[])));
        }
        assert!(formed.step(Asn::CALICO_DEFAULT, RouterId::new(1).unwrap()).is_none());
    }
}
