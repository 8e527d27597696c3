//! Equal values kept once, named by a number, freed when nobody names them any more.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// A store of distinct values with reference counts.
#[derive(Debug, Clone)]
pub(crate) struct Interner<T> {
    index: HashTable<u32>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug, Clone)]
struct Slot<T> {
    value: Option<T>,
    references: u32,
    hash: u64,
}

impl<T> Default for Interner<T> {
    fn default() -> Interner<T> {
        Interner { index: HashTable::new(), slots: Vec::new(), free: Vec::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<T: Hash + Eq> Interner<T> {
    /// The name of this value. The caller holds one reference to it.
    pub(crate) fn intern(&mut self, value: T) -> u32 {
        let hash = self.hasher.hash_one(&value);
        let slots = &mut self.slots;
        let same = |id: &u32| slots.get(*id as usize).and_then(|slot| slot.value.as_ref()) == Some(&value);
        if let Some(&id) = self.index.find(hash, same) {
            self.hold(id, 1);
            return id;
        }
        let slot = Slot { value: Some(value), references: 1, hash };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = slots.get_mut(id as usize) {
                    *place = slot;
                }
                id
            }
            None => {
                slots.push(slot);
                (slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, id, |id| slots.get(*id as usize).map_or(0, |slot| slot.hash));
        id
    }

    /// So many more references to a value that is held already.
    pub(crate) fn hold(&mut self, id: u32, times: u32) {
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.references += times;
        }
    }

    /// One reference less; the last one frees the value.
    pub(crate) fn release(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        debug_assert!(slot.references > 0, "released more often than held");
        slot.references = slot.references.saturating_sub(1);
        if slot.references == 0 && slot.value.take().is_some() {
            if let Ok(entry) = self.index.find_entry(slot.hash, |other| *other == id) {
                entry.remove();
            }
            self.free.push(id);
        }
    }

    /// The value of a name that is held.
    pub(crate) fn value(&self, id: u32) -> Option<&T> {
        self.slots.get(id as usize).and_then(|slot| slot.value.as_ref())
    }

    /// How many distinct values are held.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_name_and_the_last_release_frees_it() {
        let mut store = Interner::default();
        let a = store.intern("a");
        let b = store.intern("b");
        assert_eq!(store.intern("a"), a);
        assert_ne!(a, b);
        store.release(a);
        assert_eq!(store.value(a), Some(&"a"));
        store.release(a);
        assert_eq!((store.value(a), store.len()), (None, 1));
        assert_eq!(store.intern("c"), a);
        assert_eq!(store.value(b), Some(&"b"));
    }
}
