//! How many addresses are kept ready.

/// Marks on a tank: below `low` it is filled up to `full`; above twice that, the rest goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Fewer than so many free ones: more are taken.
    pub low: usize,
    /// So many are taken.
    pub full: usize,
}

impl Level {
    /// A quarter of a block, 16 at most, filled when half of that is left: a /26 keeps 16 ready and never fewer than 8; and
    /// one more for each pod that is here without an address yet.
    pub fn of(block_size: u8, bits: u8, waiting: usize) -> Level {
        let size = 1usize.checked_shl(u32::from(bits.saturating_sub(block_size))).unwrap_or(usize::MAX);
        Level { low: (size / 8).clamp(1, 8) + waiting, full: (size / 4).clamp(1, 16) + waiting }
    }

    /// More free ones than this are given back.
    pub fn high(&self) -> usize {
        self.full * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blocks_keep_few_ready_and_pods_to_come_are_provided_for() {
        for (block_size, bits, waiting, low, full) in
            [(26, 32, 0, 8, 16), (26, 32, 5, 13, 21), (29, 32, 0, 1, 2), (32, 32, 0, 1, 1), (122, 128, 0, 8, 16)]
        {
            assert_eq!(Level::of(block_size, bits, waiting), Level { low, full }, "/{block_size}");
        }
    }
}
