//! `docs/bgp.md`: per RFC what is done, how and where, and its tests; generated from the citations in the code.
//!
//! A citation is `RFC 4271 §6.8` in a comment. What stands beside it is the description, so a rule that is implemented is
//! described where it is implemented, and nowhere else. Titles, and what is not done, are in [`table`].

mod cite;
mod page;
mod section;
pub mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use cite::{Citation, Place, Test, citations, tests};
pub use page::page;
pub use section::Section;

use crate::rules::House;

/// The command that writes the page, for messages.
pub const COMMAND: &str = "cargo xtask docs";

/// Where the page is.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default().join("docs/bgp.md")
}

/// Writes the page. Returns whether it was stale.
pub fn write(house: &House) -> Result<bool> {
    let (path, new) = (path(), page(house));
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    if old == new {
        return Ok(false);
    }
    std::fs::write(&path, new).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// RFCs that are cited and have no row in [`table`].
pub fn without_row(house: &House) -> Vec<String> {
    let mut missing: Vec<String> =
        citations(house).into_iter().filter(|c| table::row(c.rfc).is_none()).map(|c| at(c.rfc, &c.path)).collect();
    missing.extend(tests(house).into_iter().filter(|t| table::row(t.rfc).is_none()).map(|t| at(t.rfc, &t.path)));
    missing.sort();
    missing.dedup();
    missing
}

fn at(rfc: u32, path: &str) -> String {
    format!("RFC {rfc}, cited in {path}")
}
