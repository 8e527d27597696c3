//! An image of one layer per platform as an OCI image layout (image-spec v1.1), written so that it is always the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// One platform's share of the image.
#[derive(Debug, Clone)]
pub struct Platform {
    /// `amd64` or `arm64`.
    pub architecture: String,
    /// What is in its file system; directories follow from the paths.
    pub files: Vec<Entry>,
}

/// A file of an image.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Without a leading slash.
    pub path: String,
    /// Permissions, such as 0o755.
    pub mode: u32,
    /// What is in it.
    pub octets: Vec<u8>,
}

impl Entry {
    /// One that can be run.
    pub fn program(path: &str, octets: Vec<u8>) -> Entry {
        Entry { path: path.into(), mode: 0o755, octets }
    }

    /// One that can be read.
    pub fn document(path: &str, octets: Vec<u8>) -> Entry {
        Entry { path: path.into(), mode: 0o644, octets }
    }
}

/// A packed image.
#[derive(Debug)]
pub struct File {
    /// The tar of the layout.
    pub octets: Vec<u8>,
    /// Size of each platform's layer, packed, in octets: what a node fetches.
    pub layers: Vec<usize>,
}

/// A blob of the layout, by the digest of its content.
struct Blob {
    digest: String,
    octets: Vec<u8>,
}

impl Blob {
    fn new(octets: Vec<u8>) -> Blob {
        Blob { digest: digest(&octets), octets }
    }

    fn of(value: &Value) -> Blob {
        Blob::new(value.to_string().into_bytes())
    }

    fn descriptor(&self, kind: &str) -> Value {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.octets.len() })
    }
}

/// The image as one tar. `name` is what containerd calls it after an import.
///
/// # Errors
/// Where a path is longer than a tar can say.
pub fn archive(name: &str, platforms: &[Platform]) -> Result<File> {
    let (mut blobs, mut manifests, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    for platform in platforms {
        let plain = layer(&platform.files)?;
        let layer = Blob::new(compressed(&plain)?);
        let architecture = platform.architecture.as_str();
        let config = Blob::of(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Entrypoint": ["/bin/margay-agent"], "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&plain)] },
        }));
        let manifest = Blob::of(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("config.v1+json"),
            "layers": [layer.descriptor("layer.v1.tar+gzip")],
        }));
        let mut descriptor = manifest.descriptor("manifest.v1+json");
        descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
        manifests.push(descriptor);
        layers.push(layer.octets.len());
        blobs.extend([layer, config, manifest]);
    }
    let index = Blob::of(&index(manifests));
    let mut named = index.descriptor("index.v1+json");
    named["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name,
    });
    blobs.push(index);
    let mut entries = vec![
        Entry::document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        Entry::document("index.json", self::index(vec![named]).to_string().into_bytes()),
    ];
    for blob in blobs {
        let digest = blob.digest.strip_prefix("sha256:").context("a digest")?;
        entries.push(Entry::document(&format!("blobs/sha256/{digest}"), blob.octets));
    }
    Ok(File { octets: layer(&entries)?, layers })
}

fn index(manifests: Vec<Value>) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
}

/// A tar in which nothing depends on when, where and by whom it was made.
fn layer(files: &[Entry]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut directories = BTreeSet::new();
    let mut files: Vec<&Entry> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    for file in files {
        let above: Vec<&Path> = Path::new(&file.path).ancestors().skip(1).collect();
        for directory in above.into_iter().rev().filter(|path| !path.as_os_str().is_empty()) {
            if directories.insert(directory.to_owned()) {
                let mut header = header(0o755, 0, EntryType::Directory)?;
                tar.append_data(&mut header, directory, std::io::empty())?;
            }
        }
        let mut header = header(file.mode, file.octets.len(), EntryType::Regular)?;
        tar.append_data(&mut header, &file.path, file.octets.as_slice()).with_context(|| file.path.clone())?;
    }
    Ok(tar.into_inner()?)
}

fn header(mode: u32, size: usize, kind: EntryType) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_mode(mode);
    header.set_size(u64::try_from(size)?);
    header.set_entry_type(kind);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    Ok(header)
}

fn compressed(octets: &[u8]) -> Result<Vec<u8>> {
    // Neither name nor time goes into this header.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets)?;
    Ok(encoder.finish()?)
}

fn digest(octets: &[u8]) -> String {
    Sha256::digest(octets).iter().fold(String::from("sha256:"), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn platform(architecture: &str) -> Platform {
        let files = vec![
            Entry::document("licenses/margay", b"as you like".to_vec()),
            Entry::program("bin/margay-agent", architecture.as_bytes().to_vec()),
        ];
        Platform { architecture: architecture.into(), files }
    }

    fn entries(tar: &[u8]) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            assert_eq!((entry.header().mtime()?, entry.header().uid()?), (0, 0));
            let (path, mode) = (entry.path()?.display().to_string(), entry.header().mode()?);
            let mut octets = Vec::new();
            entry.read_to_end(&mut octets)?;
            found.insert(path, (mode, octets));
        }
        Ok(found)
    }

    #[test]
    fn every_descriptor_leads_to_a_blob_of_its_digest_and_size() -> Result<()> {
        let file = archive("localhost/margay:1", &[platform("amd64"), platform("arm64")])?;
        let layout = entries(&file.octets)?;
        let blob = |descriptor: &Value| -> Result<Vec<u8>> {
            let digest = descriptor["digest"].as_str().context("a digest")?;
            let (_, octets) = layout.get(&format!("blobs/{}", digest.replace(':', "/"))).context("a blob")?;
            assert_eq!(self::digest(octets), digest);
            assert_eq!(descriptor["size"], octets.len());
            Ok(octets.clone())
        };
        let read = |descriptor: &Value| Ok::<Value, anyhow::Error>(serde_json::from_slice(&blob(descriptor)?)?);
        let top: Value = serde_json::from_slice(&layout.get("index.json").context("an index")?.1)?;
        let named = &top["manifests"][0];
        assert_eq!(named["annotations"]["io.containerd.image.name"], "localhost/margay:1");
        let index = read(named)?;
        for (descriptor, architecture) in
            index["manifests"].as_array().context("a list")?.iter().zip(["amd64", "arm64"])
        {
            assert_eq!(descriptor["platform"]["architecture"], architecture);
            let manifest = read(descriptor)?;
            let config = read(&manifest["config"])?;
            assert_eq!(config["architecture"], architecture);
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(blob(&manifest["layers"][0])?.as_slice()).read_to_end(&mut plain)?;
            assert_eq!(config["rootfs"]["diff_ids"][0], digest(&plain));
            let files = entries(&plain)?;
            let paths: Vec<&str> = files.keys().map(String::as_str).collect();
            assert_eq!(paths, ["bin", "bin/margay-agent", "licenses", "licenses/margay"]);
            assert_eq!(files.get("bin/margay-agent"), Some(&(0o755, architecture.as_bytes().to_vec())));
        }
        Ok(())
    }

    #[test]
    fn packed_twice_it_is_the_same() -> Result<()> {
        let pack = || archive("localhost/margay:1", &[platform("amd64")]);
        assert_eq!(pack()?.octets, pack()?.octets);
        Ok(())
    }
}
