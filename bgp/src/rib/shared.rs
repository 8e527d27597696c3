//! What the tables of all families share: attributes, next hops, and who the sources are.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::filter::Filters;
use model::{Asn, ClusterId, Family, RouterId};

use super::best::{Candidate, Rank, Side};
use super::intern::Interner;
use super::table::{OWN, Path, Source};
use super::watch::Watch;
use crate::config::{ImportPolicy, Interface, Multipath, PeerKey, Reflection, SpeakerConfig};
use crate::filter::Refusal;
use crate::role::Relation;
use crate::speaker::NextHops;
use crate::wire::{Attributes, Community, FamilySet, Origin, PeerKind};

/// Whom a path may be told, by its well-known communities (RFC 1997).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Anybody,
    /// NO_EXPORT, NO_EXPORT_SUBCONFED.
    OwnAs,
    /// NO_ADVERTISE.
    Nobody,
}

/// A set of attributes with what is asked of it often, worked out once.
#[derive(Debug, Clone)]
pub(crate) struct RouteAttrs {
    pub attributes: Arc<Attributes>,
    /// As they were received, where a filter has changed them.
    original: Option<Arc<Attributes>>,
    pub rank: Rank,
    pub scope: Scope,
}

impl RouteAttrs {
    pub(crate) fn new(attributes: Arc<Attributes>) -> RouteAttrs {
        let rank = Rank {
            local_pref: attributes.local_pref.unwrap_or(100),
            path_length: attributes.path_length(),
            origin: match attributes.origin {
                Origin::Igp => 0,
                Origin::Egp => 1,
                Origin::Incomplete => 2,
            },
            neighbor_as: attributes.neighbor_as().map(Asn::value),
            med: attributes.med.unwrap_or(0),
            originator: attributes.originator_id().map(RouterId::bits),
            cluster_length: u32::try_from(attributes.cluster_list().count()).unwrap_or(u32::MAX),
            long_lived_stale: attributes.has_community(Community::LLGR_STALE),
        };
        let scope = attributes.communities().fold(Scope::Anybody, |scope, community| match community {
            Community::NO_ADVERTISE => Scope::Nobody,
            Community::NO_EXPORT | Community::NO_EXPORT_SUBCONFED if scope == Scope::Anybody => Scope::OwnAs,
            _ => scope,
        });
        RouteAttrs { attributes, original: None, rank, scope }
    }

    /// What a filter has made of received attributes.
    pub(crate) fn changed(attributes: Attributes, original: Arc<Attributes>) -> RouteAttrs {
        RouteAttrs { original: Some(original), ..RouteAttrs::new(Arc::new(attributes)) }
    }

    /// As they were received.
    pub(crate) fn received(&self) -> &Arc<Attributes> {
        self.original.as_ref().unwrap_or(&self.attributes)
    }

    /// Whether such a route may be kept beyond its peer's restart time (RFC 9494 §4.2).
    pub(crate) fn may_live_long(&self) -> bool {
        !self.attributes.has_community(Community::NO_LLGR)
    }

    /// Whether a filter has changed them.
    pub(crate) fn is_changed(&self) -> bool {
        self.original.is_some()
    }
}

impl PartialEq for RouteAttrs {
    fn eq(&self, other: &RouteAttrs) -> bool {
        self.attributes == other.attributes && self.original == other.original
    }
}
impl Eq for RouteAttrs {}
impl Hash for RouteAttrs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.attributes.hash(state);
    }
}

/// Whether a peer takes what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Free,
    /// Too much waits unsent.
    Full,
}

/// How many paths a source has in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub received: u64,
    pub accepted: u64,
    /// Kept from a session before; the long-lived ones too.
    pub stale: u64,
    pub long_lived: u64,
    /// Beyond [`PATHS`](super::table::PATHS) of a prefix, and so not kept. Never less.
    pub ignored: u64,
}

