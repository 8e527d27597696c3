//! A User-mode Linux guest: a second kernel, with an ipip module, over this machine's file system.
//!
//! The guest boots `margay-guest` as its init, which plays one scenario and writes what came of it to a file here.
//! `/run` is the guest's own; everything else is shared, so nothing but that file is written.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::programs::Programs;

/// Debian's user-mode-linux.
pub const KERNEL: &str = "/usr/bin/linux.uml";
/// Memory of a guest; taken only as far as it is used.
const MEMORY: &str = "mem=768M";
/// A guest that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a guest left.
#[derive(Debug)]
pub struct Played {
    /// `ok`, or what went wrong.
    pub verdict: String,
    /// All that was said on its console.
    pub console: String,
}

/// Boots a guest, lets it play `scenario`, and waits for its end.
pub fn play(scenario: &str) -> Result<Played> {
    let programs = Programs::find()?;
    let init = programs.folder.join("margay-guest");
    if !init.is_file() {
        bail!("margay-guest is not in {}: run `cargo build --workspace` first", programs.folder.display());
    }
    let folder = scratch(scenario)?;
    let verdict = folder.join("verdict");
    let console = folder.join("console");
    let log = fs::File::create(&console)?;
    let mut child = Command::new(KERNEL)
        // What the kernel does not know becomes the environment of init.
        .arg("PATH=/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet", MEMORY])
        .args(["con=null", "con0=null,fd:1", "con1=null"])
        .arg(format!("umid=margay{}-{scenario}", std::process::id()))
        .arg(format!("uml_dir={}/", folder.display()))
        .arg(format!("init={}", init.display()))
        .arg(format!("MARGAY_BIN_DIR={}", programs.folder.display()))
        .arg(format!("MARGAY_SCENARIO={scenario}"))
        .arg(format!("MARGAY_VERDICT={}", verdict.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run {KERNEL} (package user-mode-linux)"))?;
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let played = Played {
        verdict: fs::read_to_string(&verdict).unwrap_or_else(|_| "the guest ended without a verdict".into()),
        console: fs::read_to_string(&console).unwrap_or_default(),
    };
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(played)
}

fn scratch(scenario: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("margay-guest{}-{scenario}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
