//! Files that others may be reading: replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Permissions of what is run.
pub(super) const PROGRAM: u32 = 0o755;
/// Permissions of what is read, and holds no secret.
pub(super) const READABLE: u32 = 0o644;

/// The names in a directory, in no order; none where there is no directory.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect()
}

/// Makes a file so, unless it is, and says whether anything was written. The content is on the disk before the name is:
/// after a power cut there is the old file or the new one.
pub(super) fn put(path: &Path, octets: &[u8], mode: u32) -> io::Result<bool> {
    if is_so(path, octets, mode)? {
        return Ok(false);
    }
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    let beside = beside(path);
    let written = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(octets)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // What stays would be found by the next attempt.
        let _ = fs::remove_file(&beside);
    }
    written.map(|()| true)
}

fn is_so(path: &Path, octets: &[u8], mode: u32) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let same = there.is_file() && there.permissions().mode() & 0o7777 == mode;
    Ok(same && usize::try_from(there.len()).ok() == Some(octets.len()) && fs::read(path)? == octets)
}

/// Removes a file and what an attempt that was killed left beside it.
pub(super) fn take(path: &Path) -> io::Result<()> {
    for path in [path.to_path_buf(), beside(path)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A name that no runtime takes for a plugin's or a configuration's.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}
