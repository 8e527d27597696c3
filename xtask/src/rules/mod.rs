//! The house rules that a machine can hold: arrows between crates, purity of the brains, the shape of files.
//!
//! Everything is discovered: crates from `cargo metadata`, files from the disk. A crate that no rule knows is itself a
//! breach, so that a new room cannot be built outside the rules.

mod arrows;
mod house;
mod purity;
mod shape;
mod tokens;

use std::fmt;

pub use house::{Dependency, House, Room, Source};

/// One broken rule: where, which, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// File (with line, if there is one) or crate.
    pub place: String,
    /// What is wrong, in words.
    pub wrong: String,
    /// The next step.
    pub remedy: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.place, self.wrong, self.remedy)
    }
}

/// All breaches of all rules, in the order of the house.
pub fn check(house: &House) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for room in &house.rooms {
        arrows::check(room, house, &mut breaches);
        for source in &room.sources {
            shape::check(room, source, &mut breaches);
            purity::check(room, source, &mut breaches);
        }
    }
    breaches
}
