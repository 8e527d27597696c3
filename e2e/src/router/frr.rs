//! FRRouting (zebra, bgpd and, where asked for, bfdd) as a router.

use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::daemon::Start;
use super::{Config, program};
use crate::plan::{FAMILIES, Family};

pub(super) fn render(config: &Config) -> String {
    let mut text = format!(
        "log stdout\nrouter bgp {}\n bgp router-id {}\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n \
         no bgp network import-check\n bgp bestpath as-path multipath-relax\n bgp graceful-restart\n",
        config.asn, config.id
    );
    for neighbour in &config.neighbours {
        let address = neighbour.address;
        let _ = write!(
            text,
            " neighbor {address} remote-as {}\n neighbor {address} description {}\n neighbor {address} timers connect 1\n \
             neighbor {address} advertisement-interval 0\n",
            neighbour.asn, neighbour.name
        );
        if let Some(password) = &neighbour.password {
            let _ = writeln!(text, " neighbor {address} password {password}");
        }
        if neighbour.ttl_security {
            let _ = writeln!(text, " neighbor {address} ttl-security hops 1");
        }
        if let Some(seconds) = neighbour.hold_time {
            let _ = writeln!(text, " neighbor {address} timers {} {seconds}", (seconds / 3).max(1));
        }
    }
    for family in FAMILIES {
        let name = if family == Family::V4 { "ipv4" } else { "ipv6" };
        let _ = writeln!(text, " address-family {name} unicast");
        for network in config.networks.iter().filter(|network| network.contains(':') == (family == Family::V6)) {
            let _ = writeln!(text, "  network {network}");
        }
        for neighbour in config.neighbours.iter().filter(|neighbour| family.holds(neighbour.address)) {
            let _ = writeln!(text, "  neighbor {} activate", neighbour.address);
        }
        text += " exit-address-family\n";
    }
    text
}

pub(super) fn programs(folder: &Path, start: Start) -> Vec<(&'static str, Command)> {
    let text = fs::read_to_string(folder.join("router.conf")).unwrap_or_default();
    let mut names = vec!["zebra", "bgpd"];
    if text.contains(" bfd") {
        names.insert(1, "bfdd");
    }
    let daemon = |name| {
        let mut daemon = program(&format!("/usr/lib/frr/{name}"));
        // The group that Debian's FRR wants its users in; as root it can write the lab's folder.
        daemon.args(["-u", "root", "-g", "frrvty", "-P", "0"]);
        daemon.arg("--vty_socket").arg(folder).arg("-z").arg(folder.join("zserv.api"));
        // The configuration is all BGP; the others would complain of every line.
        let config = if name == "bgpd" { folder.join("router.conf") } else { "/dev/null".into() };
        daemon.arg("-i").arg(folder.join(format!("{name}.pid"))).arg("-f").arg(config);
        match name {
            // What the kernel holds of a predecessor stays for so many seconds.
            "zebra" if start == Start::Graceful => daemon.args(["-K", "30"]),
            "bfdd" => daemon.arg("--bfdctl").arg(folder.join("bfdd.api")),
            _ => &mut daemon,
        };
        (name, daemon)
    };
    names.into_iter().map(daemon).collect()
}

pub(super) fn client(folder: &Path, line: &str) -> Command {
    let mut vtysh = program("/usr/bin/vtysh");
    vtysh.arg("--vty_socket").arg(folder).args(["-d", "bgpd"]);
    for line in line.lines() {
        vtysh.args(["-c", line]);
    }
    vtysh
}

/// Reads `show bgp summary json`: families, each with its peers.
pub(super) fn established(text: &str) -> Result<Vec<IpAddr>> {
    let summary: Value = serde_json::from_str(text).context("FRR did not answer with JSON")?;
    let families = summary.as_object().into_iter().flat_map(|families| families.values());
    let peers = families.filter_map(|family| family["peers"].as_object()).flatten();
    Ok(peers
        .filter(|(_, peer)| peer["state"] == "Established")
        .filter_map(|(address, _)| address.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn established_neighbours_are_read_from_its_json() {
        let text = r#"{"ipv4Unicast":{"peers":{"10.10.1.11":{"state":"Established"},"10.10.2.11":{"state":"Connect"}}},"ipv6Unicast":{}}"#;
        assert_eq!(established(text).unwrap(), ["10.10.1.11".parse::<IpAddr>().unwrap()]);
    }
}
