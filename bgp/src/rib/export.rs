//! What an update group is told: which paths, and with which attributes.

use model::Prefix;
use model::filter::Operation;
use smallvec::SmallVec;

use super::group::{GroupKey, LongLivedSupport};
use super::judge;
use super::shared::{Scope, Shared};
use super::table::{OWN, Path, Source};
use super::treat::Standing;
use crate::config::{ExportPolicy, NextHopMode, Reflection};
use crate::filter::Guard;
use crate::role::{mark_outgoing, may_tell};
use crate::wire::{Attributes, Community, Draft, NextHop, PeerKind};

/// Why the members of an update group are not told of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// The community that it came with keeps it inside the AS (RFC 1997).
    StaysInAs,
    /// NO_ADVERTISE (RFC 1997).
    ToNobody,
    /// The peer is told nothing at all.
    NothingExported,
    /// A long-lived stale route, of which the peer does not know what it is (RFC 9494 §4.3).
    LastResort,
    /// It would be a leak (RFC 9234 §5).
    Leak,
    /// The peer's filters.
    Filtered,
    /// Both are internal, and the one is not reflected to the other (RFC 4456 §6).
    NotReflected,
    /// Learned, and nothing says that learned routes are told.
    Learned,
    /// An aggregate is told in its place.
    Suppressed,
}

impl Withheld {
    /// For a person, behind "it is not told: ".
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Withheld::StaysInAs => "its communities keep it inside the AS (RFC 1997)",
            Withheld::ToNobody => "its community NO_ADVERTISE forbids it (RFC 1997)",
            Withheld::NothingExported => "the peer is told no routes at all",
            Withheld::LastResort => "it is long-lived stale, and the peer does not know what that is (RFC 9494)",
            Withheld::Leak => "it came from above or from the side, so it would be a leak (RFC 9234)",
            Withheld::Filtered => "a filter refuses it",
            Withheld::NotReflected => "no route reflection between internal peers that are no clients (RFC 4456)",
            Withheld::Learned => "the default policy tells no learned routes",
            Withheld::Suppressed => "its aggregate is told in its place",
        }
    }
}

/// Whether the members of a group are told of a path that is among the best.
pub(crate) fn tells(shared: &Shared, guard: &Guard, group: &GroupKey, path: &Path, prefix: Prefix) -> bool {
    withheld(shared, guard, group, path, prefix).is_none()
}

/// Why the members of a group are not told of a path that is among the best; nothing if they are.
///
/// First the well-known communities that the path came with (RFC 1997), then the peers' filters, then the policy: own routes always; others as
/// RFC 4456 §6 says of a reflector's internal routes, and what lies in the pools of the cluster across its border.
/// Between internal peers no filter makes a reflector of a node that is none. Nobody is told back what it said: the
/// caller leaves the source out.
pub(crate) fn withheld(
    shared: &Shared,
    guard: &Guard,
    group: &GroupKey,
    path: &Path,
    prefix: Prefix,
) -> Option<Withheld> {
    let Some(attrs) = shared.attrs.value(path.attrs) else { return Some(Withheld::ToNobody) };
    match attrs.scope {
        // RFC 1997: they bind who receives a route. Our own is told with them, so that the receiver keeps to them.
        _ if path.source == OWN => {}
        Scope::OwnAs if group.kind == PeerKind::External => return Some(Withheld::StaysInAs),
        Scope::Nobody => return Some(Withheld::ToNobody),
        Scope::OwnAs | Scope::Anybody => {}
    }
    if group.export == ExportPolicy::Nothing {
        return Some(Withheld::NothingExported);
    }
    if attrs.rank.long_lived_stale && path.source != OWN && keeps_last_resort_from(group) {
        return Some(Withheld::LastResort);
    }
    if !may_tell(group.role, &attrs.attributes) {
        return Some(Withheld::Leak);
    }
    let filtered = shared.export_decision(group, path.attrs, path.source, prefix).passes();
    if filtered == Some(false) {
        return Some(Withheld::Filtered);
    }
    if path.source == OWN {
        return None;
    }
    let Some(source) = shared.source(path.source) else { return Some(Withheld::Learned) };
    let reflects = shared.cluster_id.is_some();
    let is_client = |reflection| reflects && reflection == Reflection::Client;
    let (from, to) = (is_client(source.reflection), is_client(group.reflection));
    let in_pool = || guard.in_pool(&prefix);
    match (group.export, source.kind, group.kind) {
        (_, PeerKind::Internal, PeerKind::Internal) => (!from && !to).then_some(Withheld::NotReflected),
        (ExportPolicy::All, _, _) => None,
        _ if filtered == Some(true) => None,
        (_, PeerKind::Internal, PeerKind::External) => (!from || !in_pool()).then_some(Withheld::Learned),
        (_, PeerKind::External, PeerKind::Internal) => (!to || !in_pool()).then_some(Withheld::Learned),
        (_, PeerKind::External, PeerKind::External) => Some(Withheld::Learned),
    }
}

