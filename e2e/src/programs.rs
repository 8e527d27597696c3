//! Where the programs are: ours beside the one that runs, the routers' where Debian puts them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Debian's folder of CNI plugins (containernetworking-plugins).
pub const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Our three programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The folder they are in.
    pub folder: PathBuf,
}

impl Programs {
    /// In `$MARGAY_BIN_DIR`, or in the build folder of the running program.
    pub fn find() -> Result<Self> {
        let candidates: Vec<PathBuf> = match std::env::var_os("MARGAY_BIN_DIR") {
            Some(folder) => vec![folder.into()],
            None => std::env::current_exe()?.ancestors().skip(1).take(2).map(Path::to_owned).collect(),
        };
        let complete = |folder: &&PathBuf| {
            ["margay-agent", "margay-cni", "margayctl"].iter().all(|name| folder.join(name).is_file())
        };
        match candidates.iter().find(complete) {
            Some(folder) => Ok(Self { folder: folder.clone() }),
            None => bail!(
                "margay-agent, margay-cni and margayctl are not in {}: run `cargo build --workspace` first, or set MARGAY_BIN_DIR",
                candidates.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" or ")
            ),
        }
    }

    /// The daemon.
    pub fn agent(&self) -> PathBuf {
        self.folder.join("margay-agent")
    }

    /// The CNI plugin.
    pub fn shim(&self) -> PathBuf {
        self.folder.join("margay-cni")
    }

    /// The command line.
    pub fn ctl(&self) -> PathBuf {
        self.folder.join("margayctl")
    }
}
