//! Asks a CNI plugin which versions of the spec it speaks (CNI spec, "VERSION: probe plugin version support").

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// How long a plugin may think about it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest answer that is read, in octets.
const LONGEST: u64 = 64 << 10;
/// Pause between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spoken {
    supported_versions: Vec<String>,
}

/// The versions; none if the plugin cannot be run here (one that wants libraries which only the node has), takes too
/// long, or says something else.
pub(super) fn versions(plugin: &Path) -> Option<Vec<String>> {
    let mut command = Command::new(plugin);
    command.env_clear().env("CNI_COMMAND", "VERSION").current_dir("/");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may answer without reading.
        let _ = stdin.write_all(b"{\"cniVersion\":\"1.0.0\"}");
    }
    let ended = ends(&mut child);
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let mut text = String::new();
    child.stdout.take()?.take(LONGEST).read_to_string(&mut text).ok()?;
    serde_json::from_str::<Spoken>(&text).ok().map(|spoken| spoken.supported_versions)
}

fn ends(child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) => std::thread::sleep(LOOK),
            Err(_) => return false,
        }
    }
    false
}
