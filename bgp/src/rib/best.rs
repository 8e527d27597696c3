//! The decision process (RFC 4271 §9.1.2.2, RFC 4456 §9): which path is best, why, and which are as good for traffic.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::Reason;
use crate::config::{AsPathEquality, Multipath};

/// What the choice looks at in a path's attributes, worked out once for every distinct set of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// LOCAL_PREF, or 100 where there is none.
    pub local_pref: u32,
    /// Length of AS_PATH; a set counts as one.
    pub path_length: u32,
    /// ORIGIN: 0 IGP, 1 EGP, 2 incomplete.
    pub origin: u8,
    /// The first AS of AS_PATH, if it has one.
    pub neighbor_as: Option<u32>,
    /// MULTI_EXIT_DISC, or 0 where there is none (§9.1.2.2 c).
    pub med: u32,
    /// ORIGINATOR_ID (RFC 4456 §8).
    pub originator: Option<u32>,
    /// Length of CLUSTER_LIST.
    pub cluster_length: u32,
    /// Marked LLGR_STALE (RFC 9494).
    pub long_lived_stale: bool,
}

/// On which side a path came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// This node's own.
    Originated,
    /// From another AS.
    External,
    /// From our AS.
    Internal,
}

/// One path as the decision process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// From the attributes.
    pub rank: Rank,
    /// From the session.
    pub side: Side,
    /// The peer's BGP identifier.
    pub router_id: u32,
    /// The peer's address.
    pub address: IpAddr,
    /// The link of a link-local one.
    pub scope: Option<NonZeroU32>,
    /// ADD-PATH identifier (RFC 7911), or 0.
    pub path_id: u32,
}

/// Which of two paths is better: `Less` if it is `a`, `Equal` only for one and the same path, and the step that decided.
///
/// The order of the steps: own, not long-lived stale (RFC 9494 §4.3), LOCAL_PREF, AS_PATH length, ORIGIN, MED (within one neighbouring AS), external before
/// internal, BGP identifier or ORIGINATOR_ID, CLUSTER_LIST length, peer address, path identifier. There is no step for
/// the distance to the next hop: nodes know no IGP. Because MED counts only within an AS this is no order of three or
/// more paths: [`best`] is.
pub fn compare(a: &Candidate, b: &Candidate) -> (Ordering, Reason) {
    let by_grade = grade(a, b);
    if by_grade.0 != Ordering::Equal {
        return by_grade;
    }
    if a.rank.neighbor_as == b.rank.neighbor_as && a.rank.med != b.rank.med {
        return (a.rank.med.cmp(&b.rank.med), Reason::Med);
    }
    tie_break(a, b)
}

/// Steps before MED.
fn grade(a: &Candidate, b: &Candidate) -> (Ordering, Reason) {
    let own = |c: &Candidate| c.side != Side::Originated;
    first_difference([
        (own(a).cmp(&own(b)), Reason::Originated),
        (a.rank.long_lived_stale.cmp(&b.rank.long_lived_stale), Reason::LongLivedStale),
        (b.rank.local_pref.cmp(&a.rank.local_pref), Reason::LocalPref),
        (a.rank.path_length.cmp(&b.rank.path_length), Reason::AsPathLength),
        (a.rank.origin.cmp(&b.rank.origin), Reason::Origin),
    ])
}

/// Steps after MED.
fn tie_break(a: &Candidate, b: &Candidate) -> (Ordering, Reason) {
    let id = |c: &Candidate| c.rank.originator.unwrap_or(c.router_id);
    first_difference([
        (a.side.cmp(&b.side), Reason::External),
        (id(a).cmp(&id(b)), Reason::RouterId),
        (a.rank.cluster_length.cmp(&b.rank.cluster_length), Reason::ClusterListLength),
        ((a.address, a.scope).cmp(&(b.address, b.scope)), Reason::PeerAddress),
        (a.path_id.cmp(&b.path_id), Reason::PathId),
    ])
}

fn first_difference<const N: usize>(steps: [(Ordering, Reason); N]) -> (Ordering, Reason) {
    steps.into_iter().find(|(ordering, _)| ordering.is_ne()).unwrap_or((Ordering::Equal, Reason::OnlyPath))
}

