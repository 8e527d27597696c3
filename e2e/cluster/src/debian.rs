//! Programs of Debian that a node or a test image needs, unpacked into a folder of their own; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The container runtime, the standard CNI plugins, and what the test images hold.
const PACKAGES: &[&str] = &[
    "containerd",
    "crun",
    "containernetworking-plugins",
    "busybox-static",
    "netcat-openbsd",
    "bind9-dnsutils",
    "curl",
    "nginx",
];
/// Where packages put programs.
const BINARIES: &[&str] = &["usr/bin", "usr/sbin", "bin", "sbin", "usr/lib/cni"];

/// Programs unpacked from packages, and those of the machine where it has them already.
#[derive(Debug, Clone)]
pub struct Debian {
    folder: PathBuf,
}

impl Debian {
    /// Unpacks what is not there yet.
    pub fn unpack(folder: &Path, say: fn(&str)) -> Result<Self> {
        let done = folder.join("unpacked");
        let wanted = PACKAGES.join(" ");
        if fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
            return Ok(Self { folder: folder.into() });
        }
        say(&format!("fetching Debian packages to unpack, not to install: {wanted}"));
        let archives = folder.join("archives");
        fs::create_dir_all(archives.join("partial"))?;
        if fetch(&archives).is_err() {
            apt(&["update"])?;
            fetch(&archives)?;
        }
        for entry in fs::read_dir(&archives)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                let output = Command::new("dpkg").arg("-x").arg(&path).arg(folder).output()?;
                ensure!(
                    output.status.success(),
                    "cannot unpack {}: {}",
                    path.display(),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
        fs::remove_dir_all(&archives)?;
        fs::write(&done, wanted)?;
        Ok(Self { folder: folder.into() })
    }

    /// Where they are unpacked, or will be.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// Where a program is.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let roots = [self.folder.as_path(), Path::new("/")];
        let mut places = roots.iter().flat_map(|root| BINARIES.iter().map(move |folder| root.join(folder).join(name)));
        places.find(|path| path.is_file()).with_context(|| format!("no package brought {name}"))
    }

    /// Folders for PATH, before those of the machine.
    pub fn path(&self) -> String {
        let folders: Vec<_> =
            BINARIES.iter().take(4).map(|folder| self.folder.join(folder).display().to_string()).collect();
        folders.join(":")
    }

    /// LD_LIBRARY_PATH with which an unpacked program finds the libraries that were unpacked with it.
    pub fn library_path(&self) -> String {
        let folders =
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/aarch64-linux-gnu"]
                .map(|folder| self.folder.join(folder).display().to_string());
        folders.join(":")
    }

    /// The beginning of a shell's command line that runs a program outside an image. For this program only: the
    /// machine's own have the machine's libraries.
    pub fn run(&self, name: &str) -> Result<String> {
        let program = self.program(name)?;
        Ok(format!("LD_LIBRARY_PATH='{}' '{}'", self.library_path(), program.display()))
    }

    /// Every shared library that a program needs, and its loader, as `ldd` finds them.
    pub fn libraries(&self, program: &Path) -> Result<Vec<PathBuf>> {
        let output = Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", self.library_path()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(line) = text.lines().find(|line| line.contains("not found")) {
            bail!("{} needs a library that is nowhere: {}", program.display(), line.trim());
        }
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, and the loader without an arrow.
        let words = text
            .lines()
            .filter(|line| line.contains(" (0x"))
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
        Ok(words.collect())
    }
}

/// Fetches the packages and those dependencies that the machine lacks.
fn fetch(archives: &Path) -> Result<()> {
    let place = format!("Dir::Cache::archives={}", archives.display());
    let download = ["install", "--download-only", "--reinstall", "--no-install-recommends", "--yes", "-o", &place];
    apt(&[&download, PACKAGES].concat())
}

fn apt(args: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("cannot run apt-get: the cluster wants Debian's container runtime")?;
    ensure!(
        output.status.success(),
        "`apt-get {}` failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
