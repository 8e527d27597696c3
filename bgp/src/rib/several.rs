//! What the members of an update group were told where they take several paths per prefix (RFC 7911).
//!
//! Every path that is told has an identifier of ours, from 1 to the group's limit. It keeps it as long as it is told; a
//! path that comes when another goes takes over its identifier, so that one message does for both (RFC 7911 §3: the
//! identifier is the sender's own business, and with the prefix it names the path). Groups that are told one path have
//! nothing of all this.

use smallvec::SmallVec;

use super::few::Few;
use super::group::{Group, Telling};
use super::outbox::Outbox;
use super::shared::Shared;
use super::table::{DestId, Path, Source};
use super::unicast::RibPrefix;
use crate::wire::Nlri;

/// A path as the members were told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ToldPath {
    /// Name of the attributes as they came in, of which this is one reference.
    attrs: u32,
    /// The identifier under which its source announced it.
    received: u32,
    source: Source,
    /// Ours.
    id: u8,
}

impl ToldPath {
    fn is_of(&self, path: &Path) -> bool {
        (self.source, self.received) == (path.source, path.path_id)
    }
}

/// All that a group was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Several {
    /// By destination.
    told: Vec<Few<ToldPath>>,
    /// How many paths.
    count: usize,
    /// By destination, the highest identifier under which a member may know a path of it.
    highest: Vec<u8>,
}

impl Several {
    /// Identifiers under which members may know paths of a destination.
    pub(crate) fn ids(&self, id: DestId) -> std::ops::RangeInclusive<u32> {
        1..=self.highest.get(id as usize).map_or(0, |highest| u32::from(*highest))
    }

    pub(crate) fn expect_ids(&mut self, id: DestId, highest: u32) {
        self.grow(id);
        let place = self.highest.get_mut(id as usize);
        place.into_iter().for_each(|place| *place = (*place).max(u8::try_from(highest).unwrap_or(u8::MAX)));
    }

    fn grow(&mut self, id: DestId) {
        let places = (id as usize + 1).max(self.told.len());
        self.told.resize_with(places, Few::default);
        self.highest.resize(places, 0);
    }

    pub(crate) fn of(&self, id: DestId) -> impl Iterator<Item = Telling> {
        let paths = self.told.get(id as usize).map(Few::as_slice).unwrap_or_default();
        paths.iter().map(|told| Telling { attrs: told.attrs, source: told.source, path_id: u32::from(told.id) })
    }

    /// Destinations of which anything was told.
    pub(crate) fn dests(&self) -> impl Iterator<Item = DestId> {
        let told = self.told.iter().enumerate().filter(|(_, paths)| !paths.is_empty());
        told.map(|(id, _)| id as DestId)
    }

    /// The group is no more.
    pub(crate) fn release(self, shared: &mut Shared) {
        for told in self.told.iter().flat_map(Few::as_slice) {
            shared.attrs.release(told.attrs);
        }
    }
}

impl Group {
    /// Compares what the members were told of a destination with the paths that they are to know, and notes what they
    /// must hear. Returns whether there was a difference. The group is one that is told several paths.
    pub(crate) fn settle_several<P: RibPrefix>(
        &mut self,
        shared: &mut Shared,
        (dest, prefix): (DestId, P),
        wanted: &[Path],
        outbox: &mut Outbox<P>,
    ) -> bool {
        let Some(several) = &mut self.several else { return false };
        let place = dest as usize;
        if !wanted.is_empty() {
            several.grow(dest);
        }
        let (Some(told), Some(highest)) = (several.told.get_mut(place), several.highest.get_mut(place)) else {
            return false;
        };
        let before = told.as_slice().len();
        let mut free: SmallVec<[(u8, Source); 4]> = SmallVec::new();
        told.extract(
            |told| !wanted.iter().any(|path| told.is_of(path)),
            |gone| {
                shared.attrs.release(gone.attrs);
                self.told.less(gone.source);
                free.push((gone.id, gone.source));
            },
        );
        // The lowest is taken over first.
        free.sort_unstable_by(|a, b| b.cmp(a));
        let mut differs = !free.is_empty();
        for path in wanted {
            let id = match told.as_mut_slice().iter_mut().find(|told| told.is_of(path)) {
                Some(known) if known.attrs == path.attrs => continue,
                Some(known) => {
                    shared.attrs.hold(path.attrs, 1);
                    shared.attrs.release(known.attrs);
                    known.attrs = path.attrs;
                    known.id
                }
                None => {
                    shared.attrs.hold(path.attrs, 1);
                    self.told.more(path.source);
                    let id = match free.pop() {
                        Some((id, source)) => {
                            if source != path.source {
                                outbox.retractions.push((path.source, Nlri { prefix, path_id: id.into() }));
                            }
                            id
                        }
                        None => lowest_free(told.as_slice()),
                    };
                    *highest = (*highest).max(id);
                    told.push(ToldPath { attrs: path.attrs, received: path.path_id, source: path.source, id });
                    id
                }
            };
            differs = true;
            outbox.updates.push((path.attrs, path.source, Nlri { prefix, path_id: id.into() }));
        }
        outbox.withdrawals.extend(free.iter().map(|(id, _)| Nlri { prefix, path_id: (*id).into() }));
        several.count = several.count + told.as_slice().len() - before;
        if self.behind.is_empty() {
            // Everybody has heard of what is gone, and forgets it.
            *highest = told.as_slice().iter().map(|told| told.id).max().unwrap_or(0);
            if several.count == 0 {
                (several.told, several.highest) = (Vec::new(), Vec::new());
            }
        }
        differs
    }
}

fn lowest_free(told: &[ToldPath]) -> u8 {
    (1..=u8::MAX).find(|id| told.iter().all(|told| told.id != *id)).unwrap_or(u8::MAX)
}
