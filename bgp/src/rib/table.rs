//! Destinations of one family: each prefix with the paths to it and with what peers were told of it.
//!
//! | type | how many |
//! |---|---|
//! | `Table` | one per family |
//! | `Dest` | one per prefix; 48 octets for IPv4 |
//! | `Path` | one per prefix and peer (and path identifier); 12 octets |
//! | `Told` | one per prefix and update group; 8 octets |

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::few::Few;
use crate::filter::Refusal;

/// Names a destination as long as it has anything: an index that is used again.
pub(crate) type DestId = u32;
/// Names a peer in the tables. 0 is this node.
pub(crate) type Source = u16;
/// This node as the source of a path.
pub(crate) const OWN: Source = 0;
/// No set of next hops.
pub(crate) const NO_HOPS: u32 = u32::MAX;

/// Most paths of one source to one prefix (RFC 7911) that are kept: what comes beyond is not, as every change at a
/// destination looks at all of its paths.
pub(crate) const PATHS: usize = 128;

/// A path to a prefix, as a peer announced it or as this node originates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    /// Name of the attributes, of which this is one reference.
    pub attrs: u32,
    /// RFC 7911; 0 where not used.
    pub path_id: u32,
    pub source: Source,
    /// Why it is not believed.
    pub refusal: Option<Refusal>,
    pub age: Age,
}

/// Whether the session that announced a path is still the one we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    /// Told before the peer's BoRR, and not again since (RFC 7313 §4.2). Still as good as any.
    Unrefreshed,
    /// Kept from the session before (RFC 4724 §4.2).
    Stale,
    /// Kept beyond the restart time, as the last resort (RFC 9494 §4.2).
    LongLived,
}

impl Age {
    /// Whether the peer has told it in the session that is up; what is stale is from one before.
    pub(crate) const fn is_of_this_session(self) -> bool {
        matches!(self, Age::Fresh | Age::Unrefreshed)
    }
}

/// What the members of an update group were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Name of the attributes as they came in, of which this is one reference.
    pub attrs: u32,
    pub group: u16,
    /// Whose path it is: this member was not told.
    pub source: Source,
}

