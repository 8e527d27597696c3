//! Links the released `margay-cni` statically: a program that lives for 2 ms should not spend a third of one in the loader.
//!
//! `-C target-feature=+crt-static` would do it, but a plain `cargo build` cannot set it for one binary, and set for all it breaks
//! procedural macros. So the linker is told where "libc" and its companions are: in a directory of one-line linker scripts, each
//! naming the static archive. Where an archive is missing the binary is linked dynamically, which works as well.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What `rustc` links for a program on `*-linux-gnu`, and the archives that take its place.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("gcc_s", &["libgcc_eh.a"]),
    ("util", &["libutil.a"]),
    ("rt", &["librt.a"]),
    ("pthread", &["libpthread.a"]),
    ("m", &["libm.a"]),
    ("dl", &["libdl.a"]),
    ("c", &["libc.a", "libgcc.a", "libgcc_eh.a"]),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    let native = env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    let linked_so_anyway = env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|f| f.split(',').any(|f| f == "crt-static"));
    let glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if !native || !glibc || linked_so_anyway || !is("PROFILE", "release") {
        return;
    }
    let Some(directory) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    if let Ok(true) = scripts(&directory) {
        println!("cargo:rustc-link-arg-bin=margay-cni=-L{}", directory.display());
        println!("cargo:rustc-link-arg-bin=margay-cni=-static-pie");
    }
}

/// Writes the scripts; false if an archive is missing.
fn scripts(directory: &Path) -> io::Result<bool> {
    for (library, archives) in LIBRARIES {
        let mut paths = Vec::new();
        for archive in archives {
            let Some(path) = archive_path(archive)? else { return Ok(false) };
            paths.push(path);
        }
        fs::write(directory.join(format!("lib{library}.so")), format!("GROUP({})\n", paths.join(" ")))?;
    }
    Ok(true)
}

/// The compiler knows where its archives are; it echoes the bare name of one that is not there.
fn archive_path(archive: &str) -> io::Result<Option<String>> {
    let output = Command::new("cc").arg(format!("-print-file-name={archive}")).output()?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_string();
    Ok(Path::new(&path).is_absolute().then_some(path))
}
