//! Which shared libraries a program needs on this machine: `ldd` knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The libraries of these programs and what loads them, where they lie here; none of a static program.
pub fn of(programs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    for program in programs {
        let output = Command::new("ldd").arg(program).output().context("ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        found.extend(read(&text).map(Path::to_owned));
        let is_static = String::from_utf8_lossy(&output.stderr).contains("not a dynamic executable");
        ensure!(output.status.success() || is_static, "ldd {} failed", program.display());
    }
    Ok(found.into_iter().collect())
}

/// Of lines such as `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x7f…)` and `/lib64/ld-linux-x86-64.so.2 (0x7f…)`.
fn read(text: &str) -> impl Iterator<Item = &Path> {
    text.lines().filter_map(|line| {
        let (before, _) = line.rsplit_once(" (0x")?;
        let path = before.rsplit_once("=> ").map_or(before, |(_, path)| path).trim();
        path.starts_with('/').then(|| Path::new(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_the_libraries_are_found_and_what_the_kernel_maps_is_not() {
        let text = "\tlinux-vdso.so.1 (0x00007fff3a5d2000)\n\
                    \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f6b8c000000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f6b8d000000)\n";
        let found: Vec<&Path> = read(text).collect();
        assert_eq!(found, [Path::new("/lib/x86_64-linux-gnu/libgcc_s.so.1"), Path::new("/lib64/ld-linux-x86-64.so.2")]);
    }
}
