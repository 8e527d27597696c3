//! `manifests/crd/`: one CustomResourceDefinition per kind of [`model::object::crd`], generated from the types; and
//! `docs/objects.md`, which says the same to people.

mod manifest;
mod page;
mod structural;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use model::object::crd;

pub use manifest::{manifest, schema};
pub use page::page;

/// The command that writes the files, for messages.
pub const COMMAND: &str = "cargo xtask crds";

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default().join("manifests/crd")
}

/// Where the page is.
pub fn page_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default().join("docs/objects.md")
}

/// Every file as it should be, by name.
pub fn files() -> Result<BTreeMap<String, String>> {
    crd::all().iter().map(file).collect()
}

fn file(definition: &crd::Definition) -> Result<(String, String)> {
    let name = format!("{}_{}.yaml", crd::GROUP, definition.plural);
    let manifest = manifest(definition).with_context(|| definition.kind.to_string())?;
    let text = serde_saphyr::to_string(&manifest)?;
    Ok((name, format!("# Written by `{COMMAND}` from model/src/object; not to be edited.\n{text}")))
}

/// Every file as it is, by name.
pub fn written() -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let entries = match std::fs::read_dir(folder()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", folder().display())),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, std::fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

/// Writes what is stale and removes what no kind is behind. Returns the names of files that it touched.
pub fn write() -> Result<Vec<String>> {
    let (wanted, written) = (files()?, written()?);
    std::fs::create_dir_all(folder())?;
    let mut touched = Vec::new();
    for (name, text) in &wanted {
        if written.get(name) != Some(text) {
            std::fs::write(folder().join(name), text).with_context(|| format!("cannot write {name}"))?;
            touched.push(name.clone());
        }
    }
    for name in written.keys().filter(|name| !wanted.contains_key(*name)) {
        std::fs::remove_file(folder().join(name))?;
        touched.push(name.clone());
    }
    let page = page()?;
    if std::fs::read_to_string(page_path()).ok().as_ref() != Some(&page) {
        std::fs::write(page_path(), page).context("cannot write docs/objects.md")?;
        touched.push("docs/objects.md".into());
    }
    Ok(touched)
}