/// The index of the best path: the same whatever the order of the slice. `None` of no paths.
pub fn best(paths: &[Candidate]) -> Option<usize> {
    let mut top: Option<(usize, &Candidate)> = None;
    for (index, path) in paths.iter().enumerate() {
        if top.is_none_or(|(_, so_far)| grade(path, so_far).0.is_lt()) {
            top = Some((index, path));
        }
    }
    let (_, top) = top?;
    let contenders = || paths.iter().enumerate().filter(|(_, path)| grade(path, top).0.is_eq());
    let med_counts = contenders().any(|(_, path)| path.rank.med != top.rank.med);
    let med_beaten = |path: &Candidate| {
        med_counts
            && contenders().any(|(_, p)| p.rank.neighbor_as == path.rank.neighbor_as && p.rank.med < path.rank.med)
    };
    contenders()
        .filter(|(_, path)| !med_beaten(path))
        .min_by(|(_, a), (_, b)| tie_break(a, b).0)
        .map(|(index, _)| index)
}

/// All paths by their indices, the best first: each is the [`best`] of itself and those after it. The same whatever the
/// order of the slice.
pub fn ranking(paths: &[Candidate]) -> Vec<usize> {
    let mut order: Vec<(usize, &Candidate)> = paths.iter().enumerate().collect();
    let neighbor = |a: &Candidate, b: &Candidate| a.rank.neighbor_as.cmp(&b.rank.neighbor_as);
    order.sort_by(|(_, a), (_, b)| {
        let by_med = || neighbor(a, b).then(a.rank.med.cmp(&b.rank.med));
        grade(a, b).0.then_with(by_med).then_with(|| tie_break(a, b).0)
    });
    let mut ranked = Vec::with_capacity(paths.len());
    for equals in order.chunk_by(|(_, a), (_, b)| grade(a, b).0.is_eq()) {
        // Within a neighbouring AS the order is right. Among them the first ones compete.
        let mut runs: Vec<_> = equals.chunk_by(|(_, a), (_, b)| neighbor(a, b).is_eq()).collect();
        while let Some(run) = runs
            .iter_mut()
            .filter(|run| !run.is_empty())
            .min_by(|a, b| a.first().zip(b.first()).map_or(Ordering::Equal, |((_, a), (_, b))| tie_break(a, b).0))
        {
            let Some(((index, _), rest)) = run.split_first() else { break };
            ranked.push(*index);
            *run = rest;
        }
    }
    ranked
}

