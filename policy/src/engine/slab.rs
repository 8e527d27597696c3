//! Things by small numbers that are used again.

/// A number of a slab.
pub type Id = u32;

/// Things by number.
#[derive(Debug, Clone)]
pub struct Slab<T> {
    things: Vec<Option<T>>,
    free: Vec<Id>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { things: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Keeps a thing and numbers it.
    pub fn insert(&mut self, thing: T) -> Id {
        if let Some(id) = self.free.pop() {
            if let Some(place) = self.things.get_mut(id as usize) {
                *place = Some(thing);
            }
            return id;
        }
        self.things.push(Some(thing));
        // There are never as many things as numbers: each takes some tens of octets.
        (self.things.len() - 1) as Id
    }

    /// Takes a thing out; its number may be another's from now on.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let thing = self.things.get_mut(id as usize)?.take();
        if thing.is_some() {
            self.free.push(id);
        }
        thing
    }

    /// A thing.
    pub fn at(&self, id: Id) -> Option<&T> {
        self.things.get(id as usize)?.as_ref()
    }

    /// A thing, to change it.
    pub fn at_mut(&mut self, id: Id) -> Option<&mut T> {
        self.things.get_mut(id as usize)?.as_mut()
    }
}
