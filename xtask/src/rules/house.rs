//! The house as it stands on the disk: every crate of the workspace, what it depends on, and its source files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Every crate of the workspace.
#[derive(Debug, Clone, Default)]
pub struct House {
    /// In the order of `cargo metadata`.
    pub rooms: Vec<Room>,
}

/// One crate.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// The package name.
    pub name: String,
    /// Its folder from the root of the workspace, with `/`.
    pub folder: String,
    /// Direct dependencies, of every kind.
    pub dependencies: Vec<Dependency>,
    /// Every `.rs` file below the crate's folder.
    pub sources: Vec<Source>,
}

/// One line of a `[dependencies]` table.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// The package's name, not the name it is renamed to.
    pub name: String,
    /// Whether only tests, examples and benches see it.
    pub only_for_tests: bool,
}

/// One source file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the crate's folder, with `/`.
    pub path: String,
    /// The whole file.
    pub text: String,
}

impl House {
    /// Reads the workspace that this crate belongs to.
    pub fn discover() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(here)
            .output()
            .context("cannot run `cargo metadata`")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("`cargo metadata` did not print JSON")?;
        let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
        let folders = packages.iter().map(folder).collect::<Result<Vec<_>>>()?;
        let root = PathBuf::from(text(&metadata["workspace_root"])?);
        let mut rooms = Vec::new();
        for (package, own) in packages.iter().zip(&folders) {
            let inner: Vec<&PathBuf> = folders.iter().filter(|other| *other != own && other.starts_with(own)).collect();
            let mut sources = Vec::new();
            collect(own, own, &inner, &mut sources)?;
            sources.sort_by(|a, b| a.path.cmp(&b.path));
            let folder = own.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
            rooms.push(Room { name: text(&package["name"])?, folder, dependencies: dependencies(package)?, sources });
        }
        Ok(Self { rooms })
    }

    /// Whether a package of this name is one of ours.
    pub fn has(&self, name: &str) -> bool {
        self.rooms.iter().any(|room| room.name == name)
    }
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("`cargo metadata`: a string is missing")?.to_owned())
}

fn folder(package: &Value) -> Result<PathBuf> {
    let manifest = PathBuf::from(text(&package["manifest_path"])?);
    Ok(manifest.parent().context("a manifest without a folder")?.to_owned())
}

fn dependencies(package: &Value) -> Result<Vec<Dependency>> {
    let list = package["dependencies"].as_array().context("`cargo metadata`: a package without a dependency list")?;
    list.iter().map(|one| Ok(Dependency { name: text(&one["name"])?, only_for_tests: one["kind"] == "dev" })).collect()
}

/// Walks `folder`, leaving out build output and crates that lie inside this one.
fn collect(root: &Path, folder: &Path, inner: &[&PathBuf], sources: &mut Vec<Source>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            let is_build_output = path.file_name().is_some_and(|name| name == "target");
            if !is_build_output && !inner.contains(&&path) {
                collect(root, &path, inner, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let path = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            sources.push(Source { path, text });
        }
    }
    Ok(())
}