/// A prefix and all about it.
#[derive(Debug, Clone)]
pub(crate) struct Dest<P> {
    pub prefix: P,
    pub paths: Few<Path>,
    pub told: Few<Told>,
    /// Name of the next hops that were reported last, of which this is one reference, or [`NO_HOPS`].
    pub hops: u32,
    state: DestState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DestState {
    /// Not in use.
    Free,
    Settled,
    /// In the queue of those to be looked at.
    Touched,
}

/// All destinations of a family.
#[derive(Debug, Clone)]
pub(crate) struct Table<P> {
    index: HashTable<DestId>,
    /// In pieces, so that growth copies nothing.
    chunks: Vec<Vec<Dest<P>>>,
    free: Vec<DestId>,
    touched: VecDeque<DestId>,
    hasher: DefaultHashBuilder,
}

const CHUNK: usize = 4096;

impl<P> Default for Table<P> {
    fn default() -> Table<P> {
        Table {
            index: HashTable::new(),
            chunks: Vec::new(),
            free: Vec::new(),
            touched: VecDeque::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

fn slot<P>(chunks: &[Vec<Dest<P>>], id: DestId) -> Option<&Dest<P>> {
    chunks.get(id as usize / CHUNK)?.get(id as usize % CHUNK)
}

impl<P: Copy + Eq + Hash> Table<P> {
    /// How many destinations there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// One above the highest id in use.
    pub(crate) fn end(&self) -> DestId {
        let whole = self.chunks.len().saturating_sub(1) * CHUNK; // all but the last one are full
        (whole + self.chunks.last().map_or(0, Vec::len)) as DestId
    }

    /// The destination, unless its id is free.
    pub(crate) fn dest(&self, id: DestId) -> Option<&Dest<P>> {
        slot(&self.chunks, id).filter(|dest| dest.state != DestState::Free)
    }

    /// The destination, unless its id is free.
    pub(crate) fn dest_mut(&mut self, id: DestId) -> Option<&mut Dest<P>> {
        let dest = self.chunks.get_mut(id as usize / CHUNK)?.get_mut(id as usize % CHUNK)?;
        (dest.state != DestState::Free).then_some(dest)
    }

    /// All destinations, in order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (DestId, &Dest<P>)> {
        let all = self.chunks.iter().flatten().enumerate();
        all.filter(|(_, dest)| dest.state != DestState::Free).map(|(id, dest)| (id as DestId, dest))
    }

    /// The id of a prefix.
    pub(crate) fn find(&self, prefix: &P) -> Option<DestId> {
        let hash = self.hasher.hash_one(prefix);
        let chunks = &self.chunks;
        self.index.find(hash, |id| slot(chunks, *id).is_some_and(|dest| dest.prefix == *prefix)).copied()
    }

    /// The id of a prefix, which gets one if it has none.
    pub(crate) fn find_or_insert(&mut self, prefix: P) -> DestId {
        let hash = self.hasher.hash_one(prefix);
        let chunks = &self.chunks;
        if let Some(id) = self.index.find(hash, |id| slot(chunks, *id).is_some_and(|dest| dest.prefix == prefix)) {
            return *id;
        }
        let dest = Dest { prefix, paths: Few::None, told: Few::None, hops: NO_HOPS, state: DestState::Settled };
        let id = match self.free.pop() {
            Some(id) => {
                let place = self.chunks.get_mut(id as usize / CHUNK).and_then(|c| c.get_mut(id as usize % CHUNK));
                if let Some(place) = place {
                    *place = dest;
                }
                id
            }
            None => {
                let id = self.end();
                match self.chunks.last_mut() {
                    Some(chunk) if chunk.len() < CHUNK => chunk.push(dest),
                    _ => {
                        // The first piece grows as it needs to: most nodes know few prefixes.
                        let room = if self.chunks.is_empty() { 16 } else { CHUNK };
                        let mut chunk = Vec::with_capacity(room);
                        chunk.push(dest);
                        self.chunks.push(chunk);
                    }
                }
                id
            }
        };
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        self.index.insert_unique(hash, id, |id| slot(chunks, *id).map_or(0, |dest| hasher.hash_one(dest.prefix)));
        id
    }

    /// Whether there is no room for one more path of this source.
    pub(crate) fn is_crowded(&self, id: DestId, source: Source, path_id: u32) -> bool {
        let paths = self.dest(id).map(|dest| dest.paths.as_slice()).unwrap_or_default();
        let its = || paths.iter().filter(|path| path.source == source);
        paths.len() >= PATHS && its().count() >= PATHS && its().all(|path| path.path_id != path_id)
    }

    /// Puts a path in the place of the one with the same source and path identifier, which is returned.
    pub(crate) fn put(&mut self, id: DestId, path: Path) -> Option<Path> {
        let dest = self.dest_mut(id)?;
        let same = |p: &&mut Path| p.source == path.source && p.path_id == path.path_id;
        match dest.paths.as_mut_slice().iter_mut().find(same) {
            Some(place) => Some(std::mem::replace(place, path)),
            None => {
                dest.paths.push(path);
                None
            }
        }
    }

    /// Notes that a destination is to be looked at again.
    pub(crate) fn touch(&mut self, id: DestId) {
        if let Some(dest) = self.dest_mut(id)
            && dest.state == DestState::Settled
        {
            dest.state = DestState::Touched;
            self.touched.push_back(id);
        }
    }

    /// The next destination to be looked at.
    pub(crate) fn next_touched(&mut self) -> Option<DestId> {
        let id = self.touched.pop_front()?;
        if self.touched.is_empty() {
            self.touched = VecDeque::new(); // after a flood, give its room back
        }
        if let Some(dest) = self.dest_mut(id) {
            dest.state = DestState::Settled;
        }
        Some(id)
    }

    /// Whether a destination waits to be looked at.
    pub(crate) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Frees a destination about which there is nothing to remember.
    pub(crate) fn free_if_empty(&mut self, id: DestId) {
        let Some(dest) = self.dest_mut(id) else { return };
        let empty = dest.paths.is_empty() && dest.told.is_empty() && dest.hops == NO_HOPS;
        if !empty || dest.state != DestState::Settled {
            return;
        }
        let prefix = dest.prefix;
        let hash = self.hasher.hash_one(prefix);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        if let Some(dest) = self.dest_mut(id) {
            dest.state = DestState::Free;
        }
        self.free.push(id);
        if self.index.is_empty() {
            *self = Table { touched: std::mem::take(&mut self.touched), ..Table::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Prefix4;

    #[test]
    fn a_million_destinations_cost_48_octets_each_before_the_index() {
        assert_eq!(size_of::<Dest<Prefix4>>(), 48);
        assert_eq!(size_of::<Path>(), 12);
        assert_eq!(size_of::<Told>(), 8);
    }

    #[test]
    fn an_emptied_destination_is_freed_and_its_id_used_again() {
        let mut table: Table<u32> = Table::default();
        let (a, b) = (table.find_or_insert(10), table.find_or_insert(20));
        assert_eq!(table.find_or_insert(10), a);
        table.touch(a);
        table.free_if_empty(a);
        assert_eq!(table.find(&10), Some(a), "a touched destination stays until it was looked at");
        assert_eq!(table.next_touched(), Some(a));
        table.free_if_empty(a);
        assert_eq!((table.find(&10), table.find(&20)), (None, Some(b)));
        assert_eq!(table.find_or_insert(30), a);
        assert_eq!(table.iter().map(|(_, d)| d.prefix).collect::<Vec<_>>(), [30, 20]);
    }

    #[test]
    fn a_path_replaces_the_one_of_the_same_source_and_identifier() {
        let path = |attrs, source| Path { attrs, path_id: 0, source, refusal: None, age: Age::Fresh };
        let mut table: Table<u32> = Table::default();
        let id = table.find_or_insert(10);
        assert_eq!(table.put(id, path(1, 1)), None);
        assert_eq!(table.put(id, path(2, 2)), None);
        assert_eq!(table.put(id, path(3, 1)), Some(path(1, 1)));
        assert_eq!(table.dest(id).map(|d| d.paths.as_slice().len()), Some(2));
    }
}
