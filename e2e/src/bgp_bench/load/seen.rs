//! Which prefixes are there, one bit each, and since when there are as many as expected.

use std::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct Seen {
    words: Vec<u64>,
    room: usize,
    count: usize,
    wanted: usize,
    /// Since when the count is the wanted one.
    complete: Option<Instant>,
}

impl Seen {
    pub fn new(room: usize) -> Seen {
        Seen { words: vec![0; room.div_ceil(64)], room, count: 0, wanted: usize::MAX, complete: None }
    }

    /// How many there may be.
    pub fn room(&self) -> usize {
        self.room
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// From now on so many are expected.
    pub fn expect(&mut self, wanted: usize, now: Instant) {
        self.wanted = wanted;
        self.complete = (self.count == wanted).then_some(now);
    }

    pub fn enter(&mut self, index: Option<usize>) {
        let Some(index) = index.filter(|index| *index < self.room) else { return };
        let Some(word) = self.words.get_mut(index / 64) else { return };
        let bit = 1 << (index % 64);
        self.count += usize::from(*word & bit == 0);
        *word |= bit;
    }

    pub fn leave(&mut self, index: Option<usize>) {
        let Some(index) = index.filter(|index| *index < self.room) else { return };
        let Some(word) = self.words.get_mut(index / 64) else { return };
        let bit = 1 << (index % 64);
        self.count -= usize::from(*word & bit != 0);
        *word &= !bit;
    }

    /// All of a message was entered.
    pub fn note(&mut self, now: Instant) {
        if self.count == self.wanted {
            self.complete.get_or_insert(now);
        } else {
            self.complete = None;
        }
    }

    pub fn complete(&self) -> Option<Instant> {
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complete_from_the_message_that_made_it_so_until_one_that_does_not() {
        let (start, later) = (Instant::now(), Instant::now());
        let mut seen = Seen::new(100);
        seen.expect(2, start);
        assert_eq!(seen.complete(), None);
        [Some(1), Some(1), Some(99), Some(100), None].into_iter().for_each(|index| seen.enter(index));
        seen.note(later);
        assert_eq!((seen.count(), seen.complete()), (2, Some(later)));
        seen.leave(Some(1));
        seen.note(later);
        assert_eq!((seen.count(), seen.complete()), (1, None));
    }
}