/// Whether a path is as good as the best one for traffic: equal up to the distance to the next hop.
pub fn shares_traffic(path: &Candidate, best: &Candidate, multipath: &Multipath) -> bool {
    let same_neighbor = path.rank.neighbor_as == best.rank.neighbor_as;
    path.side == best.side
        && grade(path, best).0.is_eq()
        && (!same_neighbor || path.rank.med == best.rank.med)
        && (same_neighbor || multipath.as_path == AsPathEquality::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Candidate {
        Candidate {
            rank: Rank {
                local_pref: 100,
                path_length: 1,
                origin: 0,
                neighbor_as: Some(65001),
                med: 0,
                originator: None,
                cluster_length: 0,
                long_lived_stale: false,
            },
            side: Side::External,
            router_id: 10,
            address: IpAddr::from([10, 0, 0, 10]),
            scope: None,
            path_id: 0,
        }
    }

    fn with(change: impl FnOnce(&mut Candidate)) -> Candidate {
        let mut path = path();
        change(&mut path);
        path
    }

    /// `better` beats the plain path for `reason`, in either order, and in a choice among both.
    fn beats(better: Candidate, plain: Candidate, reason: Reason) {
        assert_eq!(compare(&better, &plain), (Ordering::Less, reason));
        assert_eq!(compare(&plain, &better), (Ordering::Greater, reason));
        assert_eq!(best(&[better, plain]), Some(0));
        assert_eq!(best(&[plain, better]), Some(1));
    }

    #[test]
    fn own_routes_beat_learned_ones_even_with_a_higher_local_pref() {
        let own = with(|p| p.side = Side::Originated);
        beats(own, with(|p| p.rank.local_pref = 1000), Reason::Originated);
    }

    #[test]
    fn rfc9494_4_3_a_long_lived_stale_path_is_the_last_resort_whatever_else_speaks_for_it() {
        let stale = with(|p| (p.rank.long_lived_stale, p.rank.local_pref, p.rank.path_length) = (true, 1000, 0));
        beats(path(), stale, Reason::LongLivedStale);
        let worse = with(|p| (p.rank.long_lived_stale, p.rank.local_pref) = (true, 99));
        beats(stale, worse, Reason::LocalPref);
    }

    #[test]
    fn rfc4271_9_1_1_the_higher_local_pref_wins_over_a_shorter_as_path() {
        let preferred = with(|p| (p.rank.local_pref, p.rank.path_length) = (200, 5));
        beats(preferred, path(), Reason::LocalPref);
    }

    #[test]
    fn rfc4271_9_1_2_2_a_the_shorter_as_path_wins_over_a_lower_origin() {
        beats(with(|p| p.rank.origin = 2), with(|p| p.rank.path_length = 2), Reason::AsPathLength);
    }

    #[test]
    fn rfc4271_9_1_2_2_b_the_lower_origin_wins_over_a_lower_med() {
        beats(with(|p| p.rank.med = 50), with(|p| p.rank.origin = 1), Reason::Origin);
    }

    #[test]
    fn rfc4271_9_1_2_2_c_the_lower_med_wins_within_one_neighboring_as() {
        let low = with(|p| (p.rank.med, p.router_id) = (5, 99));
        beats(low, with(|p| p.rank.med = 6), Reason::Med);
    }

    #[test]
    fn rfc4271_9_1_2_2_c_the_med_of_another_as_does_not_count() {
        let other = with(|p| (p.rank.med, p.rank.neighbor_as, p.router_id) = (50, Some(65002), 1));
        beats(other, path(), Reason::RouterId);
    }

    #[test]
    fn rfc4271_9_1_2_2_d_external_wins_over_a_lower_router_id() {
        beats(path(), with(|p| (p.side, p.router_id) = (Side::Internal, 1)), Reason::External);
    }

    #[test]
    fn rfc4271_9_1_2_2_f_the_lower_router_id_wins_over_a_lower_address() {
        let low = with(|p| (p.router_id, p.address) = (9, IpAddr::from([10, 9, 9, 9])));
        beats(low, path(), Reason::RouterId);
    }

    #[test]
    fn rfc4456_9_the_originator_id_stands_for_the_router_id() {
        let reflected = with(|p| (p.router_id, p.rank.originator) = (99, Some(1)));
        beats(reflected, path(), Reason::RouterId);
    }

    #[test]
    fn rfc4456_9_the_shorter_cluster_list_wins_over_a_lower_address() {
        let near = with(|p| p.address = IpAddr::from([10, 9, 9, 9]));
        beats(near, with(|p| p.rank.cluster_length = 1), Reason::ClusterListLength);
    }

    #[test]
    fn rfc4271_9_1_2_2_g_the_lower_peer_address_wins_last() {
        beats(path(), with(|p| p.address = IpAddr::from([10, 0, 0, 11])), Reason::PeerAddress);
    }

    #[test]
    fn rfc7911_among_paths_of_one_peer_the_lower_path_id_wins() {
        beats(path(), with(|p| p.path_id = 1), Reason::PathId);
    }

    #[test]
    fn the_choice_among_three_paths_with_med_does_not_depend_on_their_order() {
        let a = with(|p| (p.rank.neighbor_as, p.rank.med, p.router_id) = (Some(1), 10, 1));
        let b = with(|p| (p.rank.neighbor_as, p.rank.med, p.router_id) = (Some(2), 0, 2));
        let c = with(|p| (p.rank.neighbor_as, p.rank.med, p.router_id) = (Some(1), 5, 3));
        for order in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            let chosen = best(&order).and_then(|i| order.get(i));
            assert_eq!(chosen.map(|p| p.router_id), Some(2), "a is beaten by c on MED, c by b on router id");
        }
    }

    #[test]
    fn equal_paths_share_the_traffic_and_different_ones_do_not() {
        let relaxed = Multipath { limit: 16, as_path: AsPathEquality::Relaxed };
        let strict = Multipath { limit: 16, as_path: AsPathEquality::NeighborAs };
        let other_as = with(|p| p.rank.neighbor_as = Some(65002));
        for (other, under_relaxed, under_strict) in [
            (with(|p| p.router_id = 11), true, true),
            (other_as, true, false),
            (with(|p| p.rank.med = 1), false, false),
            (with(|p| p.rank.path_length = 2), false, false),
            (with(|p| p.side = Side::Internal), false, false),
            (with(|p| p.rank.local_pref = 99), false, false),
        ] {
            assert_eq!(shares_traffic(&other, &path(), &relaxed), under_relaxed, "{other:?}");
            assert_eq!(shares_traffic(&other, &path(), &strict), under_strict, "{other:?}");
        }
    }
}