/// A peer as the tables know it.
#[derive(Debug, Clone)]
pub(crate) struct SourceInfo {
    pub key: PeerKey,
    pub kind: PeerKind,
    pub router_id: u32,
    /// The AS that we are in towards it.
    pub local_as: Asn,
    /// How often its paths may have an AS of ours.
    pub allowed_own_as: u8,
    pub reflection: Reflection,
    pub import: ImportPolicy,
    pub filters: Filters,
    /// What we are to each other, where that is configured (RFC 9234).
    pub relation: Option<Relation>,
    pub flow: Flow,
    /// Families in which its paths have identifiers (RFC 7911).
    pub add_path: FamilySet,
    /// By family, in AFI order.
    pub counts: [Counts; 2],
}

impl SourceInfo {
    pub(crate) fn counts(&mut self, family: Family) -> &mut Counts {
        let [ipv4, ipv6] = &mut self.counts;
        match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        }
    }
}

/// What the tables of all families share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub attrs: Interner<RouteAttrs>,
    pub hops: Interner<NextHops>,
    /// The first is this node and always absent.
    pub sources: Vec<Option<SourceInfo>>,
    pub local_as: Asn,
    pub router_id: RouterId,
    pub cluster_id: Option<ClusterId>,
    pub interfaces: Vec<Interface>,
    pub multipath: Multipath,
    pub hold: Hold,
    pub watch: Watch,
}

/// Whether learned routes wait for the initial exchange to end (RFC 4724 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Learned,
    Nothing,
}

impl Shared {
    pub(crate) fn new(config: &SpeakerConfig, hold: Hold) -> Shared {
        Shared {
            attrs: Interner::default(),
            hops: Interner::default(),
            sources: vec![None],
            local_as: config.local_as,
            router_id: config.router_id,
            cluster_id: config.cluster_id,
            interfaces: config.interfaces.clone(),
            multipath: config.multipath,
            hold,
            watch: Watch::default(),
        }
    }

    /// Takes over what the tables need of a configuration.
    pub(crate) fn adopt(&mut self, config: &SpeakerConfig) {
        self.local_as = config.local_as;
        self.router_id = config.router_id;
        self.cluster_id = config.cluster_id;
        self.interfaces.clone_from(&config.interfaces);
        self.multipath = config.multipath;
    }

    pub(crate) fn source(&self, source: Source) -> Option<&SourceInfo> {
        self.sources.get(usize::from(source)).and_then(Option::as_ref)
    }

    pub(crate) fn source_mut(&mut self, source: Source) -> Option<&mut SourceInfo> {
        self.sources.get_mut(usize::from(source)).and_then(Option::as_mut)
    }

    /// Why no prefix with these attributes is believed from this source.
    pub(crate) fn refuses(&self, attributes: &Attributes, from: &SourceInfo) -> Option<Refusal> {
        let path = attributes.as_path();
        let loops = |asn| path.occurrences(asn) > usize::from(from.allowed_own_as);
        if loops(self.local_as) || (from.local_as != self.local_as && loops(from.local_as)) {
            return Some(Refusal::OwnAs);
        }
        if from.kind == PeerKind::External {
            return from.relation.as_ref().and_then(|relation| relation.refuses(attributes));
        }
        if attributes.originator_id() == Some(self.router_id) {
            return Some(Refusal::OwnOriginatorId);
        }
        let cluster = self.cluster_id?;
        attributes.cluster_list().any(|id| id == cluster).then_some(Refusal::OwnCluster)
    }

    /// A path as the decision process sees it.
    pub(crate) fn candidate(&self, path: &Path) -> Option<Candidate> {
        let rank = self.attrs.value(path.attrs)?.rank;
        if path.source == OWN {
            let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            return Some(Candidate { rank, side: Side::Originated, router_id: 0, address, scope: None, path_id: 0 });
        }
        let source = self.source(path.source)?;
        let side = match source.kind {
            PeerKind::External => Side::External,
            PeerKind::Internal => Side::Internal,
        };
        let (router_id, address) = (source.router_id, source.key.address);
        Some(Candidate { rank, side, router_id, address, scope: source.key.scope, path_id: path.path_id })
    }

    /// Whether a path takes part in the choice.
    pub(crate) fn eligible(&self, path: &Path) -> bool {
        path.refusal.is_none() && (self.hold == Hold::Nothing || path.source == OWN)
    }
}
