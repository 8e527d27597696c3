//! Properties of the decision process that hold for any set of paths (RFC 4271 §9.1.2.2).
#![allow(clippy::unwrap_used)]

use std::cmp::Ordering;
use std::net::IpAddr;

use bgp::config::Multipath;
use bgp::rib::best::{Candidate, Rank, Side, best, compare, ranking, shares_traffic};
use proptest::prelude::*;

/// Few values for each step, so that ties are common.
fn candidate() -> impl Strategy<Value = Candidate> {
    let rank =
        (0u32..2, 0u32..3, 0u8..2, 0u32..3, 0u32..3, prop::option::of(1u32..3), 0u32..2, prop::bool::weighted(0.3));
    (rank, 0u8..3, 1u32..4, 0u8..4, 0u32..2).prop_map(|(rank, side, router_id, last, path_id)| {
        let (local_pref, path_length, origin, neighbor, med, originator, cluster_length, long_lived_stale) = rank;
        Candidate {
            rank: Rank {
                local_pref: 100 + local_pref,
                path_length,
                origin,
                neighbor_as: (neighbor > 0).then_some(65000 + neighbor),
                med,
                originator,
                cluster_length,
                long_lived_stale,
            },
            side: [Side::Originated, Side::External, Side::Internal][usize::from(side)],
            router_id,
            address: IpAddr::from([10, 0, 0, last]),
            scope: None,
            path_id,
        }
    })
}

/// The RFC's own words: from all routes, those are removed that a step says, until one is left.
fn by_elimination(paths: &[Candidate]) -> Candidate {
    let mut left = paths.to_vec();
    let keep_least = |left: &mut Vec<Candidate>, key: &dyn Fn(&Candidate) -> u128| {
        let least = left.iter().map(key).min().unwrap();
        left.retain(|path| key(path) == least);
    };
    keep_least(&mut left, &|p| (p.side != Side::Originated).into());
    keep_least(&mut left, &|p| p.rank.long_lived_stale.into());
    keep_least(&mut left, &|p| u128::from(u32::MAX - p.rank.local_pref));
    keep_least(&mut left, &|p| p.rank.path_length.into());
    keep_least(&mut left, &|p| p.rank.origin.into());
    let all = left.clone();
    left.retain(|p| !all.iter().any(|q| q.rank.neighbor_as == p.rank.neighbor_as && q.rank.med < p.rank.med));
    keep_least(&mut left, &|p| (p.side == Side::Internal).into());
    keep_least(&mut left, &|p| p.rank.originator.unwrap_or(p.router_id).into());
    keep_least(&mut left, &|p| p.rank.cluster_length.into());
    keep_least(&mut left, &|p| match p.address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    });
    keep_least(&mut left, &|p| p.path_id.into());
    *left.first().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rfc4271_9_1_2_2_the_best_path_is_the_one_that_elimination_leaves(paths in prop::collection::vec(candidate(), 1..8)) {
        // Two paths that differ in nothing that counts are as good as one: which of the two is not asked.
        let chosen = paths[best(&paths).unwrap()];
        prop_assert_eq!(compare(&chosen, &by_elimination(&paths)).0, Ordering::Equal);
    }

    #[test]
    fn the_best_path_does_not_depend_on_the_order(
        (paths, shuffled) in prop::collection::vec(candidate(), 1..8)
            .prop_flat_map(|paths| (Just(paths.clone()), Just(paths).prop_shuffle())),
    ) {
        let (a, b) = (paths[best(&paths).unwrap()], shuffled[best(&shuffled).unwrap()]);
        prop_assert_eq!(compare(&a, &b).0, Ordering::Equal);
    }

    #[test]
    fn each_path_of_the_ranking_is_the_best_of_itself_and_those_after_it(
        paths in prop::collection::vec(candidate(), 1..12),
    ) {
        let order = ranking(&paths);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..paths.len()).collect::<Vec<_>>());
        let ranked: Vec<Candidate> = order.into_iter().map(|index| paths[index]).collect();
        for rest in (0..ranked.len()).map(|place| &ranked[place..]) {
            prop_assert_eq!(compare(&rest[0], &by_elimination(rest)).0, Ordering::Equal);
        }
    }

    #[test]
    fn the_comparison_of_two_paths_is_the_same_from_both_sides(a in candidate(), b in candidate()) {
        let (forth, back) = (compare(&a, &b), compare(&b, &a));
        prop_assert_eq!(forth.0, back.0.reverse());
        prop_assert_eq!(forth.1, back.1);
        let chosen = best(&[a, b]).unwrap();
        prop_assert!(forth.0 == Ordering::Equal || (chosen == 0) == (forth.0 == Ordering::Less));
    }

    #[test]
    fn the_best_path_shares_its_own_traffic(a in candidate()) {
        prop_assert!(shares_traffic(&a, &a, &Multipath::default()));
    }
}
