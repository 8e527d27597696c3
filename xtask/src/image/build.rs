//! Building the programs of a node, statically for any of its machines or as a developer has them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Architecture, libraries};

/// What an image holds: packages, each of which makes the program of its name.
const PROGRAMS: [&str; 3] = ["margay-agent", "margay-cni", "margayctl"];

/// Programs of one architecture, with what they need beside them.
#[derive(Debug)]
pub struct Built {
    /// What machines they are for.
    pub arch: Architecture,
    /// Files.
    pub programs: Vec<PathBuf>,
    /// Shared libraries that they load: none, if they are static.
    pub libraries: Vec<PathBuf>,
}

/// What it takes to build static programs for an architecture.
struct Toolchain {
    /// Of Rust.
    target: &'static str,
    /// The C compiler that ring's parts in C want.
    compiler: &'static str,
    /// Where Debian has it.
    package: &'static str,
}

impl Architecture {
    fn toolchain(self) -> Toolchain {
        match self {
            Architecture::Amd64 => {
                Toolchain { target: "x86_64-unknown-linux-musl", compiler: "musl-gcc", package: "musl-tools" }
            }
            Architecture::Arm64 => Toolchain {
                target: "aarch64-unknown-linux-musl",
                compiler: "aarch64-linux-gnu-gcc",
                package: "gcc-aarch64-linux-gnu",
            },
        }
    }
}

/// Static programs, as they are shipped.
pub fn released(root: &Path, arch: Architecture) -> Result<Built> {
    let Toolchain { target, compiler, package } = arch.toolchain();
    run(Command::new("rustup").args(["--quiet", "target", "add", target]))
        .with_context(|| format!("rust's target {target} is needed"))?;
    if !is_there(compiler) {
        install(package).with_context(|| format!("{compiler} is needed: install Debian's package {package}"))?;
    }
    let of_target = target.replace('-', "_");
    let mut cargo = cargo(root);
    cargo.args(["--release", "--locked", "--target", target]);
    cargo.env(format!("CC_{of_target}"), compiler);
    // Rust brings musl itself. What links for this machine links for it too (musl-gcc would make programs that want musl's
    // loader); for another machine only its own compiler does.
    if arch == Architecture::Arm64 && !cfg!(target_arch = "aarch64") {
        cargo.env(format!("CARGO_TARGET_{}_LINKER", of_target.to_uppercase()), compiler);
    }
    // Messages name source files: those of the builder's disk are nobody's business, and would differ.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", renamed(root)?.join("\u{1f}"));
    run(&mut cargo)?;
    let directory = target_directory(root)?.join(target).join("release");
    let programs = PROGRAMS.map(|name| directory.join(name)).to_vec();
    let libraries = libraries::of(&programs)?;
    ensure!(libraries.is_empty(), "the programs for {} are not static: they load {libraries:?}", arch.name());
    Ok(Built { arch, programs, libraries })
}

/// What `cargo build` makes, with the libraries of this machine.
pub fn as_developed(root: &Path) -> Result<Built> {
    let arch = if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::Amd64 };
    run(&mut cargo(root))?;
    let directory = target_directory(root)?.join("debug");
    let programs = PROGRAMS.map(|name| directory.join(name)).to_vec();
    let libraries = libraries::of(&programs)?;
    Ok(Built { arch, programs, libraries })
}

/// Where cargo puts what it builds.
pub fn target_directory(root: &Path) -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("cargo metadata names no target directory")
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("build").current_dir(root);
    PROGRAMS.iter().for_each(|name| {
        cargo.args(["--package", name]);
    });
    cargo
}

/// Flags that give this tree and the folder of crates names that are the same everywhere.
fn renamed(root: &Path) -> Result<Vec<String>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).context("no CARGO_HOME")?;
    let flag = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    Ok(vec![flag(&home, "/cargo"), flag(root, "/margay")])
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn install(package: &str) -> Result<()> {
    println!("installing {package}");
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let words: Vec<OsString> = if root { vec![] } else { vec!["sudo".into()] };
    let words = words.into_iter().chain(["apt-get".into()]).collect::<Vec<_>>();
    let apt = |arguments: &[&str]| {
        let (program, rest) = words.split_first().context("no program")?;
        run(Command::new(program).args(rest).args(["--quiet", "--quiet"]).args(arguments).stdout(Stdio::null()))
    };
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends", package])
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed: {status}", command.get_program());
    Ok(())
}