/// The paths that the members of a group are told, of these, which are in order: the best that they may be told, as many
/// as the group takes.
pub(crate) fn told_of(
    shared: &Shared,
    guard: &Guard,
    group: &GroupKey,
    ranked: &[Path],
    prefix: Prefix,
) -> SmallVec<[Path; 4]> {
    let may = ranked.iter().filter(|path| tells(shared, guard, group, path, prefix));
    may.take(group.several.map_or(1, usize::from)).copied().collect()
}

/// Whether the members of a group are not told of long-lived stale routes: those in another AS that do not know them (RFC
/// 9494 §4.3). In our own AS they are told in a way that does no harm (§4.6): the way is better than none.
fn keeps_last_resort_from(group: &GroupKey) -> bool {
    group.long_lived == LongLivedSupport::Absent && group.kind == PeerKind::External
}

/// The attributes with which a group is told of a path (RFC 4271 §5.1, RFC 4456 §8), after the operations of the rule
/// that accepted it.
pub(crate) fn outgoing(
    shared: &Shared,
    group: &GroupKey,
    attrs: u32,
    source: Source,
    operations: &[Operation],
) -> Option<Attributes> {
    let learned = &shared.attrs.value(attrs)?.attributes;
    let mut draft = if operations.is_empty() { learned.edit() } else { judge::changed(learned, operations).edit() };
    let from = (source != OWN).then(|| shared.source(source)).flatten();
    match (group.kind, from) {
        (PeerKind::External, None) => {
            draft.local_pref = None;
            draft.prepend(group.local_as, 1);
        }
        (PeerKind::External, Some(_)) => {
            draft.leave_as().prepend(group.local_as, 1);
        }
        (PeerKind::Internal, Some(from)) if from.kind == PeerKind::Internal => {
            if learned.originator_id().is_none()
                && let Some(id) = model::RouterId::new(from.router_id)
            {
                draft.set_originator_id(id);
            }
            if let Some(cluster) = shared.cluster_id {
                draft.prepend_cluster(cluster);
            }
        }
        (PeerKind::Internal, _) => {}
    }
    if group.kind == PeerKind::Internal && draft.local_pref.is_none() {
        draft.local_pref = Some(100);
    }
    mark_outgoing(group.role, group.local_as, learned, &mut draft);
    let last_resort = shared.attrs.value(attrs)?.rank.long_lived_stale && source != OWN;
    if last_resort && group.long_lived == LongLivedSupport::Absent {
        // RFC 9494 §4.6: who does not know the mark shall not spread it, and prefer any other.
        draft.add_community(Community::NO_EXPORT).local_pref = Some(0);
    }
    if group.standing == Standing::Leaving {
        leave(&mut draft, group.kind);
    }
    let own = match group.next_hop_mode {
        NextHopMode::SelfAddress => true,
        NextHopMode::Keep => from.is_none(),
        NextHopMode::Auto => from.is_none() || group.kind == PeerKind::External,
    };
    draft.next_hop = if own { group.own_next_hop } else { passed_on(draft.next_hop, group) };
    Some(draft.build())
}

/// A learned next hop as others may hear it: without the link-local address, which means something on another link only
/// (RFC 2545 §3); and our own where there is no more than that, or where the members take no IPv6 next hop for the prefixes
/// that have one (RFC 8950 §4).
fn passed_on(learned: NextHop, group: &GroupKey) -> NextHop {
    match (learned, group.own_next_hop) {
        (NextHop::V6(_) | NextHop::V6WithLinkLocal(..), NextHop::V4(_)) => group.own_next_hop,
        (NextHop::V6(address), own) if address.is_unicast_link_local() => own,
        (NextHop::V6WithLinkLocal(global, _), _) => NextHop::V6(global),
        (next_hop, _) => next_hop,
    }
}

