//! The examples that people copy are good, each for itself and all together.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples")
}

/// What `margayctl check` says.
fn check(path: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_margayctl")).arg("check").arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_example_passes_margayctl_check() {
    let examples: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let said = check(&example);
        assert!(said.contains(" 0 errors, 0 warnings"), "{}: {said}", example.display());
    }
}

#[test]
fn examples_clash_in_nothing_but_the_one_object_that_every_cluster_has_once() {
    let said = check(&folder());
    let clashes: Vec<&str> = said.lines().filter(|line| line.contains(": is already in ")).collect();
    assert!(clashes.iter().all(|line| line.contains(": BGPConfiguration/default: ")), "{said}");
    let noun = if clashes.len() == 1 { "error" } else { "errors" };
    assert!(said.contains(&format!(" {} {noun}, 0 warnings", clashes.len())), "{said}");
}
