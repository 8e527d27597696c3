//! OpenBGPD, portable.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::bgp_bench::scenario::{CONTESTANT, LOCAL_AS, PeerRole, Scenario};

/// Debian's package has it under another name than its authors, for Quagga had the same.
const PROGRAMS: [&str; 2] = ["/usr/sbin/openbgpd", "/usr/sbin/bgpd"];

pub(super) fn commands(scenario: &Scenario, folder: &Path) -> Result<Vec<Command>> {
    let socket = folder.join("bgpd.sock");
    let mut text = format!(
        "AS {LOCAL_AS}\nrouter-id {CONTESTANT}\nlisten on {CONTESTANT}\nfib-update no\nsocket \"{}\"\nholdtime 90\n",
        socket.display()
    );
    for peer in scenario.peers() {
        let kind = if peer.kind == PeerRole::Client { "route-reflector" } else { "announce IPv4 unicast" };
        writeln!(
            text,
            "neighbor {} {{\n remote-as {}\n passive\n holdtime 90\n enforce neighbor-as no\n {kind}\n}}",
            peer.address, peer.asn
        )?;
    }
    text += "allow from any\nallow to any\n";
    let file = folder.join("openbgpd.conf");
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists()).unwrap_or(PROGRAMS[0]);
    let mut openbgpd = Command::new(program);
    openbgpd.arg("-d").arg("-f").arg(file);
    Ok(vec![openbgpd])
}
