//! The choice at one destination: the best path, those that share its traffic, and the reasons.

use smallvec::SmallVec;

use super::Reason;
use super::best::{self, Candidate};
use super::shared::Shared;
use super::table::{OWN, Path};
use crate::speaker::{NextHop, NextHops};

/// What was chosen at one destination. Indices are into its paths.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub best: usize,
    pub path: Path,
    /// The best and its equals, if they are learned.
    pub used: SmallVec<[usize; 4]>,
}

/// The best of these paths. `None` if none takes part.
pub(crate) fn choose(shared: &Shared, paths: &[Path]) -> Option<Choice> {
    let mut eligible = paths.iter().enumerate().filter(|(_, path)| shared.eligible(path));
    let (first, path) = eligible.next()?;
    if eligible.next().is_none() {
        return Some(Choice { best: first, path: *path, used: SmallVec::from_elem(first, 1) });
    }
    let (indices, candidates) = candidates(shared, paths);
    let place = best::best(&candidates)?;
    let (best, top) = (*indices.get(place)?, candidates.get(place)?);
    let used = indices
        .iter()
        .zip(&candidates)
        .filter(|(_, candidate)| best::shares_traffic(candidate, top, &shared.multipath))
        .map(|(index, _)| *index)
        .collect();
    Some(Choice { best, path: *paths.get(best)?, used })
}

/// All paths that take part, the best first.
pub(crate) fn ranked(shared: &Shared, paths: &[Path]) -> SmallVec<[Path; 4]> {
    let (indices, candidates) = candidates(shared, paths);
    let order = best::ranking(&candidates).into_iter().filter_map(|place| indices.get(place));
    order.filter_map(|index| paths.get(*index).copied()).collect()
}

fn candidates(shared: &Shared, paths: &[Path]) -> (SmallVec<[usize; 8]>, Vec<Candidate>) {
    let eligible = paths.iter().enumerate().filter(|(_, path)| shared.eligible(path));
    eligible.filter_map(|(index, path)| Some((index, shared.candidate(path)?))).unzip()
}

/// Why the best path won: the step that set it apart from the best of the others.
pub(crate) fn reason(shared: &Shared, paths: &[Path], chosen: &Choice) -> Reason {
    let (indices, mut candidates) = candidates(shared, paths);
    let Some(place) = indices.iter().position(|index| *index == chosen.best) else { return Reason::OnlyPath };
    let top = candidates.remove(place);
    match best::best(&candidates).and_then(|second| candidates.get(second)) {
        Some(second) => best::compare(&top, second).1,
        None => Reason::OnlyPath,
    }
}

/// Why a path that takes part is not the best.
pub(crate) fn reason_against(shared: &Shared, path: &Path, chosen: &Choice) -> Option<Reason> {
    Some(best::compare(&shared.candidate(&chosen.path)?, &shared.candidate(path)?).1)
}

/// The next hops of the chosen paths, the best one's first, the others by address; none for an own route.
pub(crate) fn hops(shared: &Shared, paths: &[Path], chosen: &Choice) -> Option<NextHops> {
    if chosen.path.source == OWN {
        return None;
    }
    let hop = |path: &Path| {
        let next_hop = shared.attrs.value(path.attrs)?.attributes.next_hop;
        let address = next_hop.address();
        let link_local = next_hop.link_local().filter(|local| address != *local);
        Some(NextHop { address, link_local, peer: shared.source(path.source)?.key })
    };
    let first = hop(&chosen.path)?;
    if chosen.used.len() == 1 {
        return Some(NextHops::from(vec![first]));
    }
    let others = chosen.used.iter().filter(|index| **index != chosen.best);
    let mut others: Vec<NextHop> = others.filter_map(|index| hop(paths.get(*index)?)).collect();
    others.sort_by_key(|hop| (hop.place(), hop.peer));
    others.dedup_by_key(|hop| hop.place());
    others.retain(|hop| hop.place() != first.place());
    others.insert(0, first);
    others.truncate(shared.multipath.limit.max(1));
    Some(NextHops::from(others))
}