/// Says that this node goes away soon (RFC 8326 §4.2): the community, and to internal peers the least preference, for not
/// every router heeds the community inside its own AS.
fn leave(draft: &mut Draft, to: PeerKind) {
    draft.add_community(Community::GRACEFUL_SHUTDOWN);
    if to == PeerKind::Internal {
        draft.local_pref = Some(0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use model::filter::{Direction, Filters};
    use model::{Asn, Family, RouterId};

    use super::super::shared::{Counts, Flow, Hold, RouteAttrs, SourceInfo};
    use super::super::table::Age;
    use super::*;
    use crate::config::{ImportPolicy, PeerKey, SpeakerConfig};
    use crate::wire::attr::ExtendedCommunity;
    use crate::wire::{FamilySet, NextHop, Origin, Transmit};

    const LEARNED: Source = 1;

    /// A table with one path of an external peer, with these communities.
    fn learned(communities: &[Community]) -> (Shared, Path) {
        let config = SpeakerConfig::new(RouterId::new(1).unwrap(), Asn::CALICO_DEFAULT);
        let mut shared = Shared::new(&config, Hold::Nothing);
        shared.sources.push(Some(SourceInfo {
            key: PeerKey::new(IpAddr::from([10, 0, 0, 9])),
            kind: PeerKind::External,
            router_id: 9,
            local_as: Asn::CALICO_DEFAULT,
            allowed_own_as: 0,
            reflection: Reflection::None,
            import: ImportPolicy::All,
            filters: Filters::default(),
            add_path: FamilySet::NONE,
            relation: None,
            flow: Flow::Free,
            counts: [Counts::default(); 2],
        }));
        let mut draft = Attributes::new(Origin::Igp, NextHop::from(IpAddr::from([10, 0, 0, 9]))).edit();
        draft.set_communities(communities.iter().copied());
        let attrs = shared.attrs.intern(RouteAttrs::new(Arc::new(draft.build())));
        (shared, Path { attrs, path_id: 0, source: LEARNED, refusal: None, age: Age::Fresh })
    }

    fn group(kind: PeerKind, long_lived: LongLivedSupport) -> GroupKey {
        GroupKey {
            kind,
            reflection: Reflection::None,
            export: ExportPolicy::All,
            local_as: Asn::CALICO_DEFAULT,
            filters: Filters::default().chain(Direction::Export, Family::Ipv4).clone(),
            next_hop_mode: NextHopMode::Auto,
            own_next_hop: NextHop::from(IpAddr::from([10, 0, 0, 1])),
            transmit: Transmit::PLAIN,
            several: None,
            role: None,
            long_lived,
            standing: Standing::Staying,
        }
    }

    /// What a group is told of a path with these communities: communities and LOCAL_PREF.
    fn told(to: &GroupKey, communities: &[Community]) -> Option<(Vec<Community>, Option<u32>)> {
        let (shared, path) = learned(communities);
        let prefix = "10.244.0.0/24".parse().unwrap();
        tells(&shared, &Guard::default(), to, &path, prefix).then(|| {
            let attributes = outgoing(&shared, to, path.attrs, path.source, &[]).unwrap();
            (attributes.communities().collect(), attributes.local_pref)
        })
    }

    #[test]
    fn rfc1997_the_well_known_communities_bound_whom_a_learned_route_is_told() {
        let outside = group(PeerKind::External, LongLivedSupport::Announced);
        let inside = group(PeerKind::Internal, LongLivedSupport::Announced);
        for (community, to_outside, to_inside) in [
            (Community::NO_EXPORT, false, true),
            (Community::NO_EXPORT_SUBCONFED, false, true),
            (Community::NO_ADVERTISE, false, false),
            (Community::GRACEFUL_SHUTDOWN, true, true),
            (Community::BLACKHOLE, true, true), // carried, not acted on: nobody has agreed on it (RFC 7999 §3.3)
            (Community(64512 << 16 | 7), true, true),
        ] {
            let with_another = [Community(64512 << 16 | 8), community];
            assert_eq!(told(&outside, &with_another).is_some(), to_outside, "{community}");
            assert_eq!(told(&inside, &with_another), to_inside.then(|| (with_another.to_vec(), Some(100))));
        }
    }

    #[test]
    fn rfc4360_6_extended_communities_are_carried_and_those_that_are_not_transitive_stay_in_the_as() {
        let (transitive, of_the_as) = ([0, 2, 0xfc, 0, 0, 0, 0, 7], [0x40, 4, 0xfc, 0, 0, 0, 0, 7]);
        let (mut shared, path) = learned(&[]);
        let mut draft = shared.attrs.value(path.attrs).unwrap().attributes.edit();
        draft.set_extended_communities([transitive, of_the_as].map(ExtendedCommunity));
        let attrs = shared.attrs.intern(RouteAttrs::new(Arc::new(draft.build())));
        for (kind, meant) in [(PeerKind::Internal, vec![transitive, of_the_as]), (PeerKind::External, vec![transitive])]
        {
            let to = group(kind, LongLivedSupport::Announced);
            let told = outgoing(&shared, &to, attrs, LEARNED, &[]).unwrap();
            assert_eq!(told.extended_communities().map(|one| one.0).collect::<Vec<_>>(), meant, "{kind:?}");
        }
    }

    #[test]
    fn rfc9494_4_3_a_long_lived_stale_route_goes_as_it_is_to_who_knows_the_mark() {
        let stale = [Community::LLGR_STALE];
        for (kind, local_pref) in [(PeerKind::External, None), (PeerKind::Internal, Some(100))] {
            let to = group(kind, LongLivedSupport::Announced);
            assert_eq!(told(&to, &stale), Some((stale.to_vec(), local_pref)));
        }
    }

    #[test]
    fn rfc9494_4_3_a_long_lived_stale_route_does_not_go_to_another_as_that_does_not_know_the_mark() {
        let to = group(PeerKind::External, LongLivedSupport::Absent);
        assert_eq!(told(&to, &[Community::LLGR_STALE]), None);
        assert_eq!(told(&to, &[]), Some((vec![], None)), "any other does");
    }

    #[test]
    fn rfc9494_4_6_who_does_not_know_the_mark_in_our_as_is_told_to_prefer_others_and_not_to_pass_it_on() {
        let to = group(PeerKind::Internal, LongLivedSupport::Absent);
        let harmless = vec![Community::LLGR_STALE, Community::NO_EXPORT];
        assert_eq!(told(&to, &[Community::LLGR_STALE]), Some((harmless, Some(0))));
        assert_eq!(told(&to, &[]), Some((vec![], Some(100))));
    }
}
