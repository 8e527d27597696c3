//! Building the programs of a node, statically for any of its machines or as a developer has them.

use std::io::Write;
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
    /// Where Debian has it, and the C library's headers for it.
    packages: &'static [&'static str],
}

impl Architecture {
    fn toolchain(self) -> Toolchain {
        match self {
            Architecture::Amd64 => {
                Toolchain { target: "x86_64-unknown-linux-musl", compiler: "musl-gcc", packages: &["musl-tools"] }
            }
            Architecture::Arm64 => Toolchain {
                target: "aarch64-unknown-linux-musl",
                compiler: "aarch64-linux-gnu-gcc",
                // The compiler only recommends the headers.
                packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
            },
        }
    }
}

/// Static programs, as they are shipped.
pub fn released(root: &Path, arch: Architecture) -> Result<Built> {
    let Toolchain { target, compiler, packages } = arch.toolchain();
    run(Command::new("rustup").args(["--quiet", "target", "add", target]))
        .with_context(|| format!("rust's target {target} is needed"))?;
    if !compiles(compiler) {
        let needed = || format!("{compiler} with the C library's headers is needed: Debian's {}", packages.join(", "));
        install(packages).with_context(needed)?;
        ensure!(compiles(compiler), "{compiler} finds no stdint.h. {}", needed());
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

/// Whether a compiler is there and finds the headers of a C library, as ring's parts in C want.
fn compiles(compiler: &str) -> bool {
    let child = Command::new(compiler)
        .args(["-fsyntax-only", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.is_ok_and(|mut child| {
        let written = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(b"#include <stdint.h>\n").is_ok());
        child.wait().is_ok_and(|status| written && status.success())
    })
}

fn install(packages: &[&str]) -> Result<()> {
    println!("installing {}", packages.join(" "));
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let words: &[&str] = if root { &["apt-get"] } else { &["sudo", "apt-get"] };
    let apt = |arguments: &[&str]| {
        let (program, rest) = words.split_first().context("no program")?;
        // Somebody else's apt-get may be at work.
        let always = ["--quiet", "--quiet", "-o", "DPkg::Lock::Timeout=300"];
        run(Command::new(program).args(rest).args(always).args(arguments).stdout(Stdio::null()))
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed: {status}", command.get_program());
    Ok(())
}
