//! An index of things by hashes of what they have or want. What is found still has to be looked at: hashes may collide.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Under which hash something is found.
pub type Spot = u64;

/// The hash of what is had or wanted.
pub fn spot(what: &impl Hash) -> Spot {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Things by spots; a thing may be under several.
#[derive(Debug, Clone)]
pub struct Buckets<T> {
    by_spot: HashMap<Spot, Vec<T>>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Buckets<T> {
        Buckets { by_spot: HashMap::new() }
    }
}

impl<T: Clone + Ord> Buckets<T> {
    /// Puts a thing under spots.
    pub fn insert(&mut self, spots: &[Spot], thing: &T) {
        for spot in spots {
            self.by_spot.entry(*spot).or_default().push(thing.clone());
        }
    }

    /// Takes a thing from under the spots that it was put under.
    pub fn remove(&mut self, spots: &[Spot], thing: &T) {
        for spot in spots {
            let Some(things) = self.by_spot.get_mut(spot) else { continue };
            if let Some(at) = things.iter().position(|one| one == thing) {
                things.swap_remove(at);
            }
            if things.is_empty() {
                self.by_spot.remove(spot);
            }
        }
    }

    /// How many things are under spots.
    pub fn count(&self, spots: &[Spot]) -> usize {
        spots.iter().filter_map(|spot| self.by_spot.get(spot)).map(Vec::len).sum()
    }

    /// What is under any of the spots, each once, in order.
    pub fn any(&self, spots: &[Spot]) -> Vec<T> {
        let mut found: Vec<T> = spots.iter().filter_map(|spot| self.by_spot.get(spot)).flatten().cloned().collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
