//! BIRD 2.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::bgp_bench::scenario::{CONTESTANT, LOCAL_AS, PeerRole, Scenario};

pub(super) fn commands(scenario: &Scenario, folder: &Path) -> Result<Vec<Command>> {
    let mut text = format!(
        "log stderr {{ warning, error, fatal }};\nrouter id {CONTESTANT};\nprotocol device {{ }}\nprotocol direct {{ ipv4; }}\n"
    );
    if scenario.uses_kernel() {
        text += "protocol kernel { ipv4 { import none; export all; }; }\n";
    }
    for (peer, number) in scenario.peers().zip(0..) {
        let client = if peer.kind == PeerRole::Client { "rr client; " } else { "" };
        writeln!(
            text,
            "protocol bgp p{number} {{ local {CONTESTANT} as {LOCAL_AS}; neighbor {} as {}; passive yes; {client}ipv4 {{ import all; export all; }}; }}",
            peer.address, peer.asn
        )?;
    }
    let file = folder.join("bird.conf");
    fs::write(&file, text)?;
    let mut bird = Command::new("/usr/sbin/bird");
    bird.arg("-f").arg("-c").arg(file).arg("-s").arg(folder.join("bird.ctl"));
    Ok(vec![bird])
}
