//! Kernel settings under `/proc/sys`, written only where they differ.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where a container finds what it can write, whose `/proc/sys` is read-only. These files, too, are those of the network
/// namespace that looks at them.
const BESIDE: &str = "/host/proc/sys/net";

/// Why a setting could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("sysctl {}: cannot {doing}: {error}", path.display())]
pub struct SysctlError {
    /// The file.
    pub path: PathBuf,
    /// `read` or `write`, with the value.
    pub doing: String,
    /// Of the system call.
    pub error: io::Error,
}

/// Whether a setting had to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It had the value already.
    Same,
    /// It was written.
    Written,
}

/// Gives `/proc/sys/net/<key>` a value; a key is a path such as `ipv4/conf/eth0/proxy_arp`.
///
/// Concerns the calling thread's network namespace.
pub fn set(key: &str, value: &str) -> Result<Change, SysctlError> {
    let path = Path::new("/proc/sys/net").join(key);
    if read(&path)? == value {
        return Ok(Change::Same);
    }
    let written = match fs::write(&path, value) {
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => fs::write(Path::new(BESIDE).join(key), value)
            .map_err(|second| match second.kind() {
                ErrorKind::NotFound => error,
                _ => second,
            }),
        written => written,
    };
    written.map_err(|error| SysctlError { path, doing: format!("write {value:?}"), error })?;
    Ok(Change::Written)
}

/// The value of `/proc/sys/net/<key>`, without the line's end.
pub fn value(key: &str) -> Result<String, SysctlError> {
    read(&Path::new("/proc/sys/net").join(key))
}

fn read(path: &Path) -> Result<String, SysctlError> {
    fs::read_to_string(path).map(|text| text.trim_end().to_string()).map_err(|error| SysctlError {
        path: path.to_path_buf(),
        doing: "read".into(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netns;

    #[test]
    fn a_setting_is_written_only_when_it_differs() {
        std::thread::spawn(|| {
            netns::unshare().unwrap();
            let key = "ipv4/conf/lo/proxy_arp";
            assert_eq!(set(key, "1").unwrap(), Change::Written);
            assert_eq!(set(key, "1").unwrap(), Change::Same);
            assert_eq!(value(key).unwrap(), "1");
            let error = set("ipv4/conf/absent/proxy_arp", "1").unwrap_err().to_string();
            assert!(error.contains("/proc/sys/net/ipv4/conf/absent/proxy_arp: cannot read"), "{error}");
        })
        .join()
        .unwrap();
    }
}
