//! The interop matrix: cases found in `e2e/interop`, each played with every daemon that has the feature, and the table
//! of who passes what.
//!
//! A case is a folder `GROUP/NAME`: `case.yaml` (what is done and what must then be so), `objects/` (ours, where they
//! differ from `base/objects/`), and a file for each daemon (`bird.conf`, `frr.conf`, `gobgp.toml`, `openbgpd.conf`) with
//! what it is told beyond `base/`. A daemon without a file has its reason under `absent` in `case.yaml`.

pub mod case;
pub mod cell;
pub mod held;
pub mod matching;
pub mod table;
pub mod template;

use std::path::{Path, PathBuf};

/// Where cases are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop")
}
