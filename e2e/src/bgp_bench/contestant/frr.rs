//! FRR: bgpd, and zebra where the kernel is to have the routes.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::bgp_bench::scenario::{CONTESTANT, LOCAL_AS, PeerRole, Scenario};

pub(super) fn commands(scenario: &Scenario, folder: &Path) -> Result<Vec<Command>> {
    let mut text = format!(
        "log stdout warnings\nrouter bgp {LOCAL_AS}\n bgp router-id {CONTESTANT}\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         no bgp default ipv4-unicast\n bgp cluster-id {CONTESTANT}\n timers bgp 30 90\n"
    );
    for peer in scenario.peers() {
        let address = peer.address;
        write!(
            text,
            " neighbor {address} remote-as {}\n neighbor {address} passive\n neighbor {address} timers connect 5\n neighbor {address} advertisement-interval 0\n",
            peer.asn
        )?;
    }
    text += " address-family ipv4 unicast\n";
    for peer in scenario.peers() {
        writeln!(text, "  neighbor {} activate", peer.address)?;
        if peer.kind == PeerRole::Client {
            writeln!(text, "  neighbor {} route-reflector-client", peer.address)?;
        }
    }
    text += " exit-address-family\n";
    let file = folder.join("bgpd.conf");
    fs::write(&file, text)?;
    let daemon = |name: &str| {
        let mut command = Command::new(format!("/usr/lib/frr/{name}"));
        command.args(["-u", "root", "-g", "frrvty", "-P", "0"]);
        command.arg("--vty_socket").arg(folder).arg("-z").arg(folder.join("zserv.api"));
        command.arg("-i").arg(folder.join(format!("{name}.pid")));
        command
    };
    let mut zebra = daemon("zebra");
    zebra.args(["-f", "/dev/null", "-s", "90000000"]);
    let mut bgpd = daemon("bgpd");
    bgpd.arg("-f").arg(file);
    if !scenario.uses_kernel() {
        bgpd.arg("-n");
    }
    Ok(vec![zebra, bgpd])
}
