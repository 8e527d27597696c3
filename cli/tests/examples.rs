//! The examples that people copy are good, each for itself and all together.

use std::path::Path;
use std::process::Command;

#[test]
fn every_example_passes_margayctl_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples");
    let examples: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!examples.is_empty());
    for example in examples.iter().chain([&folder]) {
        let output = Command::new(env!("CARGO_BIN_EXE_margayctl")).arg("check").arg(example).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", example.display());
        assert!(said.contains(" 0 errors, 0 warnings"), "{}: {said}", example.display());
    }
}
