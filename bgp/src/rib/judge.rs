//! Filters on the tables: which rule decides on a path, and what that does to it.

use std::net::IpAddr;
use std::sync::Arc;

use model::filter::{Chain, Decision, Direction, Operation, Route, RouteAttributes, RouteSource, local_pref_for};
use model::object::Community as Named;
use model::{Asn, Prefix};

use super::group::GroupKey;
use super::shared::Shared;
use super::table::{OWN, Path, Source};
use crate::config::Interface;
use crate::wire::attr::SegmentKind;
use crate::wire::{Attributes, Community, LargeCommunity, PeerKind};

impl RouteAttributes for Attributes {
    fn has_community(&self, community: &Named) -> bool {
        match *community {
            Named::Standard(..) => Attributes::has_community(self, standard(community)),
            Named::Large(global, first, second) => {
                self.large_communities().any(|one| one == LargeCommunity { global, first, second })
            }
        }
    }

    fn path_begins_with(&self, asns: &[Asn]) -> bool {
        let ordered = self.as_path();
        let ordered = ordered.segments().take_while(|segment| segment.kind == SegmentKind::Sequence);
        let mut path = ordered.flat_map(|segment| segment.asns());
        asns.iter().all(|asn| path.next() == Some(*asn))
    }

    fn local_pref(&self) -> Option<u32> {
        self.local_pref
    }
}

fn standard(community: &Named) -> Community {
    match *community {
        Named::Standard(high, low) => Community(u32::from(high) << 16 | u32::from(low)),
        Named::Large(..) => Community(0),
    }
}

impl Shared {
    /// What the import filters of a path's peer say of it, as the peer sent it.
    pub(crate) fn import_decision(&self, prefix: Prefix, path: &Path) -> Option<(&Arc<Chain>, Decision)> {
        let info = self.source(path.source)?;
        let chain = info.filters.chain(Direction::Import, prefix.family());
        let received = self.attrs.value(path.attrs)?.received();
        Some((chain, self.judge_import(chain, prefix, info.kind, received)))
    }

    /// What import filters say of a prefix with these attributes.
    pub(crate) fn judge_import(&self, chain: &Chain, prefix: Prefix, kind: PeerKind, of: &Attributes) -> Decision {
        if chain.is_empty() {
            return Decision::NoMatch;
        }
        let interface = self.interface_towards(of.next_hop.address());
        let peer_type = kind.into();
        chain.judge(&Route { prefix, source: RouteSource::Peer, peer_type, interface, attributes: of })
    }

    /// What the export filters of a group say of a path.
    pub(crate) fn export_decision(&self, group: &GroupKey, attrs: u32, source: Source, prefix: Prefix) -> Decision {
        if group.filters.is_empty() {
            return Decision::NoMatch;
        }
        let Some(attributes) = self.attrs.value(attrs).map(|value| &*value.attributes) else {
            return Decision::NoMatch;
        };
        let (source, interface) = match source {
            OWN => (RouteSource::Own, None),
            _ => (RouteSource::Peer, self.interface_towards(attributes.next_hop.address())),
        };
        let peer_type = group.kind.into();
        group.filters.judge(&Route { prefix, source, peer_type, interface, attributes })
    }

    /// The interface on whose link the address is.
    pub(crate) fn interface_towards(&self, address: IpAddr) -> Option<&str> {
        let on_link = self.interfaces.iter().filter(|interface| interface.subnet.contains(address));
        let closest = on_link.max_by_key(|interface: &&Interface| interface.subnet.length())?;
        Some(&closest.name)
    }
}

impl From<PeerKind> for model::filter::PeerType {
    fn from(kind: PeerKind) -> model::filter::PeerType {
        match kind {
            PeerKind::External => model::filter::PeerType::External,
            PeerKind::Internal => model::filter::PeerType::Internal,
        }
    }
}

/// The attributes after the operations of the rule that accepted the route, in order.
pub(crate) fn changed(attributes: &Attributes, operations: &[Operation]) -> Attributes {
    let mut now = attributes.clone();
    for operation in operations {
        let mut draft = now.edit();
        match operation {
            Operation::AddCommunity(Named::Large(global, first, second)) => {
                let added = LargeCommunity { global: *global, first: *first, second: *second };
                let others = now.large_communities().filter(|one| *one != added);
                draft.set_large_communities(others.chain([added]));
            }
            Operation::AddCommunity(community) => {
                draft.add_community(standard(community));
            }
            Operation::PrependAsPath(asns) => {
                for asn in asns.iter().rev() {
                    draft.prepend(*asn, 1);
                }
            }
            Operation::SetPriority(priority) => draft.local_pref = Some(local_pref_for(*priority)),
        }
        now = draft.build();
    }
    now
}
