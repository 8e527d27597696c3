//! OpenBGPD as a neighbour. On Linux it has no forwarding table, so no lab uses it as router.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{program, words};

/// Where its processes lock themselves in, unlike its sockets the same for all; Debian leaves it to systemd to make.
const CHROOT: &str = "/run/openbgpd";

pub(super) fn programs(folder: &Path) -> Vec<(&'static str, Command)> {
    // Without it bgpd says so in its log.
    fs::create_dir_all(CHROOT).ok();
    let mut bgpd = program("/usr/sbin/bgpd");
    bgpd.args(["-d", "-v", "-f"]).arg(folder.join("router.conf"));
    vec![("bgpd", bgpd)]
}

pub(super) fn client(folder: &Path, line: &str) -> Command {
    let mut bgpctl = program("/usr/sbin/bgpctl");
    bgpctl.arg("-s").arg(folder.join("openbgpd.ctl")).args(words(line));
    bgpctl
}

/// Reads `-j show neighbor`.
pub(super) fn established(text: &str) -> Result<Vec<IpAddr>> {
    let answer: Value = serde_json::from_str(text).context("OpenBGPD did not answer with JSON")?;
    let peers = answer["neighbors"].as_array().into_iter().flatten();
    let up = peers.filter(|peer| peer["state"] == "Established");
    Ok(up.filter_map(|peer| peer["remote_addr"].as_str()?.split('%').next()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn established_neighbours_are_read_from_its_json() {
        let text = r#"{"neighbors":[{"remote_addr":"10.10.0.11","state":"Established"},{"remote_addr":"10.10.0.12","state":"Idle"}]}"#;
        assert_eq!(established(text).unwrap(), ["10.10.0.11".parse::<IpAddr>().unwrap()]);
    }
}
