//! `cargo xtask manifests`: `manifests/margay.yaml`, the one file that installs margay, put together from its parts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::crds;

/// The command that writes the file, for messages.
pub const COMMAND: &str = "cargo xtask manifests";

const HEAD: &str = "\
# margay: pod networking without overlays. Installs it: kubectl apply -f margay.yaml     (docs/install.md)
#
# Two values may be edited, in the first object below: the range of pods' addresses, and IP-in-IP.
# The image's name stands in one place: the DaemonSet at the end.
";

/// What makes a folder a base for others, and is no object.
const KUSTOMIZATION: &str = "kustomization.yaml";

/// Where the manifests are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default().join("manifests")
}

/// The file.
pub fn path() -> PathBuf {
    folder().join("margay.yaml")
}

/// What belongs into it: settings first, then the kinds of objects, then the parts of `manifests/install` in order.
///
/// # Errors
/// Where a part can't be read.
pub fn text() -> Result<String> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder().join("install")).context("manifests/install")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == KUSTOMIZATION) {
            continue;
        }
        parts.push((path.clone(), fs::read_to_string(&path).with_context(|| path.display().to_string())?));
    }
    parts.sort();
    let mut parts = parts.into_iter().map(|(_, text)| text);
    let settings = parts.next().context("manifests/install is empty")?;
    let kinds = crds::files()?.into_values();
    let all: Vec<String> = [settings].into_iter().chain(kinds).chain(parts).collect();
    let head = format!(
        "# Written by `{COMMAND}` from manifests/install and manifests/crd: edit those, or this copy of yours.\n"
    );
    Ok(format!("{HEAD}#\n{head}{}", all.join("---\n")))
}

/// Writes the file if it is stale, and says whether it was.
///
/// # Errors
/// Those of the file system.
pub fn write() -> Result<bool> {
    let text = text()?;
    let stale = fs::read_to_string(path()).ok().as_ref() != Some(&text);
    if stale {
        fs::write(path(), text).with_context(|| path().display().to_string())?;
    }
    Ok(stale)
}
