//! An OCI image from files: one layer, made by hand, importable with `ctr`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::debian::Debian;

/// What an image holds, and what it is called.
#[derive(Debug, Default)]
pub struct Image {
    /// Full names, with tag: the same content can have several.
    pub names: Vec<String>,
    /// The program that a container of it runs.
    pub entrypoint: Vec<String>,
    /// What that program is told if the pod says nothing.
    pub command: Vec<String>,
    files: Vec<(String, Source)>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Link(String),
    Text(String),
}

impl Image {
    /// Nothing in it yet but folders and two users.
    pub fn new(names: &[&str], entrypoint: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        let mut image = Self { names: owned(names), entrypoint: owned(entrypoint), ..Self::default() };
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
        image.text("etc/passwd", users);
        image.text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
        image
    }

    /// A file as it is.
    pub fn file(&mut self, path: &str, source: &Path) {
        self.files.push((path.into(), Source::File(source.into())));
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.files.push((path.into(), Source::Link(target.into())));
    }

    /// A small file.
    pub fn text(&mut self, path: &str, text: &str) {
        self.files.push((path.into(), Source::Text(text.into())));
    }

    /// A program with every library that it is linked with.
    pub fn program(&mut self, path: &str, source: &Path, debian: &Debian) -> Result<()> {
        self.file(path, source);
        for library in debian.libraries(source)? {
            let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // The loader has its full path in every program; the rest is looked for in /lib.
            let place = if name.starts_with("ld-linux") {
                library.to_string_lossy().trim_start_matches('/').to_owned()
            } else {
                format!("lib/{name}")
            };
            if !self.files.iter().any(|(known, _)| *known == place) {
                self.file(&place, &library);
            }
        }
        Ok(())
    }

    /// Writes it as a tar archive in the form of the OCI image layout.
    pub fn pack(&self, archive: &Path) -> Result<()> {
        let layer = self.layer().with_context(|| format!("image {}", self.names.join(", ")))?;
        let (os, architecture) = ("linux", architecture());
        let config = json!({
            "architecture": architecture, "os": os,
            "config": {"Entrypoint": self.entrypoint, "Cmd": self.command, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)?]},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("application/vnd.oci.image.config.v1+json", &config)?,
            "layers": [blob("application/vnd.oci.image.layer.v1.tar", &layer)?],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut manifests = Vec::new();
        for name in &self.names {
            let mut entry = blob("application/vnd.oci.image.manifest.v1+json", &manifest)?;
            entry["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
            entry["platform"] = json!({"architecture": architecture, "os": os});
            manifests.push(entry);
        }
        let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string().into_bytes();

        // Under another name until it is whole.
        let unfinished = archive.with_extension("unfinished");
        let mut tar = tar::Builder::new(File::create(&unfinished)?);
        append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        append(&mut tar, "index.json", &index, 0o644)?;
        for bytes in [&layer, &config, &manifest] {
            append(&mut tar, &format!("blobs/{}", digest(bytes)?.replace(':', "/")), bytes, 0o644)?;
        }
        tar.into_inner()?.flush()?;
        fs::rename(&unfinished, archive)?;
        Ok(())
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (folder, mode) in
            [("bin", 0o755), ("etc", 0o755), ("lib", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var", 0o755)]
        {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(mode);
            header.set_size(0);
            tar.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
        }
        for (path, source) in &self.files {
            match source {
                Source::Text(text) => append(&mut tar, path, text.as_bytes(), 0o644)?,
                Source::Link(target) => {
                    let mut header = tar::Header::new_gnu();
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    tar.append_link(&mut header, path, target)?;
                }
                Source::File(file) => {
                    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                    append(&mut tar, path, &bytes, 0o755)?;
                }
            }
        }
        Ok(tar.into_inner()?)
    }
}

fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(u64::try_from(bytes.len())?);
    Ok(tar.append_data(&mut header, path, bytes)?)
}

fn blob(kind: &str, bytes: &[u8]) -> Result<Value> {
    Ok(json!({"mediaType": kind, "digest": digest(bytes)?, "size": bytes.len()}))
}

/// `sha256:…`, by coreutils.
fn digest(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or_else(|| anyhow!("sha256sum has no stdin"))?.write_all(bytes)?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sum = text.split_whitespace().next().unwrap_or_default();
    ensure!(sum.len() == 64, "sha256sum said {text:?}");
    Ok(format!("sha256:{sum}"))
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}
