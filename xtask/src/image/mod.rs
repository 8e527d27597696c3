//! `cargo xtask image`: the programs of a node as a container image from scratch, without a container engine.
//!
//! What comes out is an OCI image layout in one tar, which `ctr -n k8s.io images import` and `skopeo copy oci-archive:`
//! take. Built twice from the same tree by the same compiler it is the same, octet by octet.

mod build;
mod layout;
mod libraries;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use build::Built;
pub use layout::{Entry, File, Platform, archive};

/// What the image is called unless told otherwise. `manifests/margay.yaml` names the same.
pub const NAME: &str = concat!("localhost/margay:", env!("CARGO_PKG_VERSION"));

/// How large the programs of one architecture may be, packed: a node has to fetch them before it has a network for pods.
const LIMIT: usize = 15 << 20;

/// Packs the programs of a node into an OCI image.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask image")]
pub struct Arguments {
    /// Where to write it [default: margay-image.tar in the target directory].
    #[arg(long)]
    output: Option<PathBuf>,
    /// For which machines.
    #[arg(long, value_delimiter = ',', default_value = "amd64,arm64")]
    arch: Vec<Architecture>,
    /// What it is called: the name that manifests give.
    #[arg(long, default_value = NAME)]
    name: String,
    /// `release`: static programs, small and fast. `dev`: those of `cargo build` as they are, with the libraries of this
    /// machine; for tests, for this machine's architecture, and for nodes with this machine's C library.
    #[arg(long, default_value = "release")]
    profile: Profile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Architecture {
    Amd64,
    Arm64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    Release,
    Dev,
}

impl Architecture {
    /// As OCI images say it, which is as Go says it.
    fn name(self) -> &'static str {
        match self {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }
}

/// Builds and packs as asked, and says what came out.
///
/// # Errors
/// Where a compiler is missing or fails, or where the image is larger than a node should have to fetch.
pub fn run(arguments: &Arguments) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let built = match arguments.profile {
        Profile::Release => {
            arguments.arch.iter().map(|arch| build::released(root, *arch)).collect::<Result<Vec<_>>>()?
        }
        Profile::Dev => vec![build::as_developed(root)?],
    };
    let licence = fs::read(root.join("LICENSE")).context("LICENSE")?;
    let mut platforms = Vec::new();
    for Built { arch, programs, libraries } in built {
        println!("{}:", arch.name());
        let mut files = Vec::new();
        for path in &programs {
            let octets = fs::read(path).with_context(|| path.display().to_string())?;
            let name = path.file_name().and_then(|name| name.to_str()).context("a program without a name")?;
            println!("  {name:<14}{:>8}", mebibytes(octets.len()));
            files.push(Entry::program(&format!("bin/{name}"), octets));
        }
        for path in &libraries {
            let octets = fs::read(path).with_context(|| path.display().to_string())?;
            files.push(Entry::program(path.to_str().context("a library's name")?.trim_start_matches('/'), octets));
        }
        files.push(Entry::document("licenses/margay", licence.clone()));
        platforms.push(Platform { architecture: arch.name().into(), files });
    }
    let packed = archive(&arguments.name, &platforms)?;
    let output = match &arguments.output {
        Some(path) => path.clone(),
        None => build::target_directory(root)?.join("margay-image.tar"),
    };
    fs::write(&output, &packed.octets).with_context(|| output.display().to_string())?;
    for (platform, size) in platforms.iter().zip(&packed.layers) {
        println!("{}: layer {}", platform.architecture, mebibytes(*size));
        let fits = arguments.profile == Profile::Dev || *size <= LIMIT;
        ensure!(fits, "the image for {} is larger than {}", platform.architecture, mebibytes(LIMIT));
    }
    println!("{} {} {}", output.display(), mebibytes(packed.octets.len()), arguments.name);
    Ok(())
}

fn mebibytes(octets: usize) -> String {
    // Tenths, without floating point.
    let tenths = (octets * 10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(mebibytes(1 << 20), "1.0 MiB");
        assert_eq!(mebibytes((1 << 20) + 1), "1.1 MiB");
    }

    #[test]
    fn both_architectures_are_packed_unless_told_otherwise() {
        let arguments = Arguments::parse_from(["image"]);
        assert_eq!(arguments.arch, [Architecture::Amd64, Architecture::Arm64]);
        let arguments = Arguments::parse_from(["image", "--arch", "arm64", "--output", "x.tar"]);
        assert_eq!(arguments.arch, [Architecture::Arm64]);
    }
}
